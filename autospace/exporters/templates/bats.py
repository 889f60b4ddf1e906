"""Binary cells with two inputs: source code that exported PyTorch files copy."""

from math import gcd

import torch
from torch import nn

from autospace.exporters.templates.binary import BinaryConvolution, BinaryLayer
from autospace.exporters.templates.darts import Layer

GROUPS = 12


class BinaryReduction(nn.Module):
    """Two binary 1x1 convolutions that read alternate pixels, and a PReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        half = after // 2
        self.norm = nn.BatchNorm2d(before)
        self.even = BinaryConvolution(before, half, 1, 2, 1, 1)
        self.odd = BinaryConvolution(before, after - half, 1, 2, 1, 1)
        self.activation = nn.PReLU(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x)
        even = self.even(x)
        odd_sides = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
        if x.shape[2] > 1:
            odd = nn.functional.pad(self.odd(x[:, :, 1:, 1:]), odd_sides)
        else:  # a single pixel, which is no odd one
            odd = even.new_zeros(len(even), self.odd.weight.shape[0], 1, 1)
        return self.activation(torch.cat([even, odd], 1))


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """What an edge does: [N, C, H, W] -> [N, C, ceil(H / stride), ceil(W / stride)]."""
    if name == "skip_connect":
        whole = nn.Identity()
        return whole if stride == 1 else BinaryReduction(channels, channels)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    kernel = int(name.split("x")[1][0])
    if name.startswith(("bin_sep", "bin_dil")):
        dilation = 2 if name.startswith("bin_dil") else 1
        return nn.Sequential(
            BinaryConvolution(channels, channels, kernel, stride, dilation, channels),
            nn.BatchNorm2d(channels),
            BinaryConvolution(channels, channels, 1, 1, 1, 1),
            nn.BatchNorm2d(channels),
        )
    dilation = 2 if name.endswith("_d2") else 1
    groups, shuffled = gcd(GROUPS, channels), 1 if channels % 4 else 4
    return BinaryLayer(channels, channels, kernel, stride, dilation, groups, shuffled)


class TwoInputs(nn.Module):
    """Brings what the two layers before give to the channels and resolution of nodes."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.before: nn.Module = BinaryLayer(layer.before, layer.width)
        if layer.halves:
            self.before = BinaryReduction(layer.before, layer.width)
        self.last = BinaryLayer(layer.last, layer.width)

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> list[torch.Tensor]:
        return [self.before(before), self.last(last)]
