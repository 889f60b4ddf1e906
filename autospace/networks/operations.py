"""Operation names as torch modules: one builder per kind of operation."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.fused import FusibleAttention, FusibleConvolution
from autospace.spaces.cells.operations import OPERATIONS, Operation


class ConvNorm(FusibleConvolution):
    """Convolution without bias, batch normalisation and, if `activate`, ReLU6.

    Padding keeps the resolution at stride 1 and gives ceil(side / stride) at stride 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        convolution = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False
        )
        parts: list[nn.Module] = [convolution, nn.BatchNorm2d(out_channels)]
        super().__init__(*parts, *([nn.ReLU6()] if activate else []))

    @property
    def activates(self) -> bool:
        """Whether ReLU6 follows."""
        return len(self) == 3

    @property
    def convolution(self) -> nn.Conv2d:
        """The convolution itself."""
        first = self[0]
        if not isinstance(first, nn.Conv2d):
            raise TypeError("the first part of a ConvNorm is its convolution")
        return first

    @property
    def norm(self) -> nn.BatchNorm2d:
        """The batch normalisation after the convolution."""
        second = self[1]
        if not isinstance(second, nn.BatchNorm2d):
            raise TypeError("the second part of a ConvNorm is its batch normalisation")
        return second


class SqueezeExcite(FusibleAttention):
    """Channel attention with a hidden layer (Hu et al., CVPR 2018, equations 2-4)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """The channels of x [N, C, H, W], weighted by a function of all averages."""
        averages = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(averages))))

    def weights(self, averages: torch.Tensor) -> torch.Tensor:
        """The same weights as matrix products, which are faster than convolutions of one pixel."""
        hidden = F.linear(averages, self.reduce.weight.flatten(1), self.reduce.bias)
        found = F.linear(F.relu(hidden), self.expand.weight.flatten(1), self.expand.bias)
        return torch.sigmoid(found)


class Gate(FusibleAttention):
    """Channel attention without weights: x times the sigmoid of its own global average."""

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """The channels of x [N, C, H, W], each times the sigmoid of its average."""
        return x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1))

    def weights(self, averages: torch.Tensor) -> torch.Tensor:
        """Their sigmoid."""
        return torch.sigmoid(averages)


def _skip(operation: Operation, channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)


def _depthwise(operation: Operation, channels: int, stride: int) -> nn.Module:
    return ConvNorm(
        channels,
        channels,
        operation.kernel,
        stride=stride,
        dilation=operation.dilation,
        groups=channels,
    )


def _average_pool(operation: Operation, channels: int, stride: int) -> nn.Module:
    kernel = operation.kernel
    return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)


def _max_pool(operation: Operation, channels: int, stride: int) -> nn.Module:
    kernel = operation.kernel
    return nn.MaxPool2d(kernel, stride, kernel // 2)


_BUILDERS: dict[str, Callable[[Operation, int, int], nn.Module]] = {
    "skip": _skip,
    "depthwise": _depthwise,
    "average_pool": _average_pool,
    "max_pool": _max_pool,
}


def build_operation(name: str, channels: int, stride: int) -> nn.Module:
    """The module of an operation other than `none`: [N, C, H, W] -> [N, C, H/stride, W/stride].

    Raises:
        ValueError: `none`, which has no module.
    """
    operation = OPERATIONS[name]
    if operation.kind not in _BUILDERS:
        raise ValueError(f"operation {name!r} has no module")
    return _BUILDERS[operation.kind](operation, channels, stride)
