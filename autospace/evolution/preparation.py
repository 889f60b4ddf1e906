"""What a run needs before anything is trained: images, skeleton, budget and plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from autospace.compute.device import make_execution, resolve_device, thread_count
from autospace.compute.execution import Execution
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.images import skeleton_for
from autospace.data.load import load_data
from autospace.data.settings import PYTHON
from autospace.data.splits import divide, few_measured
from autospace.data.summary import lines_of, warnings_of
from autospace.evolution.folder import RunFolder
from autospace.evolution.plan import CellLimit, Plan, make_budget, make_plan, references_on
from autospace.evolution.settings import Config
from autospace.latency.budget import LatencyBudget, latency_budget, limit_table
from autospace.progress import Observer
from autospace.scorers.pooled import INDEPENDENT
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cost import Budget, layer_shares
from autospace.spaces.files.library import load_skeleton
from autospace.spaces.sequence import images_only
from autospace.spaces.skeleton import Skeleton

DEFAULT_SKELETONS = {"digits": "digits"}
LATENCY_TABLE = "latency.json"

VALIDATION_BATCH_FACTOR = 2


@dataclass(frozen=True)
class PreparedRun:
    """Everything that a run needs before anything is trained.

    Attributes:
        weights: the part of the train split that trains cells.
        fitness: the part that their fitness is measured on.
    """

    config: Config
    data: DataSet
    weights: Examples
    fitness: Examples
    skeleton: Skeleton
    budget: Budget
    latency: LatencyBudget | None
    plan: Plan
    execution: Execution

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how far the result can be trusted; the space keeps them."""
        return few_measured("fitness is measured", len(self.fitness))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the run is hopeless, as far as the images show; the space keeps them, too."""
        return warnings_of(self.data)


@dataclass(frozen=True)
class Passed:
    """What a Python program passes to a run as a value, where settings hold a name.

    Attributes:
        images: in place of `data.source`.
        skeleton: in place of `skeleton`.
    """

    images: DataSet | None = None
    skeleton: Skeleton | None = None


NOTHING_PASSED: Final = Passed()


def prepare(
    config: Config,
    folder: RunFolder,
    observer: Observer,
    device: str | None = None,
    passed: Passed = NOTHING_PASSED,
) -> PreparedRun:
    """Reads the data and determines skeleton, budget and plan; trains nothing."""
    chosen = resolve_device(device or config.device)
    execution = make_execution(config.precision, config.cuda_graphs, chosen, observer.message)
    skeleton = folder.skeleton or passed.skeleton or _named_skeleton(config, folder)
    images_only(skeleton, "evolve")
    data = load_data(
        passed.images or config.data.source,
        resolution=config.data.resolution or skeleton.resolution,
        limit=config.data.limit,
        seed=config.seed,
        cache=folder.cache,
        tick=partial(observer.tick, "data"),
        aspect=config.data.aspect,
        ground=config.data.ground,
    )
    skeleton = skeleton_for(skeleton, data)
    references = references_on(skeleton, config.cells)
    cells = [cell for _, cell in references]
    budget = make_budget(config.budget, skeleton, references)
    latency = _latency(config, skeleton, cells, folder)
    limits: tuple[CellLimit, ...] = (layer_shares(skeleton, cells, budget),)
    plan = make_plan(
        config, skeleton, references, limits if latency is None else (*limits, latency)
    )
    parts = divide(data.train, config.data.validation, config.seed)
    prepared = PreparedRun(config, data, *parts, skeleton, budget, latency, plan, execution)
    # Last, so that what is wrong stands alone.
    for note in (*lines_of(data), *prepared.notes):
        observer.message(note)
    warn(observer, prepared.warnings)
    return prepared


def warn(observer: Observer, problems: Sequence[str]) -> None:
    """Says what makes a run hopeless."""
    for problem in problems:
        observer.message(f"warning: {problem}")


def _named_skeleton(config: Config, folder: RunFolder) -> Skeleton:
    name = config.skeleton
    if name == PYTHON and folder.reopened:
        raise folder.not_begun("skeleton, which was passed from Python")
    if name == "auto":
        name = DEFAULT_SKELETONS.get(config.data.source.partition(":")[0], "cifar")
    return load_skeleton(name)


def _latency(
    config: Config, skeleton: Skeleton, cells: Sequence[Cell], folder: RunFolder
) -> LatencyBudget | None:
    kept = None if folder.replacing else folder.checkpoint / LATENCY_TABLE
    table = limit_table(config.budget.latency_table, kept)
    if table is None:
        return None
    return latency_budget(table, skeleton, cells, config.budget.max_latency_ms)


RunBatches = tuple[Batches, Batches, Batches]
"""Batches that train candidates, that fitness is measured on, and that warm up the reference."""


def run_batches(prepared: PreparedRun) -> RunBatches:
    """The batches of a run.

    The train split is divided in two; the test split is not touched.
    """
    config, device = prepared.config, prepared.execution.device
    norm = Normaliser.from_examples(prepared.weights)
    augment = Augment(config.data.crop, config.data.flip, config.data.cutout)

    def seed(name: str) -> int:
        return derived_seed(config.seed, "batches", name)

    batch = config.scoring.batch
    return (
        Batches(prepared.weights, batch, seed("train"), device, norm, augment),
        Batches(prepared.fitness, VALIDATION_BATCH_FACTOR * batch, seed("validate"), device, norm),
        Batches(prepared.weights, config.warm_up.batch, seed("warm-up"), device, norm, augment),
    )


def scoring_threads(prepared: PreparedRun) -> int:
    """Independent candidates get a thread each: cores are used by several of them."""
    config = prepared.config
    if config.threads == "auto" and config.scoring.method in INDEPENDENT:
        return 1
    return thread_count(config.threads, prepared.skeleton.resolution)
