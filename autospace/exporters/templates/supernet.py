"""A space as a supernet: source code that exported PyTorch files copy."""

import random
from collections.abc import Iterable
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import nn

from autospace.exporters.templates.cells import Cell, CellModule, ConvNorm, initialise

CLASSES = 10


class Layer(NamedTuple):
    """The candidates of a layer, and the channels and stride that they all have."""

    name: str
    in_channels: int
    out_channels: int
    stride: int
    cells: list[Cell]


LAYERS: list[Layer] = []
DEFAULT: dict[str, str] = {}


class Network(nn.Module):
    """Stem, one cell per layer, and head: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, layers: Iterable[nn.Module], classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, 3, stride=2))  # stem
        self.layers = nn.ModuleList(layers)
        self.head = ConvNorm(8, 16)  # head
        self.classifier = nn.Linear(16, classes)  # head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.through(self.layers, images)

    def through(self, cells: Iterable[nn.Module], images: torch.Tensor) -> torch.Tensor:
        """Logits of the images by way of these cells."""
        x = self.stem(images)
        for cell in cells:
            y = cell(x)
            x = x + y if cell.shortcut else y
        return self.classifier(self.head(x).mean((2, 3)))


class Supernet(Network):
    """All candidates of all layers; a forward pass takes one of each layer.

    Images [N, C, H, W] -> logits [N, classes].
    """

    def __init__(self, classes: int = CLASSES) -> None:
        layers = [
            nn.ModuleList(cell_module(layer, cell) for cell in layer.cells)
            for layer in LAYERS
        ]
        super().__init__(layers, classes)
        initialise(self)

    def forward(
        self, images: torch.Tensor, architecture: dict[str, str] | None = None
    ) -> torch.Tensor:
        """Logits by way of the named cells, or of those that `DEFAULT` names."""
        return self.through(self.path(architecture or DEFAULT), images)

    def path(self, architecture: dict[str, str]) -> list[nn.Module]:
        """The cells that an architecture names, input side first."""
        places = zip(self.layers, chosen(architecture), strict=True)
        return [candidates[index] for candidates, index in places]  # type: ignore[index]

    def extract(self, architecture: dict[str, str]) -> Network:
        """One architecture as a network of its own, with a copy of its weights."""
        classes = self.classifier.out_features
        network = Network(deepcopy(self.path(architecture)), classes)
        network.stem = deepcopy(self.stem)
        network.head = deepcopy(self.head)
        network.classifier = deepcopy(self.classifier)
        return network


def cell_module(layer: Layer, cell: Cell) -> CellModule:
    """A candidate with fresh weights."""
    return CellModule(cell, layer.in_channels, layer.out_channels, layer.stride)


def chosen(architecture: dict[str, str]) -> list[int]:
    """The index of the cell that an architecture names, layer by layer."""
    if unknown := architecture.keys() - {layer.name for layer in LAYERS}:
        raise ValueError(f"unknown layers: {sorted(unknown)}")
    indices = []
    for layer in LAYERS:
        ids = [cell.id for cell in layer.cells]
        name = architecture.get(layer.name)
        if name not in ids:
            raise ValueError(f"{layer.name}: {name!r} is not one of {ids}")
        indices.append(ids.index(name))
    return indices


def sample(rng: random.Random) -> dict[str, str]:
    """An architecture, the cell of every layer drawn uniformly."""
    return {layer.name: rng.choice(layer.cells).id for layer in LAYERS}


def build(architecture: dict[str, str], classes: int = CLASSES) -> Network:
    """One architecture as a network of its own, with fresh weights."""
    places = zip(LAYERS, chosen(architecture), strict=True)
    cells = [cell_module(layer, layer.cells[index]) for layer, index in places]
    network = Network(cells, classes)
    initialise(network)
    return network
