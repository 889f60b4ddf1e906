"""Timing many short pieces of work so that drift, warm-up and interruptions do not count.

Every piece is timed once per pass, and passes follow each other in ever new orders: what slows the
machine down for a while slows all pieces down alike, and a piece finds the caches as it does in a
network, full of other work. A first pass only warms up. On a GPU, where one piece is too short for
the clock, it is repeated. Of the measurements of a piece, the middle half counts.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import torch

from autospace.scorers.scorer import Tick, no_tick

GPU_SECONDS: Final = 1e-3
MOST_REPEATS: Final = 1000

Work = Callable[[], object]


class Stopwatch(NamedTuple):
    """A way to time work.

    Attributes:
        seconds: of so many repeats of a piece of work.
        least: seconds that one measurement should take; 0 for one repeat.
    """

    seconds: Callable[[Work, int], float]
    least: float = 0.0


class Timed(NamedTuple):
    """Mean and standard deviation of the middle half of n measurements, in milliseconds."""

    mean_ms: float
    std_ms: float
    n: int


def timed(
    pieces: Sequence[Work],
    stopwatch: Stopwatch,
    passes: int,
    tick: Tick = no_tick,
    seed: int = 0,
) -> list[Timed]:
    """Times every piece of work; `tick` is told the passes done and in all."""
    repeats = [_repeats(piece, stopwatch) for piece in pieces]
    seconds: list[list[float]] = [[] for _ in pieces]
    order, rng = list(range(len(pieces))), random.Random(seed)
    for done in range(passes):
        tick(done, passes)
        rng.shuffle(order)
        for index in order:
            taken = stopwatch.seconds(pieces[index], repeats[index])
            seconds[index].append(taken / repeats[index])
    return [middle_half(values) for values in seconds]


def middle_half(seconds: Sequence[float]) -> Timed:
    """Without the fastest and the slowest quarter, which are the clock's and other processes'."""
    cut = len(seconds) // 4
    kept = sorted(seconds)[cut : len(seconds) - cut]
    deviation = statistics.stdev(kept) if len(kept) > 1 else 0.0
    return Timed(1e3 * statistics.mean(kept), 1e3 * deviation, len(seconds))


def stopwatch_of(device: torch.device, threads: int) -> Stopwatch:
    """The device's own events on a GPU; on a CPU the time of the one thread, or of the wall.

    What other processes take from the core does not count for one thread; with several, only the
    wall knows how long they took together.
    """
    if device.type == "cuda":
        return Stopwatch(_on_gpu, GPU_SECONDS)
    return Stopwatch(_by(time.thread_time if threads == 1 else time.perf_counter))


def _by(clock: Callable[[], float]) -> Callable[[Work, int], float]:
    def seconds(work: Work, repeats: int) -> float:
        started = clock()
        for _ in range(repeats):
            work()
        return clock() - started

    return seconds


def _on_gpu(work: Work, repeats: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for _ in range(repeats):
        work()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def _repeats(work: Work, stopwatch: Stopwatch) -> int:
    """How often a piece is repeated in one measurement; runs it, so that it is warm."""
    repeats = 1
    while True:
        seconds = stopwatch.seconds(work, repeats)
        if seconds >= stopwatch.least or repeats >= MOST_REPEATS:
            return repeats
        repeats = min(MOST_REPEATS, 2 * repeats)
