"""A space as a Python module for nni.nas: a network whose layers are choices of modules."""

from typing import Final

from autospace.exporters.pytorch import networks as source
from autospace.exporters.pytorch.modules import cell_classes, cell_record
from autospace.exporters.pytorch.pytorch import (
    candidate_layers,
    constants,
    joined,
    needs_of,
    with_ends,
)
from autospace.spaces import Space, SpaceError
from autospace.spaces.errors import shown

_OPENING: Final = '''\
"""A search space for nni.nas, written by `autospace export --to nni-python`.

Example:
    space = LearnedSpace()
    space.simplify()  # layer -> Categorical of cell ids
    network = space.freeze({"layer_00": "cell id", ...})  # a module to train
"""

from functools import reduce
from typing import NamedTuple

import torch
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from torch import nn

'''

_SPACE: Final = '''\
class LearnedSpace(ModelSpace):
    """A choice of cells in every layer: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
<stem>
        self.layers = nn.ModuleList(layer_choice(layer) for layer in LAYERS)
<head>
        initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for layer, cell in zip(LAYERS, self.layers, strict=True):
            y = cell(x)
            shortcut = layer.stride == 1 and layer.in_channels == layer.out_channels
            x = x + y if shortcut else y
        return self.classifier(self.head(x).mean((2, 3)))
'''

_CHOICE: Final = '''\
def layer_choice(layer: Layer) -> LayerChoice:
    """The candidates of a layer under their ids."""
    sizes = (layer.in_channels, layer.out_channels, layer.stride)
    cells = {cell.id: CellModule(cell, *sizes) for cell in layer.cells}
    return LayerChoice(cells, label=layer.name)
'''

# A LayerChoice keeps its candidates as attributes under their ids.
_RESERVED: Final = ("_key", "key", "length", "names", "reduction", "return_mask")


def export_space(space: Space) -> str:
    """A module with `LearnedSpace`, for multi-trial and for one-shot strategies.

    Raises:
        SpaceError: an id that cannot name a module in PyTorch, or an operation that was added
            without PyTorch source.
    """
    _check_ids(space)
    offered = [each.cell for layer in space.layers for each in layer.candidates]
    needs = needs_of(space.skeleton, offered)
    return joined(
        _OPENING + constants(space.skeleton),
        cell_record(needs),
        source.LAYER_OF_CANDIDATES,
        candidate_layers(space, needs),
        *cell_classes(needs),
        _CHOICE,
        with_ends(_SPACE, space.skeleton, needs),
        source.INITIALISE,
    )


def _check_ids(space: Space) -> None:
    for index, layer in enumerate(space.layers):
        for number, candidate in enumerate(layer.candidates):
            if "." in candidate.id or candidate.id in _RESERVED:
                path = f"layers[{index}].candidates[{number}].id"
                problem = f"{shown(candidate.id)} cannot name a module in nni"
                allowed = f"no dot, and none of {', '.join(_RESERVED)}"
                raise SpaceError(path, f"{problem}; allowed: {allowed}")
