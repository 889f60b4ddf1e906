"""Peak memory of the mixture scorer, relative to that of the plain path for equal work.

`memory_ratio` is for the scorer with its defaults, `recompute_memory_ratio` for one whose cells are
computed again in the backward pass.

On a CPU each side runs in its own process, because the peak of a process never falls. The growth of
the peak is measured. As a program, this module is that process:
`python -m autospace.bench.memory ours|recomputed|plain quick|full cpu` writes bytes to stdout.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

import torch

from autospace.bench.document import Entry
from autospace.bench.plain_path import PlainSearch, PlainSupernet
from autospace.bench.workload import FULL, REFERENCE, SameBatch, Size, make_setting, spread
from autospace.compute.device import threads
from autospace.compute.machine import peak_memory
from autospace.progress import Message
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig

METRICS: Final = {"ours": "memory_ratio", "recomputed": "recompute_memory_ratio"}
REPEATS: Final = 2
WARM_UP: Final = Size((4,), 1, 8, 4, 4)
QUICK: Final = Size((16, 32), 1, 32, 4, 24)
"""Larger than the quick size for time, so that the memory of the process itself does not matter."""


def memory_ratios(device: torch.device, on_message: Message, *, quick: bool) -> list[Entry]:
    """The growth of our process, with and without recomputing, over that of the plain one."""
    ratios: dict[str, list[float]] = {side: [] for side in METRICS}
    for repeat in range(REPEATS):
        on_message(f"speed: memory, {repeat} of {REPEATS}")
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
    words = [side, "quick" if quick else "full", str(device)]
    command = [sys.executable, "-m", "autospace.bench.memory", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
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
    choices = [[*cells, REFERENCE] for cells in size.cells]
    search = PlainSearch(PlainSupernet(size.skeleton, choices).to(device))
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
    chosen = QUICK if sys.argv[2] == "quick" else FULL
    sys.stdout.write(f"{growth(sys.argv[1], chosen, torch.device(sys.argv[3]))}\n")
