"""A space or an architecture as one Python file that needs PyTorch only.

Weights in the file have the names that `autospace.networks.network.Network` gives them, so that trained
ones load as they are.
"""

import textwrap
from typing import Final

from autospace.exporters.pytorch import networks as source
from autospace.exporters.pytorch.formatting import laid_out, listed
from autospace.exporters.pytorch.modules import cell_classes, cell_record
from autospace.exporters.pytorch.parts import (
    candidate_layers,
    cell_call,
    constants,
    dict_display,
    joined,
    layer_call,
    needs_of,
    with_ends,
)
from autospace.spaces import Architecture, Space
from autospace.spaces.text import visible

_IMPORTS: Final = """\
from functools import reduce
from typing import NamedTuple

import torch
from torch import nn
"""
_SUPERNET_IMPORTS: Final = """\
import random
from collections.abc import Iterable
from copy import deepcopy
from functools import reduce
from typing import NamedTuple

import torch
from torch import nn
"""


def export_architecture(architecture: Architecture) -> str:
    """A module whose `build()` makes the network.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    skeleton, cost = architecture.skeleton, architecture.cost
    needs = needs_of(skeleton, architecture.cells)
    layers = listed(
        layer_call(shape, "cell", cell_call(candidate, needs))
        for shape, candidate in zip(skeleton.shapes, architecture.candidates, strict=True)
    )
    facts = f"{cost.madds:,} MAdds for an image, {cost.params:,} params"
    docstring = f"""A network of {len(skeleton.layers)} cells, written by autospace.

{_wrapped(f"Skeleton: {_quiet(skeleton.name)}. {facts}.")}

Weights that autospace trained load as they are:

    network = build()
    network.load_state_dict(safetensors.torch.load_file("model.safetensors"))
"""
    return joined(
        f'"""{docstring}"""\n\n{_IMPORTS}\n{constants(skeleton)}',
        cell_record(needs),
        source.LAYER,
        laid_out(layers, "LAYERS = "),
        *cell_classes(needs),
        with_ends(source.NETWORK, skeleton, needs),
        source.INITIALISE,
        source.BUILD,
        source.MAIN.replace("<default>", ""),
    )


def export_space(space: Space) -> str:
    """A module with `Supernet`, which holds all candidates, and `build` for one architecture.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    offered = [candidate.cell for layer in space.layers for candidate in layer.candidates]
    needs = needs_of(space.skeleton, offered)
    default = {
        layer.shape.name: space.reference.get(layer.shape.name, layer.candidates[0].id)
        for layer in space.layers
    }
    madds, params = (f"{each.min:,} to {each.max:,}" for each in (space.madds, space.params))
    facts = f"{space.size:,} architectures of {madds} MAdds and {params} params"
    docstring = f"""A search space as a supernet, written by autospace.

{_wrapped(f"Space: {_quiet(space.name)}. {facts}.")}

    supernet = Supernet()
    architecture = sample(random.Random(0))  # {{"layer_00": "cell id", ...}}
    logits = supernet(images, architecture)
    network = supernet.extract(architecture)
"""
    return joined(
        f'"""{docstring}"""\n\n{_SUPERNET_IMPORTS}\n{constants(space.skeleton)}',
        cell_record(needs),
        source.LAYER_OF_CANDIDATES,
        candidate_layers(space, needs),
        "# The reference architecture; where there is none, the first candidate.\n"
        + laid_out(dict_display(default), "DEFAULT = "),
        *cell_classes(needs),
        with_ends(source.NETWORK_OF_MODULES, space.skeleton, needs),
        source.SUPERNET,
        source.INITIALISE,
        source.BUILD_CHOSEN,
        source.MAIN.replace("<default>", "DEFAULT"),
    )


def _quiet(name: str) -> str:
    """A name for a docstring, which none of its characters can end or change."""
    return visible(name).replace("\\", "\\\\").replace('"', "'")


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 88, break_long_words=False, break_on_hyphens=False))
