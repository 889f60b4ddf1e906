"""Suite `speed`: ratios of two ways to do equal work, taken in turn in one process.

`search_step_ratio`: the plain path's time over the mixture scorer's for a whole search step
(weights, then alpha). `generation_ratio`: the mixture's time over the default scorer's for the
same candidates, each at its own share of the default steps.

`memory_ratio`: peak memory of the mixture scorer with its defaults over that of the plain path;
`recompute_memory_ratio`: that of a scorer whose cells are computed again in the backward pass.
On a CPU each side runs in its own process, because a process never returns its peak memory; the
growth of the peak is what is measured. As a program, this module is that process:
`python -m autospace.bench.speed ours|recomputed|plain quick|full cpu` writes bytes to stdout.

Before it begins, the full suite says how long it will take: it times one small step of the plain
path, of which the suite is a known multiple.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch

from autospace.bench.document import Entry
from autospace.bench.plain_path import PlainSearch, PlainSupernet
from autospace.bench.workload import (
    LARGE,
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
from autospace.compute.machine import peak_memory
from autospace.compute.worker import WorkerLostError
from autospace.progress import Message
from autospace.scorers.context import ScoringContext
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces.text import shortened

DEFAULT: Final = ScoringConfig()
REPEATS: Final = 5
FULL_STEP_REPEATS: Final = 3
GENERATION_SHARE: Final = 8
"""A measured generation has an eighth of the default steps and validation batches."""


SMALL_STEP: Final = Size((16, 32, 64), 1, 32, 4, 8)
"""The step that is timed to know how long the suite takes."""
SUITE_STEPS: Final = 400
"""Processor time of the full suite on a CPU over that of the small step on the plain path."""
MOST_SECONDS: Final = 600


def speed(*, quick: bool, device: torch.device, on_message: Message) -> Iterator[Entry]:
    """The entries of the suite, each as soon as it is measured."""
    step, generation, repeats = LARGE, MIDDLE, FULL_STEP_REPEATS
    if quick:
        step, generation, repeats = QUICK, QUICK, REPEATS
    with threads(1):
        if not quick and device.type == "cpu":
            on_message(forecast(seconds_of_suite()))
        yield search_step_ratio(step, repeats, device, on_message)
        yield generation_ratio(generation, REPEATS, device, on_message)
        yield from memory_ratios(device, on_message, quick=quick)


def seconds_of_suite(clock: Clock = time.perf_counter) -> float:
    """Time that the full suite will take on a CPU, other work on the machine included."""
    device = torch.device("cpu")
    search = _plain_search(SMALL_STEP, device)
    batches = SameBatch(SMALL_STEP, device, channels_last=False)
    # The first step loads libraries.
    _, seconds = _plain_steps(search, batches, 2, clock)
    return SUITE_STEPS * seconds


def forecast(seconds: float) -> str:
    """A message about how long the suite will take."""
    minutes = max(1, round(seconds / 60))
    about = f"speed: about {minutes} minute{'s' * (minutes > 1)}"
    if seconds <= MOST_SECONDS:
        return about
    return (
        f"{about}, more than the usual ten, because this machine is slow or busy; "
        "Ctrl-C keeps what was measured, and --quick measures less"
    )


def search_step_ratio(
    size: Size,
    repeats: int,
    device: torch.device,
    on_message: Message,
    clock: Clock | None = None,
) -> Entry:
    """Plain time over ours for a whole search step; the first repeat only warms up."""
    clock = clock or clock_of(device)
    search = _plain_search(size, device)
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


def _plain_search(size: Size, device: torch.device) -> PlainSearch:
    choices = [[*cells, REFERENCE] for cells in size.cells]
    return PlainSearch(PlainSupernet(size.skeleton, choices).to(device))


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


METRICS: Final = {"ours": "memory_ratio", "recomputed": "recompute_memory_ratio"}
MEMORY_REPEATS: Final = 2
MOST_SAID: Final = 200
WARM_UP: Final = Size((4,), 1, 8, 4, 4)
MEMORY_QUICK: Final = Size((16, 32), 1, 32, 4, 24)
"""Larger than the quick size for time, so that the memory of the process itself does not matter."""


def memory_ratios(device: torch.device, on_message: Message, *, quick: bool) -> list[Entry]:
    """The growth of our process, with and without recomputing, over that of the plain one."""
    ratios: dict[str, list[float]] = {side: [] for side in METRICS}
    for repeat in range(MEMORY_REPEATS):
        on_message(f"speed: memory, {repeat} of {MEMORY_REPEATS}")
        plain = _measured("plain", quick, device)
        for side, found in ratios.items():
            found.append(_measured(side, quick, device) / plain)
    return [
        Entry(
            suite="speed",
            metric=METRICS[side],
            value=statistics.median(found),
            unit="ratio",
            better="lower",
            spread=spread(found),
            n=len(found),
        )
        for side, found in ratios.items()
    ]


def _measured(side: str, quick: bool, device: torch.device) -> int:
    """The growth of a process of its own, in bytes.

    Raises:
        WorkerLostError: the process failed; the cause has its traceback.
    """
    words = [side, "quick" if quick else "full", str(device)]
    # Without the current folder among the modules: a user's `statistics.py` would be imported.
    command = [sys.executable, "-P", "-m", "autospace.bench.speed", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        # No traceback of ours: its exit code 1 would be that of a regression.
        last = done.stderr.strip().rpartition("\n")[2] or "perhaps for lack of memory"
        problem = f"the process that measures memory ended with exit code {done.returncode}"
        cause = RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
        raise WorkerLostError(f"speed: {problem}: {shortened(last, MOST_SAID)}") from cause
    return int(done.stdout)


def growth(side: str, size: Size, device: torch.device) -> int:
    """Bytes that search steps use at their peak, beyond those used before."""
    with threads(1):
        # A small step first, so that libraries that are loaded on first use do not count.
        _work(side, WARM_UP, device)
        before = memory_now(device)
        _work(side, size, device)
    return max(1, memory_peak(device) - before)


def _work(side: str, size: Size, device: torch.device) -> None:
    if side in METRICS:
        recompute = side == "recomputed"
        options = ScoringConfig(method="mixture", steps=1, batch=size.batch, recompute=recompute)
        make_scorer(make_setting(size, options, device)).score(size.cells, 0)
        return
    search = _plain_search(size, device)
    batch = SameBatch(size, device, channels_last=False).batch(0)
    for _ in range(2):
        search.step(batch, batch)


def memory_now(device: torch.device) -> int:
    """Bytes in use; on a GPU, peaks count from here on."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return memory_peak(device)
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_peak(device: torch.device) -> int:
    """The largest number of bytes in use so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return peak_memory()


if __name__ == "__main__":
    chosen = MEMORY_QUICK if sys.argv[2] == "quick" else LARGE
    sys.stdout.write(f"{growth(sys.argv[1], chosen, torch.device(sys.argv[3]))}\n")
