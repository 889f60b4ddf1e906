"""Batch normalisation and ReLU6 after a convolution that is PyTorch's own."""

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from autospace.networks.kernels import norms
from autospace.networks.kernels.calls import laid_out, on_images, pointers


def norm_act(z: torch.Tensor, norm: nn.BatchNorm2d, *, activate: bool) -> torch.Tensor:
    """Batch normalisation of z [N, C, H, W] and, if asked, ReLU6."""
    found: torch.Tensor = _NormAct.apply(  # type: ignore[no-untyped-call]
        norm, activate, z, norm.weight, norm.bias
    )
    return found


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, norm: nn.BatchNorm2d, activate: bool, z: torch.Tensor, *_: torch.Tensor
    ) -> torch.Tensor:
        z = laid_out(z)
        coefficients = norms.measured(norm, z)
        ctx.activate = activate
        ctx.save_for_backward(z, coefficients)
        return norms.added([(z, coefficients)], [], activate=activate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        z, coefficients = ctx.saved_tensors
        slope = laid_out(slope)
        sums = norms.slope_sums(slope, z, coefficients, activate=ctx.activate)
        pixels = z.shape[2] * z.shape[3]
        weight_slope, bias_slope, slopes = norms.slopes(*sums, pixels, coefficients)
        out = None
        if ctx.needs_input_grad[2]:
            out = torch.empty_like(z)
            norm = pointers(slope, z, coefficients, slopes)
            on_images("slope_of_input", z, norm, ctx.activate, out.data_ptr())
        return None, None, out, weight_slope, bias_slope
