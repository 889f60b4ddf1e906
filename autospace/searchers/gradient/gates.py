"""A path through a supernet whose loss also gives gradients to the gates of other candidates.

A layer with gates g computes y = sum_j g_j c_j(x). If g is one-hot, only the active candidate
runs for y, and the gradients of x and of the weights pass only through it, since all others are
multiplied by 0. The gradients of the gates, dL/dg_j = <dL/dy, c_j(x)>, are computed in the backward
pass, one candidate after another and without a graph. This takes the memory of one path, whatever
the number of candidates (ProxylessNAS, Cai et al., ICLR 2019, equation 3, computed as in the
memory-saving mode of its released code).

The gradient is handed to differentiable weights that stand in for the gates, as with a
straight-through estimator. The methods differ in these weights: a softmax (ProxylessNAS), the
continuous parameters themselves (NASP), a softmax under Gumbel noise (GDAS).

`draw` and `draw_pairs` draw architectures within the limits from a distribution per layer.
"""

import math
import random
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from autospace.searchers.gradient.search import Rows
from autospace.spaces.choices import Choice, Choices
from autospace.supernets.supernet import Supernet

TRIES = 64


class Draw(NamedTuple):
    """A path, and the noise that selected it: per layer argmax_k (log p_k + noise_k)."""

    path: Choice
    noise: Rows


class PairDraw(NamedTuple):
    """A path, and per layer two candidates including its own; one if the layer has only one."""

    path: Choice
    pairs: tuple[Choice, ...]


def draw(choices: Choices, log_p: Rows, rng: random.Random) -> Draw:
    """One candidate per layer drawn from p; whole paths are drawn again if they exceed a limit.

    By the Gumbel-max trick, the argmax of log p plus standard Gumbel noise is distributed as p.
    If no draw is within the limits, the result is the allowed path with the largest perturbed sum.
    """
    for _ in range(TRIES):
        noise = [[_gumbel(rng) for _ in row] for row in log_p]
        perturbed = _sums(log_p, noise)
        path = tuple(max(range(len(row)), key=row.__getitem__) for row in perturbed)
        if choices.allows(path):
            return Draw(path, noise)
    return Draw(choices.best(perturbed), noise)


def draw_pairs(choices: Choices, log_p: Rows, rng: random.Random) -> PairDraw:
    """Two distinct candidates per layer, drawn from p, one active (ProxylessNAS, section 3.2).

    The pair is drawn without replacement, then the active one from p renormalised over the pair.
    Both are drawn again if the active path exceeds a limit.
    """
    for _ in range(TRIES):
        perturbed = _sums(log_p, [[_gumbel(rng) for _ in row] for row in log_p])
        pairs = tuple(_top_two(row) for row in perturbed)
        path = tuple(
            rng.choices(pair, [math.exp(row[index] - row[pair[0]]) for index in pair])[0]
            for pair, row in zip(pairs, log_p, strict=True)
        )
        if choices.allows(path):
            return PairDraw(path, pairs)
    path = choices.best(perturbed)
    others = (_top_two(_without(row, index)) for row, index in zip(perturbed, path, strict=True))
    pairs = tuple(
        (index, other[0])[: len(row)]
        for index, other, row in zip(path, others, perturbed, strict=True)
    )
    return PairDraw(path, pairs)


def _gumbel(rng: random.Random) -> float:
    # 1 - random() lies in (0, 1]; the bound keeps the logarithm of 1 from being 0.
    return -math.log(max(-math.log(1 - rng.random()), 1e-300))


def _sums(left: Rows, right: Rows) -> Rows:
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def _top_two(row: list[float]) -> Choice:
    return tuple(sorted(range(len(row)), key=lambda index: -row[index])[:2])


def _without(row: list[float], index: int) -> list[float]:
    return [-math.inf if other == index else value for other, value in enumerate(row)]


class _Gate(torch.autograd.Function):
    """Returns the active candidate's output y; the backward pass gives gates <dL/dy, c_j(x)>."""

    @staticmethod
    def forward(
        ctx: Any,
        weights: torch.Tensor,
        y: torch.Tensor,
        x: torch.Tensor,
        active: int,
        others: dict[int, nn.Module],
    ) -> torch.Tensor:
        ctx.save_for_backward(x, y)
        ctx.active, ctx.others = active, others
        ctx.size, ctx.dtype = len(weights), weights.dtype
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        (g,), (x, y) = gradients, ctx.saved_tensors
        row = g.new_zeros(ctx.size, dtype=ctx.dtype)
        row[ctx.active] = (g * y).sum()
        with torch.no_grad():
            for index, module in ctx.others.items():
                row[index] = (g * module(x)).sum()
        return row, g, None, None, None


def gated_path(
    supernet: Supernet,
    images: torch.Tensor,
    path: Choice,
    weights: Sequence[torch.Tensor],
    seen: Sequence[Sequence[int]],
) -> torch.Tensor:
    """Logits of a path; their gradient reaches the weights of all candidates that are `seen`.

    Args:
        supernet: its weights may be frozen.
        images: [N, C, H, W].
        path: the active candidate of each choice.
        weights: a tensor [K] per choice that receives the gradient of the gates, of several layers
            their sum; its values do not matter. If it requires no gradient, it gets none.
        seen: per choice the candidates whose gates get a gradient; all others get 0.
    """
    gates = [partial(_gated, row, own) for row, own in zip(weights, seen, strict=True)]
    return supernet.logits(images, supernet.gated(path, gates))


def _gated(
    row: torch.Tensor,
    indices: Sequence[int],
    modules: Sequence[nn.Module],
    active: int,
    x: torch.Tensor,
) -> torch.Tensor:
    y: torch.Tensor = modules[active](x)
    if row.requires_grad:
        others = {index: modules[index] for index in indices if index != active}
        y = _Gate.apply(row, y, x, active, others)  # type: ignore[no-untyped-call]
    return y
