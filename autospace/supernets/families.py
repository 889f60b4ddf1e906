"""Which supernet shares the weights of a space, and which search methods work on its cells."""

from collections.abc import Callable
from typing import Final

import torch

from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space
from autospace.supernets.encoder import encoder_supernet
from autospace.supernets.nodes import node_supernet
from autospace.supernets.recurrent import caption_supernet, recurrent_supernet
from autospace.supernets.supernet import Supernet, space_supernet
from autospace.supernets.tied import tied_supernet

ON_NODES: Final = (
    "random",
    "random-ws",
    "evolution",
    "spos",
    "magic-t",
    "magic-a",
    "magic-at",
    "enas",
    "pnas",
    "darts",
    "zero-cost",
    "bnas",
)
"""Search methods that need no module per candidate, or that train networks one by one."""
ON_TEXT: Final = ("random", "random-ws", "evolution", "spos", "magic-t", "enas", "darts")
"""Search methods that work on recurrent cells, which have no layers and no module per candidate."""
ON_SENTENCES: Final = (
    "random",
    "random-ws",
    "evolution",
    "spos",
    "magic-t",
    "magic-a",
    "magic-at",
    "enas",
    "pnas",
    "dna",
)
"""Search methods that never add up layers of different hidden sizes, nor compare their features."""
OF_IMAGES: Final = ("zero-cost", "petridish", "bnas")
"""Search methods that score, grow or drop out operations of cells for images."""
NOT_ON_TIED: Final = ("dna", "petridish")
"""Search methods that add to layers, or train blocks of them, one by one."""


def check_method(method: str, skeleton: Skeleton) -> None:
    """Refuses a method that does not work on the cells of a skeleton.

    Raises:
        SpaceError: it is none for what the skeleton reads; it needs a module of its own for every
            candidate, and nodes are chosen, whose candidates share operations; or it trains
            layers apart, which share cells or have two inputs.
    """
    if skeleton.reads == "sentences" and method not in ON_SENTENCES:
        problem = f"layers of {skeleton.name} have several hidden sizes, which {method} cannot mix"
        if method in OF_IMAGES:
            problem = f"{skeleton.name} reads sentences, and {method} knows cells for images only"
        raise SpaceError("method", f"{problem}; allowed: {', '.join(ON_SENTENCES)}")
    if skeleton.reads in ("text", "captions") and method not in ON_TEXT:
        reads = skeleton.reads
        problem = f"{skeleton.name} reads {reads}, for which {method} has no recurrent cells"
        raise SpaceError("method", f"{problem}; allowed: {', '.join(ON_TEXT)}")
    if skeleton.reads == "images":
        _check_apart(method, skeleton)
        _check_modules(method, skeleton)


def _check_apart(method: str, skeleton: Skeleton) -> None:
    """Refuses methods that choose or grow layers apart, where choices reach beyond them."""
    if method not in NOT_ON_TIED:
        return
    others = ON_NODES if _chooses_nodes(skeleton) else (f"all but {' and '.join(NOT_ON_TIED)}",)
    allowed, name = f"allowed: {', '.join(others)}", shown(skeleton.name)
    if _ties(skeleton) and method == "dna":
        problem = f"blocks of {name} share cells, so that dna cannot choose them one by one"
        raise SpaceError("skeleton", f"{problem}; {allowed}")
    if _shares_cells(skeleton):
        what = "layers of {} share cells" if _ties(skeleton) else "edges of {} are chosen"
        problem = f"{what.format(name)}, which {method} does not support"
        raise SpaceError("skeleton", f"{problem}; {allowed}")


def _check_modules(method: str, skeleton: Skeleton) -> None:
    """Refuses methods that need a module for each candidate of a node, or one input."""
    if skeleton.chain == 1:
        return
    if skeleton.nodes is not None and method not in ON_NODES:
        problem = f"candidates for a node of {shown(skeleton.name)} share their operations"
        wanted = f"which {method} does not support"
        raise SpaceError("skeleton", f"{problem}, {wanted}; allowed: {', '.join(ON_NODES)}")
    if method == "dna":
        problem = f"blocks of {shown(skeleton.name)} need what two layers before them give"
        wanted = "of which a teacher shows one"
        raise SpaceError("skeleton", f"{problem}, {wanted}; allowed for dna: cells with one input")


def supernet_over(
    space: Space, seed: int, device: torch.device | str, sampled: int = 1
) -> Supernet:
    """A supernet over the candidates of a space: the same weights for equal seeds.

    Args:
        space: of the candidates.
        seed: of the weights.
        device: of the weights.
        sampled: one of so many channels goes through the operations.

    Raises:
        SpaceError: channels cannot be sampled.
    """
    if sampled > 1:
        _check_sampled(space, sampled)
        return node_supernet(space, seed, device, sampled)
    return SUPERNETS[space.skeleton.reads](space, seed, device)


def _check_sampled(space: Space, sampled: int) -> None:
    skeleton = space.skeleton
    if not _chooses_nodes(skeleton):
        problem = f"{sampled}, but no nodes of cells with two inputs are chosen in {space.name}"
        raise SpaceError("supernet.sampled", f"{problem}; allowed: 1")
    for shape in skeleton.cell_layers:
        if shape.width % sampled:
            problem = f"{sampled}, which does not divide the {shape.width} channels of {shape.name}"
            raise SpaceError("supernet.sampled", f"{problem}; allowed: 1, or what divides all")


def _of_images(space: Space, seed: int, device: torch.device | str) -> Supernet:
    skeleton = space.skeleton
    if _chooses_nodes(skeleton):
        return node_supernet(space, seed, device)
    return (tied_supernet if _shares_cells(skeleton) else space_supernet)(space, seed, device)


def _chooses_nodes(skeleton: Skeleton) -> bool:
    return skeleton.chain == 2 and skeleton.nodes is not None


def _shares_cells(skeleton: Skeleton) -> bool:
    """Whether one choice is made for several layers, or for an edge of a cell."""
    chosen = _ties(skeleton) or any(shape.edge for shape in skeleton.shapes)
    return skeleton.reads == "images" and chosen and not _chooses_nodes(skeleton)


def _ties(skeleton: Skeleton) -> bool:
    return any(shape.tied for shape in skeleton.shapes)


SUPERNETS: Final[dict[str, Callable[[Space, int, torch.device | str], Supernet]]] = {
    "images": _of_images,
    "text": recurrent_supernet,
    "sentences": encoder_supernet,
    "captions": caption_supernet,
}
"""Per kind of what networks read, what makes a supernet."""
