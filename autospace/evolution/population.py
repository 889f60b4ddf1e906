"""The individuals of evolution and the state of a run between two rounds."""

from dataclasses import dataclass, field

from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.operations import Cost
from autospace.spaces.space import Origin


@dataclass(frozen=True, slots=True)
class Member:
    """A cell of a layer's population.

    Attributes:
        key: canonical key at this layer.
        cost: of the cell at this layer.
        fitness: larger is better, 0 is as good as the reference; None before it is scored.
        scores: how many times it was scored; `fitness` is their moving average.
        confirmed: how many of these times were in confirming rounds.
    """

    id: str
    cell: Cell
    key: str
    cost: Cost
    origin: Origin
    fitness: float | None = None
    scores: int = 0
    confirmed: int = 0

    @property
    def value(self) -> float:
        """The fitness of a member that has one."""
        if self.fitness is None:
            raise ValueError(f"{self.id} has not been scored")
        return self.fitness


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many cells were drawn to find the offspring of a round, and why some were rejected."""

    total: int = 0
    duplicates: int = 0
    over_budget: int = 0

    @property
    def feasible_rate(self) -> float:
        """Share of the drawn cells within the layer's share of the budget."""
        return 1.0 if not self.total else 1 - self.over_budget / self.total


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer: its population, the best cells it ever had, its references, all keys scored."""

    members: tuple[Member, ...] = ()
    hall: tuple[Member, ...] = ()
    references: tuple[Member, ...] = ()
    seen: frozenset[str] = frozenset()
    born: int = 0


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """Statistics of a layer after a round."""

    best: float
    mean: float
    spread: float
    drawn: Drawn
    scored: int


@dataclass(frozen=True, slots=True)
class Round:
    """The record of one round, for all layers."""

    index: int
    phase: str
    layers: tuple[LayerRecord, ...]

    @property
    def drawn(self) -> Drawn:
        """The draws of all layers, added up."""
        drawn = [layer.drawn for layer in self.layers]
        return Drawn(
            sum(each.total for each in drawn),
            sum(each.duplicates for each in drawn),
            sum(each.over_budget for each in drawn),
        )

    @property
    def best(self) -> float:
        """Mean over the layers of the best fitness."""
        return sum(layer.best for layer in self.layers) / len(self.layers)

    @property
    def mean(self) -> float:
        """Mean over the layers of the population's mean fitness."""
        return sum(layer.mean for layer in self.layers) / len(self.layers)


@dataclass(frozen=True, slots=True)
class EvolutionState:
    """Everything that a run needs to resume after a round: a pure value, written as JSON.

    Attributes:
        still: for how many generations the best cells of all layers have stayed the same.
        scored: per layer, the members that the last round scored; the event log keeps them, the
            checkpoint does not.
    """

    round: int
    layers: tuple[LayerState, ...]
    history: tuple[Round, ...] = field(default=())
    still: int = 0
    scored: tuple[tuple[Member, ...], ...] = field(default=(), compare=False)

    @property
    def evaluations(self) -> int:
        """Cells scored so far, over all layers."""
        return sum(layer.scored for record in self.history for layer in record.layers)
