"""What a node does with its terms: a weighted sum in one pass, channel attention in three."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from autospace.networks.kernels.native import image_sums, laid_out, on_images, pointers, scaled


def weighted_sum(terms: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """The sum [N, C, H, W] of K terms, each times its weight, of weights [K]."""
    found: torch.Tensor = _WeightedSum.apply(weights, *terms)  # type: ignore[no-untyped-call]
    return found


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: torch.Tensor, *terms: torch.Tensor) -> torch.Tensor:
        kept = [laid_out(term) for term in terms]
        ctx.save_for_backward(weights, *kept)
        # A node without activations: z times scale plus 0.
        scales = weights.new_zeros(len(kept), 2, kept[0].shape[1])
        scales[:, 0] = weights[:, None]
        out = torch.empty_like(kept[0])
        flat = pointers(*(each for pair in zip(kept, scales, strict=True) for each in pair))
        on_images("node", out, len(kept), flat, 0, None, False, out.data_ptr())
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weights, *terms = ctx.saved_tensors
        gradient = laid_out(gradient)
        found = [
            scaled(gradient, weight.expand(gradient.shape[:2]).contiguous()) if asked else None
            for weight, asked in zip(weights, ctx.needs_input_grad[1:], strict=True)
        ]
        gradients = None
        if ctx.needs_input_grad[0]:
            gradients = torch.stack([image_sums(gradient, term)[1].sum() for term in terms])
        return gradients, *found


Weigh = Callable[[torch.Tensor], torch.Tensor]
"""From averages [N, C] to weights [N, C]."""


def reweighted(x: torch.Tensor, weigh: Weigh, *parameters: torch.Tensor) -> torch.Tensor:
    """The channels of x [N, C, H, W], multiplied by what `weigh` makes of their averages.

    `parameters` are those of `weigh`, which is called again in the backward pass.
    """
    found: torch.Tensor = _Reweighted.apply(weigh, x, *parameters)  # type: ignore[no-untyped-call]
    return found


class _Reweighted(torch.autograd.Function):
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
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, averages, weights, *parameters = ctx.saved_tensors
        gradient = laid_out(gradient)
        needed = ctx.needs_input_grad[1:]
        with torch.enable_grad():
            averages = averages.detach().requires_grad_()
            again = ctx.weigh(averages)
        sources = [averages, *parameters]
        wanted = [source for source, asked in zip(sources, needed, strict=True) if asked]
        gradients = iter(
            torch.autograd.grad(again, wanted, image_sums(gradient, x)[1]) if wanted else ()
        )
        found = [next(gradients) if asked else None for asked in needed]
        if found[0] is not None:
            shift = (found[0] / (x.shape[2] * x.shape[3])).contiguous()
            found[0] = scaled(gradient, weights, shift)
        return None, *found
