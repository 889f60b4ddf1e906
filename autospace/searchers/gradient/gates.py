"""A path through a supernet whose loss tells the gates of other candidates what they would do.

A layer with gates g computes y = sum_j g_j c_j(x). At one-hot g only the active candidate has to
run for y, and only through it does anything flow back to x and to the weights, since all others
are multiplied by 0. What the gates themselves need, dL/dg_j = <dL/dy, c_j(x)>, is computed on the
way back, one candidate after another and without a graph: the memory of one path, whatever the
number of candidates (ProxylessNAS, Cai et al., ICLR 2019, equation 3, computed as its released
code does in its memory-saving mode).

The gradient is handed to differentiable weights that stand in for the gates, as with a
straight-through estimator. What those are makes the method: a softmax (ProxylessNAS), the
continuous parameters themselves (NASP), a softmax under Gumbel noise (GDAS).
"""

from collections.abc import Sequence
from typing import Any

import torch

from autospace.networks.cells import CellModule
from autospace.networks.network import joined
from autospace.spaces.choices import Path
from autospace.supernets.supernet import Supernet


class _Gate(torch.autograd.Function):
    """The active candidate's output y, as it is; on the way back <dL/dy, c_j(x)> for the gates."""

    @staticmethod
    def forward(
        ctx: Any,
        weights: torch.Tensor,
        y: torch.Tensor,
        x: torch.Tensor,
        active: int,
        others: dict[int, CellModule],
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
    path: Path,
    weights: Sequence[torch.Tensor],
    seen: Sequence[Sequence[int]],
) -> torch.Tensor:
    """Logits of a path; their gradient reaches the weights of all candidates that are `seen`.

    Args:
        supernet: its weights may be frozen.
        images: [N, C, H, W].
        path: the active candidate of each layer.
        weights: a tensor [K] a layer that takes the gradient of the gates; their values do not
            matter. Layers whose tensor asks for no gradient get none.
        seen: per layer the candidates whose gates get a gradient; those of all others get 0.
    """
    x: torch.Tensor = supernet.network.stem(images)
    layers = zip(supernet.shapes, supernet.choices, path, weights, seen, strict=True)
    for shape, modules, active, row, indices in layers:
        y = modules[active](x)
        if row.requires_grad:
            others = {index: modules[index] for index in indices if index != active}
            y = _Gate.apply(row, y, x, active, others)  # type: ignore[no-untyped-call]
        x = joined(shape, x, y)
    return supernet.network.classify(x)
