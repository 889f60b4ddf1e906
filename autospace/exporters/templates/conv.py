"""Networks of blocks of convolutions: source code that exported PyTorch files copy."""

from functools import reduce
from typing import NamedTuple

import torch
from torch import nn

from autospace.exporters.templates.cells import ConvNorm, initialise
from autospace.exporters.templates.dense import ActivatedConvolution, ResidualBlock

CLASSES = 10


class Layer(NamedTuple):
    """Channels, stride, and a graph of edges (source, target, operation)."""

    in_channels: int
    out_channels: int
    stride: int
    reduction: int
    last: int
    edges: list[tuple[int, int, str]]


LAYERS: list[Layer] = []
FIXED: dict[str, list[tuple[int, int, int]]] = {}


def halved(stride: int) -> list[nn.Module]:
    """The mean of 2x2 pixels at stride 2, nothing at stride 1."""
    return [nn.AvgPool2d(2, ceil_mode=True)] if stride == 2 else []


def operation(name: str, before: int, after: int, stride: int) -> nn.Module:
    """What an edge does: [N, before, H, W] -> [N, after, H/stride, W/stride]."""
    kind, _, size = name.rpartition("_")
    if kind == "conv":
        return ActivatedConvolution(before, after, int(size[0]), stride)
    if kind == "mlp":
        inner = int(size) * after
        last = ConvNorm(inner, after, activate=False)
        return nn.Sequential(
            *halved(stride), nn.Conv2d(before, inner, 1), nn.GELU(), last
        )
    made: nn.Module
    if kind == "dw_conv":
        made = ConvNorm(
            before, before, int(size[0]), stride, groups=before, activate=False
        )
    elif kind == "avg_pool":
        made = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    elif kind == "max_pool":
        made = nn.MaxPool2d(3, stride, 1)
    else:
        made = nn.Sequential(*halved(stride))
    if before == after:
        return made
    return nn.Sequential(made, ConvNorm(before, after, activate=False))


class ConvCell(nn.Module):
    """A graph whose nodes add up what comes in, and a shortcut."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.last = layer.last
        before, after = layer.in_channels, layer.out_channels
        inner = max(1, after // layer.reduction)
        self.shortcut: nn.Module = nn.Identity()
        if layer.stride != 1 or before != after:
            mix = ConvNorm(before, after, activate=False)
            self.shortcut = nn.Sequential(*halved(layer.stride), mix)
        self.expand: nn.Module = nn.Identity()
        self.widen: nn.Module = nn.Identity()
        if layer.reduction != 1:
            self.expand = ActivatedConvolution(before, inner, 1)
            self.widen = ActivatedConvolution(inner, after, 1)
            before = inner
        self.operations = nn.ModuleDict()
        self.sources: dict[int, list[int]] = {}
        for source, target, name in layer.edges:
            first, stride = (inner, 1) if source else (before, layer.stride)
            self.operations[f"{source}_{target}"] = operation(
                name, first, inner, stride
            )
            self.sources.setdefault(target, []).append(source)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.sources:
            return self.shortcut(x)
        nodes = {0: self.expand(x)}
        for target, sources in self.sources.items():
            edges = [
                self.operations[f"{each}_{target}"](nodes[each]) for each in sources
            ]
            nodes[target] = reduce(torch.add, edges)
        return self.widen(nodes[self.last]) + self.shortcut(x)


def fixed_blocks() -> nn.ModuleDict:
    """The blocks that follow layers, by the index of the layer."""
    found = nn.ModuleDict()
    for place, rows in FIXED.items():
        found[place] = nn.Sequential(*(ResidualBlock(*row) for row in rows))
    return found


class Network(nn.Module):
    """Stem, cells and head: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, 3, stride=2))  # stem
        self.layers = nn.ModuleList(ConvCell(layer) for layer in LAYERS)
        self.fixed = fixed_blocks()  # fixed
        self.head = ConvNorm(8, 16)  # head
        self.classifier = nn.Linear(16, classes)  # head
        initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for index, cell in enumerate(self.layers):  # walk
            x = cell(x)
            if f"{index}" in self.fixed:  # fixed
                x = self.fixed[f"{index}"](x)  # fixed
        return self.classifier(self.head(x).mean((2, 3)))
