"""One architecture as a network: source code that exported PyTorch files copy."""

from typing import NamedTuple

import torch
from torch import nn

from autospace.exporters.templates.cells import Cell, CellModule, ConvNorm, initialise

IMAGE = (3, 32, 32)
CLASSES = 10


class Layer(NamedTuple):
    """A cell, and the channels and stride of its place in the network."""

    name: str
    in_channels: int
    out_channels: int
    stride: int
    cell: Cell


LAYERS: list[Layer] = []


class Network(nn.Module):
    """Stem, one cell per layer, and head: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, 3, stride=2))  # stem
        self.layers = nn.ModuleList(
            CellModule(layer.cell, layer.in_channels, layer.out_channels, layer.stride)
            for layer in LAYERS
        )
        self.head = ConvNorm(8, 16)  # head
        self.classifier = nn.Linear(16, classes)  # head
        initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for cell in self.layers:
            y = cell(x)
            x = x + y if cell.shortcut else y
        return self.classifier(self.head(x).mean((2, 3)))


def build(classes: int = CLASSES) -> Network:
    """The network with fresh weights."""
    return Network(classes)


if __name__ == "__main__":
    network = build().eval()  # build
    images = torch.zeros(1, *IMAGE)
    print(f"{sum(weights.numel() for weights in network.parameters()):,} params")
    print(f"{tuple(images.shape)} -> {tuple(network(images).shape)}")
