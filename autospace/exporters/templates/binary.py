"""Networks of binary cells: source code that exported PyTorch files copy."""

from functools import reduce
from math import gcd
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from autospace.exporters.templates.cells import ConvNorm, initialise

CLASSES = 10


class Layer(NamedTuple):
    """Channels, stride, and edges (source, target, operation) into the last node."""

    in_channels: int
    out_channels: int
    stride: int
    last: int
    edges: list[tuple[int, int, str]]


LAYERS: list[Layer] = []


def sign(x: torch.Tensor) -> torch.Tensor:
    """+1 where x >= 0, -1 below; its gradient is 1 where |x| < 1, else 0."""
    signs = torch.where(x >= 0, 1.0, torch.where(x < 0, -1.0, x)).to(x.dtype)
    if not torch.is_grad_enabled():
        return signs
    passed = torch.where(x.abs() < 1, x, 0.0)
    return signs.detach() + (passed - passed.detach())


class BinaryConvolution(nn.Conv2d):
    """A convolution of signs with signs, times a learned scale per channel."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int,
        stride: int,
        dilation: int,
        groups: int,
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        super().__init__(
            before, after, kernel, stride, padding, dilation, groups, bias=False
        )
        self.alpha = nn.Parameter(torch.ones(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self._conv_forward(sign(x), sign(self.weight), None)
        return found * self.alpha[:, None, None]


class BinaryLayer(nn.Module):
    """Batch normalisation, binary convolution, PReLU, shuffle, residual."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        shuffled: int = 1,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.convolution = BinaryConvolution(
            before, after, kernel, stride, dilation, groups
        )
        self.activation = nn.PReLU(after)
        self.shuffled, self.residual = shuffled, stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.activation(self.convolution(self.norm(x)))
        if self.shuffled > 1:
            y = F.channel_shuffle(y, self.shuffled)
        return x + y if self.residual else y


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """What an edge does: [N, C, H, W] -> [N, C, H/stride, W/stride]."""
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    kernel = int(name.removeprefix("bin_conv_")[0])
    dilation = 2 if name.endswith("_d2") else 1
    shuffled = 1 if channels % 4 else 4
    return BinaryLayer(
        channels, channels, kernel, stride, dilation, gcd(12, channels), shuffled
    )


class BinaryCell(nn.Module):
    """A binary 1x1 convolution, then a graph whose nodes add up what comes in."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.last = layer.last
        self.shortcut = layer.stride == 1 and layer.in_channels == layer.out_channels
        self.expand: nn.Module = nn.Identity()
        if layer.edges:
            self.expand = BinaryLayer(layer.in_channels, layer.out_channels)
        self.operations = nn.ModuleDict()
        self.sources: dict[int, list[int]] = {}
        for source, target, name in layer.edges:
            stride = layer.stride if target == layer.last else 1
            made = operation(name, layer.out_channels, stride)
            self.operations[f"{source}_{target}"] = made
            self.sources.setdefault(target, []).append(source)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.sources:
            return torch.zeros_like(x)
        nodes = {0: self.expand(x)}
        for target, sources in self.sources.items():
            edges = [
                self.operations[f"{each}_{target}"](nodes[each]) for each in sources
            ]
            nodes[target] = reduce(torch.add, edges)
        return nodes[self.last]


class Network(nn.Module):
    """Stem, cells and head: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, 3, stride=2))  # stem
        self.layers = nn.ModuleList(BinaryCell(layer) for layer in LAYERS)
        self.head = ConvNorm(8, 16)  # head
        self.classifier = nn.Linear(16, classes)  # head
        initialise(self)
        for part in self.modules():
            if isinstance(part, BinaryConvolution):
                part.alpha.data = part.weight.detach().abs().mean((1, 2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for cell in self.layers:
            x = x + cell(x) if cell.shortcut else cell(x)
        return self.classifier(self.head(x).mean((2, 3)))
