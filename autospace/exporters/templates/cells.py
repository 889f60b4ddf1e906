"""Cells as modules: source code that exported PyTorch files copy.

`autospace.exporters.pytorch` takes whole definitions from here. A line that ends in a
mark, such as `# mix`, stays, goes or is replaced, depending on what the cells need.
"""

from functools import reduce
from typing import NamedTuple

import torch
from torch import nn


class Cell(NamedTuple):
    """A graph of operations from node 0 to the last node.

    Before it, a 1x1 convolution makes `expansion` times the channels (with 1, there is
    none); after it, another makes those of the layer's output. An edge is (source,
    target, operation). A node is the sum of the edges that enter it.
    `mix` names the nodes that then weigh their channels, and how.  # mix
    A cell without edges gives zero: its layer is left out.  # zero
    """

    id: str
    expansion: int
    edges: list[tuple[int, int, str]]
    mix: dict[int, str]  # mix


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation and, unless told otherwise, ReLU6."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        activation = [nn.ReLU6()] if activate else []
        super().__init__(convolution, nn.BatchNorm2d(out_channels), *activation)


class StemBlock(nn.Module):
    """A depthwise 3x3 and a linear 1x1 convolution, as behind the stem of MobileNetV2."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        depthwise = ConvNorm(before, before, 3, groups=before)
        self.operations = nn.ModuleDict({"0_3": depthwise})
        self.project = ConvNorm(before, after, activate=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.project(self.operations["0_3"](x))


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """What an edge does: [N, C, H, W] -> [N, C, ceil(H / stride), ceil(W / stride)]."""
    if name == "dw_conv_3x3":  # operations
        return ConvNorm(channels, channels, 3, stride, groups=channels)  # operations
    raise ValueError(f"unknown operation {name!r}")


class Gate(nn.Module):
    """Every channel times the sigmoid of its own mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


class SqueezeExcite(nn.Module):
    """Every channel times a weight that two layers make of the means of all channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(means))))


def mixing(name: str, channels: int, hidden: int) -> nn.Module:
    """What a node does with the sum of its edges."""
    if name == "gate":  # gate
        return Gate()  # gate
    if name == "se":  # se
        return SqueezeExcite(channels, hidden)  # se
    raise ValueError(f"unknown mix {name!r}")


class CellModule(nn.Module):
    """A cell with its weights: [N, C, H, W] -> [N, C', H / stride, W / stride]."""

    def __init__(
        self, cell: Cell, in_channels: int, out_channels: int, stride: int
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and in_channels == out_channels
        self.sources: dict[int, list[int]] = {}
        if not cell.edges:  # zero
            return  # zero
        inner = cell.expansion * in_channels
        self.last = max(target for _, target, _ in cell.edges)
        self.expand: nn.Module = nn.Identity()
        if cell.expansion > 1:
            self.expand = ConvNorm(in_channels, inner)
        self.operations = nn.ModuleDict()
        for source, target, name in cell.edges:
            self.sources.setdefault(target, []).append(source)
            step = stride if target == self.last else 1
            self.operations[f"{source}_{target}"] = operation(name, inner, step)
        self.mixes = nn.ModuleDict()  # mix
        for node, name in cell.mix.items():  # mix
            self.mixes[f"{node}"] = mixing(name, inner, max(1, in_channels // 4))  # mix
        self.project = ConvNorm(inner, out_channels, activate=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.sources:  # zero
            return torch.zeros_like(x)  # zero
        nodes = {0: self.expand(x)}
        for target, sources in self.sources.items():
            edges = [
                self.operations[f"{source}_{target}"](nodes[source])
                for source in sources
            ]
            nodes[target] = reduce(torch.add, edges)
            if f"{target}" in self.mixes:  # mix
                nodes[target] = self.mixes[f"{target}"](nodes[target])  # mix
        return self.project(nodes[self.last])


def initialise(network: nn.Module) -> None:
    """He initialisation of convolutions, small weights for linear layers, zero biases."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, 0.01)
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
