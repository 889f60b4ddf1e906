"""Candidates of a round trained side by side, in processes of their own.

Which process trains a candidate changes nothing: its loss depends on layer, cell and repeat alone.

Processes that train candidates, and how many of them a machine has room for.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from autospace.compute.execution import Execution, Microbatches
from autospace.compute.machine import available_memory
from autospace.compute.processes import Processes, Tell, cores
from autospace.scorers.alone import LoneScorer, Yardstick
from autospace.scorers.context import KEPT_BYTES, ScoringContext
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import cell_cost
from autospace.spaces.errors import SpaceError
from autospace.spaces.skeleton import Skeleton

PROCESS_BYTES: Final = 400 << 20
"""What a process holds before it trains anything."""
WIDEST_EXPANSION: Final = 6
KEPT_TENSORS: Final = 12
"""Tensors of its hidden width that a cell keeps for the way back: edges, sums, expansion."""
SECONDS_BETWEEN_WORDS: Final = 0.2
SPARED: Final = 4
"""A quarter of the memory left may be filled with what the reference shows."""
Makes = type[LoneScorer[Any]]


class Share(NamedTuple):
    """What one process trains: candidates per layer."""

    candidates: list[list[Cell]]
    repeat: int


class Crew:
    """Processes that train candidates; what they are trained with is handed over in a file."""

    def __init__(self, path: Path, count: int, threads: int, say: Callable[[str], None]) -> None:
        """Starts the processes, so that they are ready when the reference network is.

        Args:
            path: of the file.
            count: processes.
            threads: that each computes in.
            say: is told what a process has to say.
        """
        self.kept_bytes = min(KEPT_BYTES, available_memory() // (SPARED * count))
        """Of what the reference shows, in each process."""
        self._path, self._say = path, say
        self._processes = Processes[Share, list[list[float]]](
            partial(_Training, path, self.kept_bytes), count, threads=threads, errors=(SpaceError,)
        )
        self._processes.start(count)

    @property
    def count(self) -> int:
        """Processes."""
        return self._processes.count

    def take(self, make: Makes, setting: ScoringContext) -> None:
        """Hands over the scorer, a class of a module, and what it works with; to be called once."""
        given = {
            "reference": setting.reference,
            "training": setting.training,
            "validation": setting.validation,
            "options": setting.options,
            "seed": setting.seed,
        }
        torch.save((make, given, setting.execution.precision), self._path)

    def losses(
        self, shares: Sequence[Share], tick: Callable[[int, int], None]
    ) -> Iterator[tuple[int, list[list[float]]]]:
        """Place and losses of every share as they come; `tick` is told a place and steps done.

        Raises:
            EndedError: a process ended before it was done.
        """

        def hear(index: int, word: int | str) -> None:
            if isinstance(word, str):
                self._say(word)
            else:
                tick(index, word)

        return self._processes.done(shares, hear)

    def close(self) -> None:
        """Ends the processes, and removes the file."""
        self._processes.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def crew(path: Path, count: int, threads: int, say: Callable[[str], None]) -> Iterator[Crew | None]:
    """A crew for as long as the context lasts; none if one process is to do it all, this one."""
    path.unlink(missing_ok=True)  # of a run that was killed
    if count == 1:
        yield None
        return
    found = Crew(path, count, threads, say)
    try:
        yield found
    finally:
        found.close()


def fitting_count(
    skeleton: Skeleton, candidates: int, batch: int, threads: int, say: Callable[[str], None]
) -> int:
    """Processes, of so many threads each, that cores and memory have room for, and work is for.

    Args:
        skeleton: of the reference network.
        candidates: of a layer in a round.
        batch: training images of a step.
        threads: that each process computes in.
        say: is told if memory is what there is too little of.
    """
    width = max(shape.in_channels * shape.resolution**2 for shape in skeleton.shapes)
    cell = 4 * batch * width * WIDEST_EXPANSION * KEPT_TENSORS
    left = available_memory() * (SPARED - 1) // SPARED
    by_memory = left // (PROCESS_BYTES + cell)
    wanted = max(1, min(cores() // threads, candidates * len(skeleton.layers)))
    count = max(1, min(wanted, by_memory))
    if count < wanted:
        say(f"cells are trained {count} at a time, not {wanted}: there is no memory for more")
    return count


class _Training:
    """What a process does: it trains its share of the candidates."""

    def __init__(self, path: Path, kept_bytes: int) -> None:
        self._path, self._kept_bytes = path, kept_bytes
        self._scorer: LoneScorer[Any] | None = None
        self._tell: Tell = print
        self._told = 0.0
        # The first optimiser has torch import modules for seconds: better now than in a round.
        torch.optim.SGD([torch.zeros(1)])

    def __call__(self, share: Share, tell: Tell) -> list[list[float]]:
        self._tell = tell
        self._scorer = self._scorer or self._made()
        return self._scorer.losses(share.candidates, share.repeat)

    def _made(self) -> LoneScorer[Any]:
        # Mapped, not read: all processes share one copy of the images.
        make, given, precision = torch.load(self._path, mmap=True, weights_only=False)
        execution = Execution(precision=precision, parts=Microbatches(self._say))
        setting = ScoringContext(
            **given, tick=self._tick, execution=execution, kept_bytes=self._kept_bytes
        )
        scorer: LoneScorer[Any] = make(setting)
        return scorer

    def _tick(self, done: int, total: int) -> None:
        if time.monotonic() - self._told > SECONDS_BETWEEN_WORDS:
            self._tell(done)
            self._told = time.monotonic()

    def _say(self, message: str) -> None:
        self._tell(message)


STEP_MADDS: Final = 7_000_000
"""MAdds that take as long as a step of the smallest cell (measured)."""
Place = tuple[int, int]
"""Layer, and index among its candidates."""


class ParallelScorer:
    """A scorer of lone candidates that has them trained by others."""

    def __init__(self, make: Makes, setting: ScoringContext, crew: Crew) -> None:
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

    def __init__(self, setting: ScoringContext, work: list[int]) -> None:
        self._tick, self._steps = setting.tick, setting.options.steps
        self._work, self._done = work, [0] * len(work)

    def tick(self, index: int, steps: int) -> None:
        """One part has got so far."""
        self._done[index] = steps
        done = sum(work * each for work, each in zip(self._work, self._done, strict=True))
        self._tick(done // sum(self._work), self._steps)


def _input_bytes(setting: ScoringContext) -> int:
    """What the inputs of all layers take, over the training batches of a repeat."""
    options, shapes = setting.options, setting.reference.skeleton.shapes
    numbers = sum(shape.in_channels * shape.resolution**2 for shape in shapes)
    return 4 * numbers * options.batch * options.steps


def _rows(candidates: Sequence[Sequence[Cell]], part: list[Place]) -> list[list[Cell]]:
    rows: list[list[Cell]] = [[] for _ in candidates]
    for layer, place in part:
        rows[layer].append(candidates[layer][place])
    return rows
