"""Networks of dense cells: source code that exported PyTorch files copy."""

from functools import reduce
from typing import NamedTuple

import torch
from torch import nn

from autospace.exporters.templates.cells import ConvNorm, initialise

CLASSES = 10


class Edge(NamedTuple):
    """An operation between nodes; used if it is on a way from input to output."""

    source: int
    target: int
    operation: str
    used: bool


class Layer(NamedTuple):
    """Channels, stride, and a cell among CELLS; None for a residual block."""

    in_channels: int
    out_channels: int
    stride: int
    cell: int | None


CELLS: list[list[Edge]] = []
LAYERS: list[Layer] = []
EDGES = 6


class ActivatedConvolution(nn.Sequential):
    """ReLU, convolution and batch normalisation."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int = 1
    ) -> None:
        convolution = ConvNorm(
            in_channels, out_channels, kernel, stride, activate=False
        )
        super().__init__(nn.ReLU(), convolution)


def operation(name: str, channels: int) -> nn.Module:
    """What an edge does: [N, C, H, W] -> [N, C, H, W]."""
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return ActivatedConvolution(
        channels, channels, {"nor_conv_1x1": 1, "nor_conv_3x3": 3}[name]
    )


class DenseCell(nn.Module):
    """A graph whose nodes add up what comes in: [N, C, H, W] -> [N, C, H, W]."""

    def __init__(self, edges: list[Edge], channels: int) -> None:
        super().__init__()
        self.operations = nn.ModuleDict()
        self.sources: dict[int, list[int]] = {}
        for source, target, name, used in edges:
            self.operations[f"{source}_{target}"] = operation(name, channels)
            if used:
                self.sources.setdefault(target, []).append(source)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.sources:
            return torch.zeros_like(x)
        nodes = {0: x}
        for target, sources in self.sources.items():
            edges = [
                self.operations[f"{each}_{target}"](nodes[each]) for each in sources
            ]
            nodes[target] = reduce(torch.add, edges)
        return nodes[max(nodes)]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which pools where the stride is 2."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = ActivatedConvolution(in_channels, out_channels, 3, stride)
        self.second = ActivatedConvolution(out_channels, out_channels, 3)
        self.shortcut = nn.Sequential()
        if stride == 2:
            self.shortcut.append(nn.AvgPool2d(2, ceil_mode=True))
        if stride == 2 or in_channels != out_channels:
            self.shortcut.append(nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x)) + self.shortcut(x)


class Network(nn.Module):
    """Stem, cells with blocks between them, and head: images [N, C, H, W] -> logits."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, 3, stride=2))  # stem
        self.layers = nn.ModuleList()
        blocks: dict[str, list[nn.Module]] = {}
        for layer in LAYERS:
            if layer.cell is not None:
                self.layers.append(DenseCell(CELLS[layer.cell], layer.in_channels))
                continue
            block = ResidualBlock(layer.in_channels, layer.out_channels, layer.stride)
            blocks.setdefault(f"{len(self.layers) - 1}", []).append(block)
        self.fixed = nn.ModuleDict(
            {place: nn.Sequential(*each) for place, each in blocks.items()}
        )
        self.head = ConvNorm(8, 16)  # head
        self.classifier = nn.Linear(16, classes)  # head
        initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for index, cell in enumerate(self.layers):
            x = cell(x)  # plain
            x = x + cell(x)  # shortcut
            if f"{index}" in self.fixed:
                x = self.fixed[f"{index}"](x)
        return self.classifier(self.head(x).mean((2, 3)))


def joined(edges: list[tuple[int, int, str]]) -> list[list[Edge]]:
    """The cells of an architecture, from what was chosen for every edge of every cell."""
    starts = range(0, len(edges), EDGES)
    return [cell_of(edges[start : start + EDGES]) for start in starts]


def cell_of(edges: list[tuple[int, int, str]]) -> list[Edge]:
    """The edges of a cell that have an operation."""
    kept = [each for each in edges if each[2] != "none"]
    reached, needed = {0}, {max(target for _, target, _ in edges)}
    for source, target, _ in kept:
        if source in reached:
            reached.add(target)
    for source, target, _ in reversed(kept):
        if target in needed:
            needed.add(source)
    return [Edge(*each, {*each[:2]} <= reached & needed) for each in kept]
