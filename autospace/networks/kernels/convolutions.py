"""Autograd functions over the kernels: convolutions whose output awaits its normalisation.

Training mode, channels last, first derivatives only. For the backward pass they keep only the
output of the convolution. What batch normalisation and ReLU6 make of it is computed again where it
is needed, and so is the input of the convolution, if that was pending too.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from autospace.networks.kernels import norms
from autospace.networks.kernels.native import (
    Dense,
    Geometry,
    at,
    kernel,
    laid_out,
    on_channels,
    on_groups,
    place,
    pointers,
)
from autospace.networks.kernels.norms import Pair, Pending, Sums

GROUPS: Final = 8
"""Most groups of images: one thread sums what a group adds to the gradients of 1x1 convolutions."""

NO_SUMS: Final = (None, None)

Tensors = tuple[torch.Tensor | None, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """One use of a convolution and its normalisation.

    It holds no tensors, because they would stay in memory until the end of the backward pass.

    Attributes:
        activate: whether ReLU6 follows.
        before: the sums of the input, if that is pending.
        sums: the sums of the output.
    """

    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    activate: bool
    before: Sums | None
    sums: Sums = field(default_factory=Sums)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Where gradients go; those that nobody needs are None.

    Attributes:
        x: the gradient of the input.
        sums: sums and products of that gradient [N, C], for the pending normalisation of x.
        weight: whether the gradient of the weights is wanted.
    """

    x: torch.Tensor | None
    sums: Pair | None
    weight: bool


def depthwise_convolution(
    x: Pending | torch.Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d
) -> Pending:
    """Depthwise convolution [C, 1, k, k] of x [N, C, H, W]; norm and ReLU6 follow later."""
    return _pending(_Depthwise, x, convolution, norm, activate=True)


def pointwise_convolution(
    x: Pending | torch.Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d, *, activate: bool
) -> Pending:
    """1x1 convolution [C', C, 1, 1] of x [N, C, H, W]; norm and maybe ReLU6 follow later."""
    return _pending(_Pointwise, x, convolution, norm, activate=activate)


def _pending(
    function: type[torch.autograd.Function],
    x: Pending | torch.Tensor,
    convolution: nn.Conv2d,
    norm: nn.BatchNorm2d,
    *,
    activate: bool,
) -> Pending:
    unit = _Unit(convolution, norm, activate, x.sums if isinstance(x, Pending) else None)
    if unit.before is not None:
        unit.before.readers += 1
    read = (x.z, x.coefficients) if isinstance(x, Pending) else (laid_out(x), None)
    z, coefficients = function.apply(unit, *read, convolution.weight, norm.weight, norm.bias)
    return Pending(z, coefficients, activate, unit.sums)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        unit: _Unit,
        x: torch.Tensor,
        before: torch.Tensor | None,
        weight: torch.Tensor,
        *_: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.geometry = _geometry(unit.convolution, x)
        height, width = ctx.geometry.out_height, ctx.geometry.out_width

        def run(z: torch.Tensor, *places: int | None) -> None:
            on_channels("depthwise", x, ctypes.byref(ctx.geometry), *places)

        return _forward(ctx, unit, (x, before, weight), (*x.shape[:2], height, width), run)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor | None, _: None) -> Tensors:
        def run(
            x: torch.Tensor, weight: torch.Tensor, norm: object, wanted: _Wanted, *read: int | None
        ) -> torch.Tensor | None:
            found = torch.empty_like(weight) if wanted.weight else None
            places = map(place, (wanted.x, found, *(wanted.sums or NO_SUMS)))
            on_channels("depthwise_slopes", x, ctypes.byref(ctx.geometry), norm, *read, *places)
            return found

        return _backward(ctx, gradient, run)


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        unit: _Unit,
        x: torch.Tensor,
        before: torch.Tensor | None,
        weight: torch.Tensor,
        *_: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        (images, inputs, height, width), outputs = x.shape, weight.shape[0]
        ctx.dense = Dense(images, height * width, inputs, outputs, min(images, GROUPS))

        def run(z: torch.Tensor, *places: int | None) -> None:
            on_groups("pointwise", z, images, ctypes.byref(ctx.dense), *places)

        return _forward(ctx, unit, (x, before, weight), (images, outputs, height, width), run)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor | None, _: None) -> Tensors:
        def run(
            x: torch.Tensor, weight: torch.Tensor, norm: object, wanted: _Wanted, *read: int | None
        ) -> torch.Tensor | None:
            groups, size = ctx.dense.groups, weight.numel()
            parts = x.new_empty(groups, size) if wanted.weight else None
            places = map(place, (wanted.x, parts, *(wanted.sums or NO_SUMS)))
            given = (ctypes.byref(ctx.dense), norm, ctx.unit.activate, *read, *places)
            on_groups("pointwise_slopes", x, groups, *given)
            if parts is None:
                return None
            found = torch.empty_like(weight)
            kernel(x, "joined_weights")(groups, size, *at(parts, found))
            return found

        return _backward(ctx, gradient, run)


