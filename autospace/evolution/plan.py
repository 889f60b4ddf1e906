"""The generational loop: populations -> offspring -> fitness -> survivors, once per round.

All layers evolve at once. A round offers K candidates per layer: first the initial population, K
at a time, then the offspring of each generation, last the best cells once more. What a round
draws depends only on the seed, the round and the state before it, so a run can stop after any
round and go on later with the same result. Knows nothing of torch: the scorer is an argument.
"""

from dataclasses import dataclass

from autospace.evolution import toolbox as evolution
from autospace.latency.budget import LatencyBudget
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.cost import Cost
from autospace.spaces.cost import Share
from autospace.spaces.skeleton import Skeleton


@dataclass(frozen=True, slots=True)
class Plan:
    """What evolution works on and how long.

    Attributes:
        references: reference cells, the same at every layer; the first is the yardstick.
        shares: per layer, what a cell may cost.
        candidates: K, cells that each layer offers in a round.
        keep: evolved cells per layer of the learned space.
        confirm: how many times the best cells are scored again at the end.
        write_back: weight of a newer score in the moving average.
        latency: what a cell may take on a device; None for no limit.
        references_stay: whether reference cells are in the learned space whatever their fitness;
            if not, they compete for the `keep` places.
        hand_made: whether the reference cells and mutations of them found the populations; if
            not, the references are only scored, to stand in the learned space.
    """

    skeleton: Skeleton
    references: tuple[tuple[str, Cell], ...]
    shares: tuple[Share, ...]
    operators: evolution.Operators
    seed: int
    generations: int
    candidates: int
    keep: int
    confirm: int = 1
    write_back: float = 0.5
    latency: LatencyBudget | None = None
    hand_made: bool = True
    references_stay: bool = True

    def allows(self, layer: int, cell: Cell, cost: Cost) -> bool:
        """Whether a cell of this cost may enter a layer."""
        within = self.shares[layer].allows(cost)
        return within and (self.latency is None or self.latency.allows(cell, layer))

    @property
    def founders(self) -> int:
        """Cells per layer that are scored before evolution; all references are among them."""
        if not self.hand_made:
            return self.operators.population + len(self.references)
        return max(self.operators.population, len(self.references))

    @property
    def founding_rounds(self) -> int:
        """Rounds in which the initial population is scored."""
        return -(-self.founders // self.candidates)

    @property
    def confirming_rounds(self) -> int:
        """Rounds in which the best cells are scored again."""
        return self.confirm * -(-self.finalists // self.candidates)

    @property
    def finalists(self) -> int:
        """Evolved cells per layer that are scored again."""
        return self.keep + max(2, self.keep // 2)

    @property
    def rounds(self) -> int:
        """All rounds of the run."""
        return self.founding_rounds + self.generations + self.confirming_rounds

    def phase(self, index: int) -> str:
        """`initial`, `evolve` or `confirm`."""
        if index < self.founding_rounds:
            return "initial"
        return "evolve" if index < self.founding_rounds + self.generations else "confirm"
