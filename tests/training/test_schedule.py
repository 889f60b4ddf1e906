"""The learning rate, against its closed form and torch's own schedulers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from autospace.training.short import make_scheduler, rate


def _optimizer(peak: float) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], peak)


def _course(
    optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler, count: int
) -> list[float]:
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@given(st.integers(1, 400), st.integers(1, 100), st.floats(1e-4, 1), st.floats(0, 1))
def test_the_rate_rises_linearly_and_falls_as_a_cosine(
    steps: int, rise: int, peak: float, share: float
) -> None:
    for step in range(steps):
        if step < rise:
            expected = peak * (step + 1) / rise
        else:
            half = math.pi / 2 * (step - rise) / (steps - rise)
            # cos^2 is the other way to write half of one plus the cosine of twice the angle.
            expected = peak * (share + (1 - share) * math.cos(half) ** 2)
        assert rate(step, steps, rise, peak, peak * share) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("steps", "rise", "final"), [(50, 7, 0.0), (30, 2, 0.1), (12, 11, 0.0)])
def test_it_is_what_two_schedulers_of_torch_in_sequence_give(
    steps: int, rise: int, final: float
) -> None:
    other = _optimizer(0.3)
    parts = [
        LinearLR(other, 1 / rise, 1.0, rise - 1),
        CosineAnnealingLR(other, steps - rise, 0.3 * final),
    ]
    expected = _course(other, SequentialLR(other, parts, [rise]), steps)
    ours = _optimizer(0.3)
    scheduler = make_scheduler(ours, steps=steps, rise=rise, final=final)
    assert _course(ours, scheduler, steps) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("start", [1, 4, 5, 19])
def test_a_schedule_begun_in_the_middle_gives_the_same_bits(start: int) -> None:
    whole = _optimizer(0.1)
    rates = _course(whole, make_scheduler(whole, steps=20, rise=5, final=0.0), 20)
    parted = _optimizer(0.1)
    scheduler = make_scheduler(parted, steps=20, rise=5, final=0.0, start=start)
    assert _course(parted, scheduler, 20 - start) == rates[start:]
