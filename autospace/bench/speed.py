"""Suite `speed`: ratios of the times of two ways to do equal work, in turn in one process.

`search_step_ratio`: the plain path's time over the mixture scorer's for a whole search step
(weights, then alpha). `generation_ratio`: the mixture's time over the default scorer's for the
same candidates, each at its own share of the default steps. The ratios of memory are in
`autospace.bench.memory`.
"""

import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import torch

from autospace.bench.document import Entry
from autospace.bench.memory import memory_ratios
from autospace.bench.plain_path import PlainSearch, PlainSupernet
from autospace.bench.workload import (
    FULL,
    MIDDLE,
    QUICK,
    REFERENCE,
    Clock,
    SameBatch,
    Size,
    clock_of,
    make_setting,
    spread,
)
from autospace.compute.device import threads
from autospace.progress import Message
from autospace.scorers.context import ScoringContext
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig

DEFAULT: Final = ScoringConfig()
REPEATS: Final = 5
FULL_STEP_REPEATS: Final = 3
GENERATION_SHARE: Final = 8
"""A measured generation has an eighth of the default steps and validation batches."""


def speed(*, quick: bool, device: torch.device, on_message: Message) -> list[Entry]:
    """The entries of the suite."""
    step, generation, repeats = FULL, MIDDLE, FULL_STEP_REPEATS
    if quick:
        step, generation, repeats = QUICK, QUICK, REPEATS
    with threads(1):
        return [
            search_step_ratio(step, repeats, device, on_message),
            generation_ratio(generation, REPEATS, device, on_message),
            *memory_ratios(device, on_message, quick=quick),
        ]


def search_step_ratio(
    size: Size,
    repeats: int,
    device: torch.device,
    on_message: Message,
    clock: Clock | None = None,
) -> Entry:
    """Plain time over ours for a whole search step; the first repeat only warms up."""
    clock = clock or clock_of(device)
    choices = [[*cells, REFERENCE] for cells in size.cells]
    search = PlainSearch(PlainSupernet(size.skeleton, choices).to(device))
    batches = SameBatch(size, device, channels_last=False)
    ratios = []
    for repeat in range(repeats + 1):
        on_message(f"speed: search step, {repeat} of {repeats}")
        ours = _mixture_steps(size, device, clock)
        plain = _plain_steps(search, batches, len(ours), clock)
        ratios.append(statistics.median(plain) / statistics.median(ours))
    return _entry("search_step_ratio", ratios[1:])


def generation_ratio(
    size: Size,
    repeats: int,
    device: torch.device,
    on_message: Message,
    clock: Clock | None = None,
) -> Entry:
    """The mixture's time over the default scorer's for the same candidates."""
    clock = clock or clock_of(device)
    ours, theirs = (_Generation(size, method, device) for method in (DEFAULT.method, "mixture"))
    ratios = []
    for repeat in range(repeats + 1):
        on_message(f"speed: generation, {repeat} of {repeats}")
        seconds = [_timed(each, clock) for each in (theirs, ours)]
        ratios.append(seconds[0] / seconds[1])
    return _entry("generation_ratio", ratios[1:])


class _Generation:
    """One round of a scorer that has scored before, like every round of a run but the first."""

    def __init__(self, size: Size, method: str, device: torch.device) -> None:
        shortened = {
            name: max(1, round(getattr(DEFAULT, name) / GENERATION_SHARE))
            for name in ("steps", "validation_batches")
        }
        options = DEFAULT.model_copy(update={"method": method, "batch": size.batch, **shortened})
        self._scorer = make_scorer(make_setting(size, options, device))
        self._cells = size.cells

    def __call__(self) -> None:
        self._scorer.score(self._cells, 0)


def _timed(work: Callable[[], None], clock: Clock) -> float:
    started = clock()
    work()
    return clock() - started


def _mixture_steps(size: Size, device: torch.device, clock: Clock) -> list[float]:
    """Seconds of all whole search steps but the first, in one call of the mixture scorer."""
    marks: list[tuple[float, int]] = []

    def tick(done: int, total: int) -> None:
        del done, total
        marks.append((clock(), calls()))

    def calls() -> int:
        return validation.calls

    options = DEFAULT.model_copy(update={"method": "mixture", "steps": 1, "batch": size.batch})
    setting = make_setting(size, options, device, tick)
    validation = _counted(setting)
    make_scorer(setting).score(size.cells, 0)
    marks.append((clock(), calls()))
    # A step that uses validation images is a whole one; all others train only weights.
    whole = [after[0] - before[0] for before, after in pairwise(marks) if after[1] > before[1]]
    if len(whole) < 2:
        raise RuntimeError(f"the mixture scorer made {len(whole)} whole search steps of 2 or more")
    return whole[1:]


def _counted(setting: ScoringContext) -> SameBatch:
    if not isinstance(setting.validation, SameBatch):
        raise TypeError("the bench counts the calls of its own batches only")
    return setting.validation


def _plain_steps(search: PlainSearch, batches: SameBatch, count: int, clock: Clock) -> list[float]:
    batch = batches.batch(0)
    return [_timed(lambda: search.step(batch, batch), clock) for _ in range(count)]


def _entry(metric: str, ratios: Sequence[float]) -> Entry:
    return Entry(
        suite="speed",
        metric=metric,
        value=statistics.median(ratios),
        unit="ratio",
        better="higher",
        spread=spread(ratios),
        n=len(ratios),
    )
