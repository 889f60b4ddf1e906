"""Networks of DARTS cells: source code that exported PyTorch files copy."""

from functools import reduce
from typing import NamedTuple

import torch
from torch import nn

from autospace.exporters.templates.binary import BinaryConvolution
from autospace.exporters.templates.cells import ConvNorm, initialise
from autospace.exporters.templates.dense import ActivatedConvolution

CLASSES = 10


class Cell(NamedTuple):
    """Per node, from 2 on, its edges (source, operation), and the nodes of the output.

    Nodes 0 and 1 are what the two layers before give; `used` names the nodes that the
    output depends on.
    """

    nodes: list[list[tuple[int, str]]]
    concat: list[int]
    used: list[int]


class Layer(NamedTuple):
    """A cell among CELLS, channels of its nodes, and the channels of both inputs.

    `halves` says whether the first input has twice the resolution of the second.
    """

    cell: int
    width: int
    stride: int
    before: int
    last: int
    halves: bool


CELLS: list[Cell] = []
LAYERS: list[Layer] = []
NODES = 4


class FactorisedReduction(nn.Module):
    """ReLU, two 1x1 convolutions that read alternate pixels, batch normalisation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.even = nn.Conv2d(in_channels, half, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(in_channels, out_channels - half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(x)
        odd_sides = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
        shifted = nn.functional.pad(x[:, :, 1:, 1:], odd_sides)
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))


def separable(
    channels: int, kernel: int, stride: int, dilation: int = 1
) -> list[nn.Module]:
    """ReLU, a depthwise and a 1x1 convolution, and batch normalisation."""
    padding = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(
        channels, channels, kernel, stride, padding, dilation, channels, bias=False
    )
    pointwise = nn.Conv2d(channels, channels, 1, bias=False)
    return [nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels)]


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """What an edge does: [N, C, H, W] -> [N, C, ceil(H / stride), ceil(W / stride)]."""
    if name == "skip_connect":
        whole = nn.Identity()
        return whole if stride == 1 else FactorisedReduction(channels, channels)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "conv_7x1_1x7":
        row = nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False)
        column = nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False)
        return nn.Sequential(nn.ReLU(), row, column, nn.BatchNorm2d(channels))
    kernel = int(name[-1])
    if name.startswith("dil"):
        return nn.Sequential(*separable(channels, kernel, stride, dilation=2))
    first = separable(channels, kernel, stride)
    return nn.Sequential(*first, *separable(channels, kernel, 1))


class TwoInputs(nn.Module):
    """Brings what the two layers before give to the channels and resolution of nodes."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.before: nn.Module = ActivatedConvolution(layer.before, layer.width, 1)
        if layer.halves:
            self.before = FactorisedReduction(layer.before, layer.width)
        self.last = ActivatedConvolution(layer.last, layer.width, 1)

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> list[torch.Tensor]:
        return [self.before(before), self.last(last)]


class DartsCell(nn.Module):
    """Nodes that add up two edges each, and their concatenation."""

    def __init__(self, cell: Cell, width: int, stride: int) -> None:
        super().__init__()
        self.cell, self.width, self.stride = cell, width, stride
        self.operations = nn.ModuleDict()
        for node, edges in enumerate(cell.nodes, start=2):
            for index, (source, name) in enumerate(edges):
                step = stride if source < 2 else 1
                if name != "none":
                    self.operations[f"{node}_{index}"] = operation(name, width, step)

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        nodes = dict(enumerate(inputs))
        images, _, height, width = inputs[0].shape
        for node, edges in enumerate(self.cell.nodes, start=2):
            if node not in self.cell.used:
                continue
            terms = [
                self.operations[f"{node}_{index}"](nodes[source])
                for index, (source, name) in enumerate(edges)
                if name != "none"
            ]
            if not terms:
                sides = (-(-height // self.stride), -(-width // self.stride))
                terms = [inputs[0].new_zeros(images, self.width, *sides)]
            nodes[node] = reduce(torch.add, terms)
        return torch.cat([nodes[node] for node in self.cell.concat], 1)


class Network(nn.Module):
    """Stem, cells that read the two layers before them, and head: images -> logits."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Sequential(ConvNorm(3, 8)))  # stem
        self.inputs = nn.ModuleList(TwoInputs(layer) for layer in LAYERS)
        self.layers = nn.ModuleList(
            DartsCell(CELLS[layer.cell], layer.width, layer.stride) for layer in LAYERS
        )
        self.classifier = nn.Linear(16, classes)  # head
        initialise(self)
        for part in self.modules():  # signs
            if isinstance(part, BinaryConvolution):  # signs
                part.alpha.data = part.weight.detach().abs().mean((1, 2, 3))  # signs

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        before = self.stem[0](images)
        last = self.stem[1](before) if len(self.stem) > 1 else before
        for inputs, cell in zip(self.inputs, self.layers, strict=True):
            before, last = last, cell(inputs(before, last))
        return self.classifier(last.mean((2, 3)))


def joined(nodes: list[list[tuple[int, str]]]) -> list[Cell]:
    """The cells of an architecture, from what was chosen for every node of every cell."""
    starts = range(0, len(nodes), NODES)
    return [cell_of(nodes[start : start + NODES]) for start in starts]


def cell_of(nodes: list[list[tuple[int, str]]]) -> Cell:
    """A cell that concatenates all of its nodes."""
    concat = list(range(2, 2 + len(nodes)))
    sources = {source for edges in nodes for source, name in edges if name != "none"}
    return Cell(nodes, concat, sorted({*concat, *sources}))
