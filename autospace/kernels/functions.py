"""Autograd functions over the kernels: training mode, channels_last, first derivatives only.

Both keep the output of the convolution alone for the backward pass; what batch normalisation and
ReLU6 made of it is computed anew there, where it is needed.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from autospace.kernels.calls import at, kernel, laid_out, on_channels, on_images, pointers
from autospace.kernels.native import Geometry


@dataclass(frozen=True, slots=True)
class Depthwise:
    """A depthwise convolution [C, 1, k, k] with the batch normalisation after it."""

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d

    def geometry(self, x: torch.Tensor) -> Geometry:
        """Shapes on an input [N, C, H, W]."""
        images, channels, height, width = x.shape
        stride = self.convolution.stride[0]
        out = [-(-side // stride) for side in (height, width)]
        kernel, dilation = self.convolution.kernel_size[0], self.convolution.dilation[0]
        return Geometry(images, channels, height, width, *out, kernel, stride, dilation)


def depthwise_sum(
    edges: Sequence[tuple[torch.Tensor, Depthwise]], others: Sequence[torch.Tensor]
) -> torch.Tensor:
    """A node: the sum of ReLU6(norm(convolution(x))) over its edges, and of the others."""
    tensors: list[torch.Tensor] = []
    for x, part in edges:
        tensors += [x, part.convolution.weight, part.norm.weight, part.norm.bias]
    found: torch.Tensor = _DepthwiseSum.apply(  # type: ignore[no-untyped-call]
        [part for _, part in edges], *tensors, *others
    )
    return found


def norm_act(z: torch.Tensor, norm: nn.BatchNorm2d, *, activate: bool) -> torch.Tensor:
    """Batch normalisation of z [N, C, H, W] and, if asked, ReLU6."""
    found: torch.Tensor = _NormAct.apply(  # type: ignore[no-untyped-call]
        norm, activate, z, norm.weight, norm.bias
    )
    return found


class _DepthwiseSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parts: list[Depthwise], *tensors: torch.Tensor) -> torch.Tensor:
        edges = 4 * len(parts)
        xs = [laid_out(x) for x in tensors[:edges:4]]
        others = [laid_out(each) for each in tensors[edges:]]
        ctx.geometries = [part.geometry(x) for x, part in zip(xs, parts, strict=True)]
        convolved = [
            _convolved(x, geometry, part)
            for x, geometry, part in zip(xs, ctx.geometries, parts, strict=True)
        ]
        ctx.save_for_backward(
            *(
                each
                for x, part, found in zip(xs, parts, convolved, strict=True)
                for each in (x, part.convolution.weight, *found)
            )
        )
        return _added(convolved, others, activate=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        slope = laid_out(slope)
        saved, needed = ctx.saved_tensors, ctx.needs_input_grad[1:]
        found: list[torch.Tensor | None] = [None]
        for index, geometry in enumerate(ctx.geometries):
            at = slice(4 * index, 4 * index + 4)
            x, weight, z, coefficients = saved[at]
            found += _edge_slopes(slope, geometry, x, weight, z, coefficients, needed[at])
        rest = needed[4 * len(ctx.geometries) :]
        return (*found, *(slope if wanted else None for wanted in rest))


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        norm: nn.BatchNorm2d,
        activate: bool,
        z: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        z = laid_out(z)
        images, channels, height, width = z.shape
        means, deviations = z.new_empty(2, images, channels)
        on_images("moments", z, *at(z, means, deviations))
        coefficients = _coefficients(norm, means, deviations, height * width)
        ctx.activate = activate
        ctx.save_for_backward(z, coefficients)
        return _added([(z, coefficients)], [], activate=activate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        z, coefficients = ctx.saved_tensors
        slope = laid_out(slope)
        weight_slope, bias_slope, slopes = _norm_slopes(slope, z, coefficients, ctx.activate)
        out = None
        if ctx.needs_input_grad[2]:
            out = torch.empty_like(z)
            norm = pointers(slope, z, coefficients, slopes)
            on_images("slope_of_input", z, norm, ctx.activate, out.data_ptr())
        return None, None, out, weight_slope, bias_slope


def _convolved(
    x: torch.Tensor, geometry: Geometry, part: Depthwise
) -> tuple[torch.Tensor, torch.Tensor]:
    """The convolution's output, and the coefficients [4, C] of its normalisation."""
    images, channels = x.shape[:2]
    height, width = geometry.out_height, geometry.out_width
    z = torch.empty(
        (images, channels, height, width), dtype=x.dtype, memory_format=torch.channels_last
    )
    means, deviations = x.new_empty(2, images, channels)
    weight = part.convolution.weight.contiguous()
    on_channels("depthwise", x, ctypes.byref(geometry), *at(x, weight, z, means, deviations))
    return z, _coefficients(part.norm, means, deviations, height * width)


