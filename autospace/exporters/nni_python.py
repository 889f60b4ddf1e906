"""Writes a space as a Python module for nni.nas: a network with layers of alternative modules."""

from typing import Final

from autospace.exporters.pytorch.mobile import (
    candidate_layers,
    cell_classes,
    cell_record,
    ends,
    needs_of,
)
from autospace.exporters.pytorch.source import constants, definition, imports, joined
from autospace.spaces import Space, SpaceError
from autospace.spaces.cells.family import check_kind
from autospace.spaces.errors import shown

_OPENING: Final = '''\
"""A search space for nni.nas, written by `autospace export --to nni-python`.

Example:
    space = LearnedSpace()
    space.simplify()  # layer -> Categorical of cell ids
    network = space.freeze({"layer_00": "cell id", ...})  # a module to train
"""

'''

# A LayerChoice keeps its candidates as attributes under their ids.
RESERVED: Final = ("_key", "key", "length", "names", "reduction", "return_mask")


def export_space(space: Space) -> str:
    """A module with `LearnedSpace`, for multi-trial and for one-shot strategies.

    Raises:
        SpaceError: cells of another family than `mobile`, an id that cannot name a module in
            PyTorch, or an operation that was added without PyTorch source.
    """
    check_kind(space.kind, "modules for nni.nas")
    _check_ids(space)
    offered = [each.cell for layer in space.layers for each in layer.candidates]
    needs = needs_of(space.skeleton, offered)
    return joined(
        f"{_OPENING}{imports('cells', 'nni')}\n{constants(space.skeleton)}",
        cell_record(needs),
        definition("supernet", "Layer"),
        candidate_layers(space, needs),
        *cell_classes(needs),
        definition("nni", "layer_choice"),
        definition("nni", "LearnedSpace", **ends(space.skeleton, needs)),
        definition("cells", "initialise"),
    )


def _check_ids(space: Space) -> None:
    for index, layer in enumerate(space.layers):
        for number, candidate in enumerate(layer.candidates):
            if "." in candidate.id or candidate.id in RESERVED:
                path = f"layers[{index}].candidates[{number}].id"
                problem = f"{shown(candidate.id)} cannot name a module in nni"
                allowed = f"an id without a dot, other than {', '.join(RESERVED)}"
                raise SpaceError(path, f"{problem}; allowed: {allowed}")
