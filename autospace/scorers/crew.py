"""Processes that train candidates, and how many of them a machine has room for."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from autospace.compute.execution import Execution
from autospace.compute.memory import available_memory
from autospace.compute.microbatches import Parts
from autospace.compute.processes import Processes, Tell, cores
from autospace.scorers.alone import LoneScorer
from autospace.scorers.context import KEPT_BYTES, Setting
from autospace.spaces.cells.cell import Cell
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
            partial(_Training, path, self.kept_bytes), count, threads=threads
        )
        self._processes.start(count)

    @property
    def count(self) -> int:
        """Processes."""
        return self._processes.count

    def take(self, make: Makes, setting: Setting) -> None:
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
        execution = Execution(precision=precision, parts=Parts(self._say))
        setting = Setting(
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
