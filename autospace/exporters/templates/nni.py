"""A search space for nni.nas, written by autospace.

Example:
    space = LearnedSpace()
    space.simplify()  # layer -> Categorical of cell ids
    network = space.freeze({"layer_00": "cell id", ...})  # a module to train
"""

import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import nn

from autospace.exporters.templates.cells import CellModule, ConvNorm, initialise
from autospace.exporters.templates.supernet import CLASSES, LAYERS, Layer


def layer_choice(layer: Layer) -> LayerChoice:
    """The candidates of a layer under their ids."""
    sizes = (layer.in_channels, layer.out_channels, layer.stride)
    cells = {cell.id: CellModule(cell, *sizes) for cell in layer.cells}
    return LayerChoice(cells, label=layer.name)


class LearnedSpace(ModelSpace):
    """A choice of cells in every layer: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, 3, stride=2))  # stem
        self.layers = nn.ModuleList(layer_choice(layer) for layer in LAYERS)
        self.head = ConvNorm(8, 16)  # head
        self.classifier = nn.Linear(16, classes)  # head
        initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for layer, cell in zip(LAYERS, self.layers, strict=True):
            y = cell(x)
            shortcut = layer.stride == 1 and layer.in_channels == layer.out_channels
            x = x + y if shortcut else y
        return self.classifier(self.head(x).mean((2, 3)))
