"""Batch normalisation in training mode, as coefficients that other kernels apply.

`norm_act` does batch normalisation and ReLU6 after a convolution that PyTorch computed. A `Pending`
tensor is normalised by each kernel that reads it, so that no pass over memory does only that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from autospace.networks.kernels.native import at, kernel, laid_out, on_images, pointers


def coefficients(
    norm: nn.BatchNorm2d, means: torch.Tensor, deviations: torch.Tensor, pixels: int
) -> torch.Tensor:
    """Scale, shift, mean and inverse deviation [4, C]; updates the running statistics.

    Args:
        norm: the module; it counts the batch.
        means: averages over the pixels of each image, [N, C].
        deviations: sums of the squared deviations from these averages, [N, C].
        pixels: pixels of an image.
    """
    images, channels = means.shape
    found = means.new_empty(4, channels)
    kernel(means, "joined_moments")(
        images,
        pixels,
        channels,
        *at(means, deviations, norm.weight, norm.bias),
        norm.eps,
        _share(norm),
        *_running(norm),
        found.data_ptr(),
    )
    return found


def measured(norm: nn.BatchNorm2d, z: torch.Tensor) -> torch.Tensor:
    """The coefficients for z [N, C, H, W], channels last."""
    images, channels, height, width = z.shape
    means, deviations = z.new_empty(2, images, channels)
    on_images("moments", z, *at(z, means, deviations))
    return coefficients(norm, means, deviations, height * width)


def added(
    terms: Sequence[tuple[torch.Tensor, torch.Tensor]],
    others: Sequence[torch.Tensor],
    *,
    activate: bool,
) -> torch.Tensor:
    """The sum of terms (z, coefficients), normalised and maybe clamped, and of other tensors."""
    out = torch.empty_like(terms[0][0])
    flat = pointers(*(tensor for term in terms for tensor in term))
    counted = (len(terms), flat, len(others), pointers(*others), activate)
    on_images("node", out, *counted, out.data_ptr())
    return out


def gradient_sums(
    gradient: torch.Tensor, z: torch.Tensor, coefficients: torch.Tensor, *, activate: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums [N, C] over pixels: of the gradient through ReLU6, and of it times (z - mean)."""
    sums, products = z.new_empty(2, *z.shape[:2])
    on_images("slope_sums", z, *at(gradient, z, coefficients), activate, *at(sums, products))
    return sums, products


def input_gradients(
    sums: torch.Tensor, products: torch.Tensor, pixels: int, coefficients: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of weight and bias, and the coefficients [2, C] of that of the input."""
    images, channels = sums.shape
    weight, bias = sums.new_empty(channels), sums.new_empty(channels)
    found = sums.new_empty(2, channels)
    places = at(sums, products, coefficients, weight, bias, found)
    kernel(sums, "joined_slopes")(images, pixels, channels, *places)
    return weight, bias, found


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
        coefficients = measured(norm, z)
        ctx.activate = activate
        ctx.save_for_backward(z, coefficients)
        return added([(z, coefficients)], [], activate=activate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        z, coefficients = ctx.saved_tensors
        gradient = laid_out(gradient)
        sums = gradient_sums(gradient, z, coefficients, activate=ctx.activate)
        pixels = z.shape[2] * z.shape[3]
        weight_gradient, bias_gradient, gradients = input_gradients(*sums, pixels, coefficients)
        out = None
        if ctx.needs_input_grad[2]:
            out = torch.empty_like(z)
            norm = pointers(gradient, z, coefficients, gradients)
            on_images("slope_of_input", z, norm, ctx.activate, out.data_ptr())
        return None, None, out, weight_gradient, bias_gradient


Pair = tuple[torch.Tensor, torch.Tensor]


class Sums:
    """Sums that the only reader of a pending tensor computes in its backward pass, for the norm.

    Where there are more readers, autograd adds up their gradients, and the norm has to sum itself.
    """

    def __init__(self) -> None:
        self.readers = 0
        self._kept: tuple[torch.Tensor, int, Pair] | None = None

    def keep(self, gradient: torch.Tensor, found: Pair) -> None:
        """Sums and products [N, C] that belong to a gradient."""
        self._kept = gradient, gradient._version, found

    def take(self, gradient: torch.Tensor) -> Pair | None:
        """The sums that were kept for this very tensor, unchanged, if there are any."""
        kept, self._kept = self._kept, None
        if kept is None or kept[0] is not gradient or kept[1] != gradient._version:
            return None
        return kept[2]


@dataclass(frozen=True, slots=True)
class Pending:
    """The output z [N, C, H, W] of a convolution whose normalisation and ReLU6 are still to do.

    For autograd, z stands for the finished tensor: its gradient is that of the finished tensor.
    """

    z: torch.Tensor
    coefficients: torch.Tensor
    activate: bool = True
    sums: Sums = field(default_factory=Sums)

    def finished(self) -> torch.Tensor:
        """The tensor, normalised and, if `activate`, clamped."""
        return node_sum([self])


def node_sum(terms: Sequence[Pending | torch.Tensor]) -> torch.Tensor:
    """The sum of tensors and of pending ones, of which there is at least one."""
    pending = [term for term in terms if isinstance(term, Pending)]
    others = [term for term in terms if isinstance(term, torch.Tensor)]
    for term in pending:
        term.sums.readers += 1
    found: torch.Tensor = _NodeSum.apply(  # type: ignore[no-untyped-call]
        [term.coefficients for term in pending],
        pending[0].activate,
        *(term.z for term in pending),
        *others,
    )
    return found


class _NodeSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, coefficients: list[torch.Tensor], activate: bool, *tensors: torch.Tensor
    ) -> torch.Tensor:
        terms = list(zip(tensors, coefficients, strict=False))
        others = [laid_out(each) for each in tensors[len(terms) :]]
        return added(terms, others, activate=activate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, *(gradient if asked else None for asked in ctx.needs_input_grad[2:])
