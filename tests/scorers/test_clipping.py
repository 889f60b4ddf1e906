"""Clipping of many candidates at once, against PyTorch's own clipping of one after the other."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autospace.scorers.independent import clip_each

GROUPS = st.lists(st.lists(st.integers(1, 40), max_size=4), max_size=5)


def _weights(sizes: list[int], scale: float) -> list[nn.Parameter]:
    found = [nn.Parameter(torch.randn(size)) for size in sizes]
    for each in found:
        each.grad = scale * torch.randn_like(each)
    return found


@given(GROUPS, st.integers(0, 2**31), st.sampled_from([0.01, 1.0, 100.0]))
def test_it_gives_the_bits_of_one_group_after_the_other(
    groups: list[list[int]], seed: int, scale: float
) -> None:
    torch.manual_seed(seed)
    together = [_weights(sizes, scale) for sizes in groups]
    alone = copy.deepcopy(together)
    for mine, other in zip(together, alone, strict=True):
        for weight, copied in zip(mine, other, strict=True):
            copied.grad = weight.grad.clone()  # type: ignore[union-attr]
    clip_each(together, 5.0)
    for group in alone:
        nn.utils.clip_grad_norm_(group, 5.0)
    for mine, other in zip(together, alone, strict=True):
        for weight, copied in zip(mine, other, strict=True):
            assert torch.equal(weight.grad, copied.grad)  # type: ignore[arg-type]


def test_a_weight_without_a_gradient_is_left_alone() -> None:
    trained, idle = _weights([3], 100.0)[0], nn.Parameter(torch.ones(2))
    clip_each([[idle], [idle, trained]], 5.0)
    assert idle.grad is None
    assert trained.grad is not None
    assert trained.grad.norm().item() == pytest.approx(5.0)