def _geometry(convolution: nn.Conv2d, x: torch.Tensor) -> Geometry:
    stride = convolution.stride[0]
    out = [-(-side // stride) for side in x.shape[2:]]
    return Geometry(*x.shape, *out, convolution.kernel_size[0], stride, convolution.dilation[0])


def _forward(
    ctx: Any,
    unit: _Unit,
    read: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor],
    size: tuple[int, ...],
    run: Callable[..., None],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The convolution's output, and the coefficients of its normalisation."""
    x, before, weight = *read[:2], read[2].contiguous()
    z = torch.empty(size, dtype=x.dtype, memory_format=torch.channels_last)
    means, deviations = x.new_empty(2, *size[:2])
    run(z, x.data_ptr(), place(before), *at(weight, z, means, deviations))
    coefficients = norms.coefficients(unit.norm, means, deviations, size[2] * size[3])
    ctx.unit = unit
    ctx.save_for_backward(x, weight, z, coefficients, before)
    ctx.mark_non_differentiable(coefficients)
    ctx.set_materialize_grads(False)
    return z, coefficients


def _backward(
    ctx: Any, gradient: torch.Tensor | None, run: Callable[..., torch.Tensor | None]
) -> Tensors:
    """Gradients of x, the convolution's weights, and batch normalisation's weight and bias."""
    _, x_asked, _, weight_asked, *norm_asked = ctx.needs_input_grad
    if gradient is None or not (x_asked or weight_asked or any(norm_asked)):
        return None, None, None, None, None, None
    x, weight, z, coefficients, before = ctx.saved_tensors
    unit: _Unit = ctx.unit
    kept, gradient = unit.sums.take(gradient), laid_out(gradient)
    sums = kept or norms.gradient_sums(gradient, z, coefficients, activate=unit.activate)
    pixels = z.shape[2] * z.shape[3]
    norm_weight, norm_bias, gradients = norms.input_gradients(*sums, pixels, coefficients)
    if not (x_asked or weight_asked):
        return None, None, None, None, norm_weight, norm_bias
    wanted = _wanted(x, unit.before, x_asked=x_asked, weight_asked=weight_asked)
    norm = pointers(gradient, z, coefficients, gradients)
    weight_gradient = run(x, weight, norm, wanted, *map(place, (x, before, weight)))
    if unit.before is not None and wanted.x is not None and wanted.sums is not None:
        unit.before.keep(wanted.x, wanted.sums)
    return None, wanted.x, None, weight_gradient, norm_weight, norm_bias


def _wanted(x: torch.Tensor, before: Sums | None, *, x_asked: bool, weight_asked: bool) -> _Wanted:
    dx = torch.empty_like(x) if x_asked else None
    if dx is None or before is None or before.readers > 1:
        return _Wanted(dx, None, weight_asked)
    sums, products = x.new_empty(2, *x.shape[:2])
    return _Wanted(dx, (sums, products), weight_asked)
