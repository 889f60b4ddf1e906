"""What every search method gets: a space, data or a table, and the settings."""

from dataclasses import dataclass

from autospace.evaluators.make import Basis
from autospace.evaluators.tabular import Table
from autospace.searchers.settings import SearchConfig
from autospace.spaces.choices import Choices
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
