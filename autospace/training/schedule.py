"""The learning rate: a linear warm-up, then a cosine."""

import math
from functools import partial

import torch


def rate(step: int, steps: int, rise: int, peak: float, final: float = 0.0) -> float:
    """Learning rate of a step, counted from 0.

    Args:
        step: below `steps`.
        steps: of the whole training.
        rise: the first steps, over which the rate rises linearly to its peak; at least 1.
        peak: the largest rate.
        final: what the cosine falls to, reached after the last step.
    """
    if step < rise:
        return peak * (step + 1) / rise
    progress = (step - rise) / max(1, steps - rise)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


def make_scheduler(
    optimizer: torch.optim.Optimizer, *, steps: int, rise: int, final: float, start: int = 0
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule as torch's own scheduler: a function of the step, so without state to keep.

    Args:
        optimizer: its rate is the peak.
        steps: of the whole training.
        rise: steps of the warm-up; at least 1.
        final: share of the peak that is left at the end.
        start: the step that comes next.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    factor = partial(rate, steps=steps, rise=rise, peak=1.0, final=final)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=start - 1)
