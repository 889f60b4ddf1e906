"""How long a step of training takes, before the long work: a few steps are timed.

They are done on copies and leave no trace: batches and weights depend on seeds, not on what was
done before.
"""

import time
from collections.abc import Callable
from typing import Final

import torch

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
