"""How long a step of training takes, before the long work: a few steps are timed.

They are done on copies and leave no trace: batches and weights depend on seeds, not on what was
done before.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from autospace.compute.device import named
from autospace.progress import duration

TIMED_STEPS: Final = 4
LONG_SECONDS: Final = 3.0
"""After a step that takes longer, no others are timed."""
FORWARD_SHARE: Final = 1 / 3
"""Of the work of a step, for as many images that are only measured: a backward pass is two more."""


def seconds_of_step(run: Callable[[int], None], device: torch.device) -> float:
    """The mean time of some steps after the first, which also loads and compiles what it needs.

    Args:
        run: does a number of steps.
        device: where.
    """

    def timed(steps: int) -> float:
        started = time.perf_counter()
        run(steps)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (time.perf_counter() - started) / steps

    timed(1)
    second = timed(1)
    return second if second > LONG_SECONDS else timed(TIMED_STEPS)


@dataclass(frozen=True)
class Forecast:
    """How long work takes, by a few timed steps.

    Attributes:
        seconds: of all of it.
        device: where.
        workers: that do it at the same time.
        memory_mb: the largest memory; None if it is not known.
        clustered: whether a cluster does it, whose size is not known yet.
        least: whether later steps take longer than those that were timed.
        most: whether they take less, because a GPU records them, and called steps were timed.
        others: devices that workers compute on, `device` among them; empty for `device` alone. On
            a cluster, the kind of its GPUs, which were not timed.
    """

    seconds: float
    device: torch.device
    workers: int = 1
    memory_mb: int | None = None
    clustered: bool = False
    least: bool = False
    most: bool = False
    others: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """For a plan, in at most 80 columns each."""
        words = "at least" if self.least else "at most" if self.most else "about"
        how_long = f"{words} {duration(self.seconds)}"
        memory = "" if self.memory_mb is None else f" and {self.memory_mb:,} MB"
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        line = f"plan: {how_long}{memory} on {self._place} with {workers}, by timed steps"
        divided = "plan: a cluster divides this time"
        if self.others:
            divided = "plan: the GPUs of a cluster share the work; their time is not known"
        return (line, *([divided] if self.clustered else []))

    @property
    def record(self) -> dict[str, Any]:
        """The same as values that JSON can hold; what the workers of a cluster compute on, too."""
        cluster = {"cluster": self.others[0] if self.others else "cpu"} if self.clustered else {}
        return {
            "seconds": round(self.seconds, 1),
            "memory_mb": self.memory_mb,
            "device": self._place,
            "workers": self.workers,
            **cluster,
        }

    @property
    def _place(self) -> str:
        return named(self.others) if len(self.others) > 1 else self.device.type
