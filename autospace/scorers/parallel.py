"""Candidates of a round trained side by side, in processes of their own.

Which process trains a candidate changes nothing: its loss depends on layer, cell and repeat alone.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from autospace.scorers.alone import Yardstick
from autospace.scorers.context import Setting
from autospace.scorers.crew import Crew, Makes, Share
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cost import cell_cost

STEP_MADDS: Final = 7_000_000
"""MAdds that take as long as a step of the smallest cell (measured)."""

Place = tuple[int, int]
"""Layer, and index among its candidates."""


class ParallelScorer:
    """A scorer of lone candidates that has them trained by others."""

    def __init__(self, make: Makes, setting: Setting, crew: Crew) -> None:
        crew.take(make, setting)
        self._setting, self._crew = setting, crew
        self._yardstick = Yardstick(setting.reference, self._losses)
        self._kept = make.TENSORS_SEEN * _input_bytes(setting) <= crew.kept_bytes

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        return self._yardstick.score(candidates, repeat)

    def _losses(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        work = self._work(candidates)
        # What is not kept is computed again for every part, so there should be few.
        parts = one_by_one(work) if self._kept else in_order(work, self._crew.count)
        shares = [Share(_rows(candidates, part), repeat) for part in parts]
        progress = _Progress(self._setting, [sum(work[place] for place in part) for part in parts])
        found = [[0.0] * len(row) for row in candidates]
        for index, losses in self._crew.losses(shares, progress.tick):
            progress.tick(index, self._setting.options.steps)
            values = [loss for row in losses for loss in row]
            for (layer, place), loss in zip(parts[index], values, strict=True):
                found[layer][place] = loss
        return found

    def _work(self, candidates: Sequence[Sequence[Cell]]) -> dict[Place, int]:
        """What a step of each candidate takes, in MAdds."""
        shapes, batch = self._setting.reference.skeleton.shapes, self._setting.options.batch
        return {
            (layer, place): STEP_MADDS + batch * cell_cost(cell, shape).madds
            for layer, (row, shape) in enumerate(zip(candidates, shapes, strict=True))
            for place, cell in enumerate(row)
        }


def one_by_one(work: dict[Place, int]) -> list[list[Place]]:
    """The candidates, the dearest first: whoever is free takes the next."""
    return [[place] for place in sorted(work, key=lambda place: -work[place])]


def in_order(work: dict[Place, int], count: int) -> list[list[Place]]:
    """At most so many parts of about equal work, each of neighbouring layers."""
    whole = sum(work.values())
    parts: list[list[Place]] = [[] for _ in range(count)]
    for (place, effort), end in zip(work.items(), accumulate(work.values()), strict=True):
        parts[count * (2 * end - effort) // (2 * whole)].append(place)
    return [part for part in parts if part]


class _Progress:
    """How much of a round is done, in steps of all candidates."""

    def __init__(self, setting: Setting, work: list[int]) -> None:
        self._tick, self._steps = setting.tick, setting.options.steps
        self._work, self._done = work, [0] * len(work)

    def tick(self, index: int, steps: int) -> None:
        """One part has got so far."""
        self._done[index] = steps
        done = sum(work * each for work, each in zip(self._work, self._done, strict=True))
        self._tick(done // sum(self._work), self._steps)


def _input_bytes(setting: Setting) -> int:
    """What the inputs of all layers take, over the training batches of a repeat."""
    options, shapes = setting.options, setting.reference.skeleton.shapes
    numbers = sum(shape.in_channels * shape.resolution**2 for shape in shapes)
    return 4 * numbers * options.batch * options.steps


def _rows(candidates: Sequence[Sequence[Cell]], part: list[Place]) -> list[list[Cell]]:
    rows: list[list[Cell]] = [[] for _ in candidates]
    for layer, place in part:
        rows[layer].append(candidates[layer][place])
    return rows
