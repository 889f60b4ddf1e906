"""The operations of binary cells with two inputs as torch modules.

They are those of BATS (Bulat et al., ECCV 2020), which `autospace.networks.binary` has as well, and
the separable ones of CP-NAS (Zhuo et al., IJCAI 2020). The graph around them, and the networks, are
those of `autospace.networks.darts`.
"""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.binary import (
    BinaryConvolution,
    binary_operation,
    pool,
    start_scales,
)
from autospace.networks.cells import initialise
from autospace.spaces.cells.bats import BATS_OPERATIONS
from autospace.spaces.cells.operations import Operation


class BinaryReduction(nn.Module):
    """Half the resolution without losing a pixel: [N, C, H, W] -> [N, C', H/2, W/2].

    Batch normalisation, two binary 1x1 convolutions of stride 2, of which the second starts at
    pixel (1, 1), and a PReLU per channel.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.norm = nn.BatchNorm2d(in_channels)
        self.even = BinaryConvolution(in_channels, half, stride=2)
        self.odd = BinaryConvolution(in_channels, out_channels - half, stride=2)
        self.activation = nn.PReLU(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both convolutions side by side, with their activation."""
        x = self.norm(x)
        # An odd side has one more pixel at even places. What stands there for an odd one is 0, so
        # the zeros come after the convolution: before it, 0 would have a sign.
        even = self.even(x)
        if x.shape[2] == 1:  # a single pixel, which no convolution of the odd ones takes
            shifted = even.new_zeros(len(even), self.odd.weight.shape[0], 1, 1)
        else:
            shifted = F.pad(self.odd(x[:, :, 1:, 1:]), (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        both: torch.Tensor = self.activation(torch.cat([even, shifted], 1))
        return both


def binary_separable(operation: Operation, channels: int, stride: int) -> nn.Module:
    """A depthwise and a 1x1 convolution of signs, each with batch normalisation."""
    depthwise = BinaryConvolution(
        channels,
        channels,
        operation.kernel,
        stride=stride,
        dilation=operation.dilation,
        groups=channels,
    )
    pointwise = BinaryConvolution(channels, channels)
    return nn.Sequential(depthwise, nn.BatchNorm2d(channels), pointwise, nn.BatchNorm2d(channels))


def bats_operation(name: str, channels: int, stride: int, groups: int) -> nn.Module:
    """The module of an operation other than `none`: [N, C, H, W] -> [N, C, H/s, W/s].

    Args:
        name: of the operation.
        channels: C.
        stride: s.
        groups: at most so many groups of a grouped convolution.
    """
    operation = BATS_OPERATIONS[name]
    if operation.kind == "binary":
        made = binary_operation(replace(operation, groups=groups), channels, stride)
    elif operation.kind == "binary_separable":
        made = binary_separable(operation, channels, stride)
    elif operation.kind == "skip":
        made = nn.Identity() if stride == 1 else BinaryReduction(channels, channels)
    else:
        made = pool(operation, stride)
    start(made)
    return made


def start(module: nn.Module) -> None:
    """Draws the weights that a binary module begins with, in place."""
    initialise(module)
    start_scales(module)
