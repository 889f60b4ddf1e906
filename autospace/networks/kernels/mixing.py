"""A weighed sum in one pass over its terms, and two back."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from autospace.networks.kernels.calls import image_sums, laid_out, on_images, pointers, scaled


def weighed_sum(terms: Sequence[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """The sum [N, C, H, W] of so many terms, each times its weight, of weights [K]."""
    found: torch.Tensor = _WeighedSum.apply(weights, *terms)  # type: ignore[no-untyped-call]
    return found


class _WeighedSum(torch.autograd.Function):
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
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weights, *terms = ctx.saved_tensors
        slope = laid_out(slope)
        found = [
            scaled(slope, weight.expand(slope.shape[:2]).contiguous()) if asked else None
            for weight, asked in zip(weights, ctx.needs_input_grad[1:], strict=True)
        ]
        slopes = None
        if ctx.needs_input_grad[0]:
            slopes = torch.stack([image_sums(slope, term)[1].sum() for term in terms])
        return slopes, *found
