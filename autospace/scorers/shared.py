"""Fitness where layers share a cell: its mean over these layers."""

from collections.abc import Sequence

from autospace.scorers.scorer import Scorer
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import family_of
from autospace.spaces.skeleton import Skeleton


class SharedScorer:
    """Another scorer's fitness, which it gives for every layer, as that of the shared cells.

    A candidate is tried in every layer of its group, one layer at a time. A candidate for one edge
    is tried as the reference's cell with that edge.
    """

    def __init__(self, scorer: Scorer, skeleton: Skeleton, reference: Sequence[Cell]) -> None:
        """Takes a scorer over all layers, and the reference's cell per group of them."""
        self._scorer, self._skeleton, self._reference = scorer, skeleton, reference

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every choice; see `autospace.scorers.scorer.Scorer`."""
        size, groups = self._skeleton.choices_per_cell, self._skeleton.groups
        rows = [
            [family_of(own).joined([own, cell]) if size > 1 else cell
             for choice in candidates[size * group : size * (group + 1)] for cell in choice]
            for group, own in enumerate(self._reference)
        ]  # fmt: skip
        found = self._scorer.score([rows[group] for group in groups], repeat)
        means = [
            [sum(values) / len(values) for values in zip(*_of(found, groups, group), strict=True)]
            for group in range(len(rows))
        ]
        fitness = iter([value for row in means for value in row])
        return [[next(fitness) for _ in choice] for choice in candidates]


def _of(
    found: Sequence[Sequence[float]], groups: Sequence[int], group: int
) -> list[Sequence[float]]:
    """The fitness in each layer of a group."""
    return [row for row, its in zip(found, groups, strict=True) if its == group]
