"""The seam between evolution and training: what scores candidates, and how it reports."""

from collections.abc import Callable, Sequence
from typing import Protocol

from autospace.spaces.cells.cell import Cell

Tick = Callable[[int, int], None]
"""Called with the work done and the work in all; may raise to stop the work."""


def no_tick(done: int, total: int) -> None:
    """Reports to nobody."""


class Scorer(Protocol):
    """Gives every candidate a fitness; knows nothing of populations."""

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; 0 is as good as the reference.

        Args:
            candidates: per layer, any number of cells, each with a path from input to output.
            repeat: 0, or which time the same cells are scored again, on other images.
        """
        ...
