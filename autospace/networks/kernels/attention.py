"""Channel attention in three passes over memory forward and four back."""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from autospace.networks.kernels.calls import image_sums, laid_out, scaled

Weigh = Callable[[torch.Tensor], torch.Tensor]
"""From averages [N, C] to weights [N, C]."""


def reweighed(x: torch.Tensor, weigh: Weigh, *parameters: torch.Tensor) -> torch.Tensor:
    """Weighs the channels of x [N, C, H, W] by what `weigh` makes of their averages.

    `parameters` are those of `weigh`, which is asked again on the way back.
    """
    found: torch.Tensor = _Reweighed.apply(weigh, x, *parameters)  # type: ignore[no-untyped-call]
    return found


class _Reweighed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weigh: Weigh, x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        x = laid_out(x)
        averages = image_sums(x, x)[0] / (x.shape[2] * x.shape[3])
        weights = weigh(averages).contiguous()
        ctx.weigh = weigh
        ctx.save_for_backward(x, averages, weights, *parameters)
        return scaled(x, weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, averages, weights, *parameters = ctx.saved_tensors
        slope = laid_out(slope)
        needed = ctx.needs_input_grad[1:]
        with torch.enable_grad():
            averages = averages.detach().requires_grad_()
            again = ctx.weigh(averages)
        sources = [averages, *parameters]
        wanted = [source for source, asked in zip(sources, needed, strict=True) if asked]
        slopes = iter(torch.autograd.grad(again, wanted, image_sums(slope, x)[1]) if wanted else ())
        found = [next(slopes) if asked else None for asked in needed]
        if found[0] is not None:
            shift = (found[0] / (x.shape[2] * x.shape[3])).contiguous()
            found[0] = scaled(slope, weights, shift)
        return None, *found
