"""What every search method gets: a space, data or a table, and the settings."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch

from autospace.compute.execution import CPU
from autospace.compute.executor import Executor
from autospace.data.examples import DataSet
from autospace.data.images import check_source
from autospace.evaluators.make import Basis, load_halves
from autospace.evaluators.tabular import Table, read_table
from autospace.latency.budget import latency_limit
from autospace.latency.table import LatencyTable
from autospace.progress import Observer
from autospace.searchers.folder import SearchFolder
from autospace.searchers.settings import SearchConfig
from autospace.spaces.choices import Choices, SearchError, limits_of
from autospace.spaces.cost import Budget
from autospace.spaces.space import Space
from autospace.supernets.shared_weights import Problem


@dataclass(frozen=True)
class SearchProblem(Problem):
    """The input of every method: a space, images or a table, limits, a seed, all other settings.

    Attributes:
        config: settings that all methods share.
        table: where architectures are looked up; None if they are trained.
    """

    config: SearchConfig
    table: Table | None

    @classmethod
    def of(cls, choices: Choices, basis: Basis, config: SearchConfig) -> "SearchProblem":
        """The problem that the settings of a search pose."""
        table = basis if isinstance(basis, Table) else None
        halves = None if isinstance(basis, Table) else basis
        return cls(choices, halves, config.supernet, config.magic, config.seed, config, table)


def prepare(
    folder: SearchFolder,
    space: Space | None,
    table: LatencyTable | None,
    observer: Observer,
    device: str | None,
    passed: DataSet | None,
    executor: Executor,
) -> tuple[SearchProblem, str]:
    """Reads the images or the table, and fits the space; returns the problem and their digest."""
    config = folder.config
    given = folder.space or space
    if given is None:
        raise folder.not_begun("space")
    # A table needs no device.
    tabular = config.evaluator.table is not None
    own = CPU if tabular else executor.devices_of(device or config.device).own
    basis = _basis(folder, given, observer, own, passed)
    fitted = basis.fitted(given)
    asked = config.budget
    budget = Budget(asked.max_madds, asked.max_params, asked.max_ops)
    limits = limits_of(fitted, budget)
    if table is not None and config.budget.max_latency_ms is not None:
        limits = (*limits, latency_limit(fitted, table, config.budget.max_latency_ms))
    choices = Choices(fitted, limits)
    for note in (*basis.lines, *_on_the_unscored(basis, fitted)):
        observer.message(note)
    return SearchProblem.of(choices, basis, config), basis.digest


def _on_the_unscored(basis: Basis, space: Space) -> Iterator[str]:
    """How many networks of the space a table has no score of.

    Raises:
        SearchError: it has none of any.
    """
    if not isinstance(basis, Table):
        return
    missing, networks = basis.unscored(space), space.size
    if missing == networks:
        raise SearchError(f"table {basis.name} has no score of any network of {space.name}")
    if missing:
        yield (
            f"table {basis.name} has no score of {missing:,} of the {networks:,} networks: they "
            "count as accuracy 0, and are never the result"
        )


def _basis(
    folder: SearchFolder,
    space: Space,
    observer: Observer,
    device: torch.device,
    passed: DataSet | None,
) -> Basis:
    config = folder.config
    if config.evaluator.table is not None:
        return read_table(config.evaluator.table)
    check_source(space.skeleton, config.data.source)
    size = config.data.resolution or space.skeleton.side
    return load_halves(
        config.data.model_copy(update={"resolution": size}),
        "validation",
        config.seed,
        device,
        folder.cache,
        partial(observer.tick, "data"),
        passed,
    )
