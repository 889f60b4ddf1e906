"""Writes a space or an architecture as one Python file that needs only PyTorch.

The weights have the same names as in `autospace.networks.network.Network`, so trained weights load
without changes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from autospace.exporters.pytorch import encoder, layers, mobile, recurrent, shared
from autospace.spaces import Architecture, Space
from autospace.spaces.cells.notation import PAIRED


@dataclass(frozen=True, slots=True)
class Writers:
    """What writes the files of a family: of a network, and of a space."""

    network: Callable[[Architecture], str]
    space: Callable[[Space], str]


_MOBILE: Final = Writers(mobile.mobile_network, mobile.mobile_space)
_LAYERS: Final = Writers(layers.layers_network, layers.layers_space)
_TEXT: Final = Writers(recurrent.language_model, recurrent.language_space)
_CAPTIONS: Final = Writers(recurrent.captioner, recurrent.captioner_space)
WRITERS: Final = {
    "dense": Writers(shared.dense_network, shared.dense_space),
    **dict.fromkeys(PAIRED, Writers(shared.darts_network, shared.darts_space)),
    **dict.fromkeys(("binary", "conv", "ofa"), _LAYERS),
    "nas-bert": Writers(encoder.sentence_network, encoder.sentence_space),
}
"""By the family of the cells; recurrent ones depend on what the network reads."""


def export_architecture(architecture: Architecture) -> str:
    """A module whose `build()` makes the network.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    return _writers(architecture.kind, architecture.skeleton.reads).network(architecture)


def export_space(space: Space) -> str:
    """A module with `build`, which makes any architecture of the space.

    Of cells of the family `mobile` it also has `Supernet`, which holds all candidates.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    return _writers(space.kind, space.skeleton.reads).space(space)


def _writers(kind: str, reads: str) -> Writers:
    if kind == "recurrent":
        return _CAPTIONS if reads == "captions" else _TEXT
    return WRITERS.get(kind, _MOBILE)
