"""Clocks and middles that other work on the machine disturbs as little as can be.

On a CPU the clock counts the processor time of this process, in one thread: what other processes
take does not count. On a GPU it is the wall's, after the device has finished.
"""

import statistics
import time
from collections.abc import Callable, Sequence

import torch

Clock = Callable[[], float]
"""Seconds since some moment."""

_ROBUST_FROM = 5


def clock_of(device: torch.device) -> Clock:
    """The clock for work on a device."""
    if device.type != "cuda":
        return time.process_time

    def finished() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return finished


def spread(values: Sequence[float]) -> float:
    """Standard deviation of one of some values; from five on, outliers do not count."""
    if len(values) < 2:
        return 0.0
    if len(values) < _ROBUST_FROM:
        return statistics.stdev(values)
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - middle) for value in values)
