"""Batch normalisation in training mode, as coefficients of what is computed in passing."""

from collections.abc import Sequence

import torch
from torch import nn

from autospace.networks.kernels.calls import at, kernel, on_images, pointers


def coefficients(
    norm: nn.BatchNorm2d, means: torch.Tensor, deviations: torch.Tensor, pixels: int
) -> torch.Tensor:
    """Scale, shift, mean and inverse deviation [4, C]; moves the running statistics.

    Args:
        norm: the module; it is told of the batch.
        means: of every image [N, C].
        deviations: their sums of squares, [N, C].
        pixels: of an image.
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


def slope_sums(
    slope: torch.Tensor, z: torch.Tensor, coefficients: torch.Tensor, *, activate: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums [N, C] over pixels of the slope through ReLU6, and of it times the way off the mean."""
    sums, products = z.new_empty(2, *z.shape[:2])
    on_images("slope_sums", z, *at(slope, z, coefficients), activate, *at(sums, products))
    return sums, products


def slopes(
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