def _coefficients(
    norm: nn.BatchNorm2d, means: torch.Tensor, deviations: torch.Tensor, pixels: int
) -> torch.Tensor:
    """Scale, shift, mean and inverse deviation [4, C]; moves the running statistics."""
    images, channels = means.shape
    found = means.new_empty(4, channels)
    tensors = (means, deviations, norm.weight, norm.bias)
    running = _running(norm)
    kernel(means, "joined_moments")(
        images,
        pixels,
        channels,
        *at(*tensors),
        norm.eps,
        _share(norm),
        *running,
        found.data_ptr(),
    )
    return found


def _share(norm: nn.BatchNorm2d) -> float:
    """Share of this batch in the running statistics; counts the batch."""
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:
            return 1.0 / int(norm.num_batches_tracked)
    return norm.momentum or 0.0


def _running(norm: nn.BatchNorm2d) -> tuple[int, int]:
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("batch normalisation without running statistics")
    return norm.running_mean.data_ptr(), norm.running_var.data_ptr()


def _added(
    terms: Sequence[tuple[torch.Tensor, torch.Tensor]],
    others: Sequence[torch.Tensor],
    *,
    activate: bool,
) -> torch.Tensor:
    z = terms[0][0]
    out = torch.empty_like(z)
    flat = pointers(*(tensor for term in terms for tensor in term))
    counted = (len(terms), flat, len(others), pointers(*others), activate)
    on_images("node", z, *counted, out.data_ptr())
    return out


def _norm_slopes(
    slope: torch.Tensor, z: torch.Tensor, coefficients: torch.Tensor, activate: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of batch normalisation's weight and bias, and coefficients [2, C] of z's."""
    images, channels, height, width = z.shape
    sums, products = z.new_empty(2, images, channels)
    on_images("slope_sums", z, *at(slope, z, coefficients), activate, *at(sums, products))
    weight, bias = z.new_empty(channels), z.new_empty(channels)
    slopes = z.new_empty(2, channels)
    places = at(sums, products, coefficients, weight, bias, slopes)
    kernel(z, "joined_slopes")(images, height * width, channels, *places)
    return weight, bias, slopes


def _edge_slopes(
    slope: torch.Tensor,
    geometry: Geometry,
    x: torch.Tensor,
    weight: torch.Tensor,
    z: torch.Tensor,
    coefficients: torch.Tensor,
    needed: Sequence[bool],
) -> tuple[torch.Tensor | None, ...]:
    """Gradients of x, of the kernels and of batch normalisation's weight and bias."""
    if not any(needed):
        return None, None, None, None
    weight_slope, bias_slope, slopes = _norm_slopes(slope, z, coefficients, activate=True)
    dx = torch.empty_like(x) if needed[0] else None
    dw = torch.empty_like(weight, memory_format=torch.contiguous_format) if needed[1] else None
    if needed[0] or needed[1]:
        norm = pointers(slope, z, coefficients, slopes)
        weight = weight.contiguous()
        places = (
            *at(x, weight),
            None if dx is None else dx.data_ptr(),
            None if dw is None else dw.data_ptr(),
        )
        on_channels("depthwise_slopes", x, ctypes.byref(geometry), norm, *places)
    return dx, dw, weight_slope, bias_slope
