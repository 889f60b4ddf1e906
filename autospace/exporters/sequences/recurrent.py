"""Writes a network of recurrent cells, for text or for captions, as one Python file.

See `autospace.exporters.pytorch`: the file needs only PyTorch, and trained weights load into it.
"""

from collections.abc import Iterable
from typing import Any

from autospace.exporters import pytorch
from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import definition
from autospace.spaces import Architecture
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.sequence import sequence


def recurrent_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    if isinstance(architecture.skeleton, CaptionSkeleton):
        return captioner(architecture, architecture.skeleton)
    return language_model(architecture)


def captioner(architecture: Architecture, skeleton: CaptionSkeleton) -> str:
    """A module whose `build()` makes a network that describes images."""
    cells: Any = architecture.cells
    rows = "".join(
        f"    ({_row(cell.links)}, {_row(map(literal, cell.functions))}, "
        f"{_row(source for source, _ in cell.pairs)}),\n"
        for cell in cells
    )
    table = (
        f"VOCABULARY = {skeleton.vocabulary}\n"
        f"WIDTH = {skeleton.width}\n"
        f"BIAS = {skeleton.bias}\n"
        f"CHANNELS = {skeleton.in_channels}\n"
        f"SIDE = {skeleton.resolution}\n"
        f"ENCODER = {_row(skeleton.encoder)}\n"
        f"FEATURES = {skeleton.features}  # of the last convolution\n"
        "# Per layer what its root reads (0 for the token), the functions of root and nodes, and\n"
        "# what every node behind the root reads.\n"
        f"LAYERS = (\n{rows})\n"
        "PAD, START, END = 0, 1, 2\n"
    )
    about = pytorch.described(architecture).replace("for an image", "for an image and a token")
    names = ("Encoder", "Layer", "Network", "build", "__main__")
    return pytorch.joined(
        f'"""{about}"""\n\n{pytorch.imports("captions")}\n{table}',
        definition("recurrent", "gated"),
        *(definition("captions", name) for name in names),
    )


def _row(values: Iterable[object]) -> str:
    """The source of a tuple of these pieces of source, or numbers."""
    return f"({', '.join(map(str, values))},)"


def language_model(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    skeleton = sequence(architecture.skeleton, "a language model reads text")
    cell: Any = architecture.cells[0]
    names = ", ".join(literal(name) for name in cell.functions)
    sources = ", ".join(str(source) for source, _ in cell.pairs)
    table = (
        f"VOCABULARY = {skeleton.vocabulary}\n"
        f"WIDTH = {skeleton.width}\n"
        f"BIAS = {skeleton.bias}\n"
        f"FUNCTIONS = ({names})  # of the root, and of the nodes behind it\n"
        f"SOURCES = ({sources},)  # what every node behind the root reads\n"
    )
    about = pytorch.described(architecture).replace("MAdds for an image", "MAdds for a token")
    return pytorch.joined(
        f'"""{about}"""\n\n{pytorch.imports("recurrent")}\n{table}',
        definition("recurrent", "Cell"),
        definition("recurrent", "gated"),
        definition("recurrent", "Network"),
        definition("recurrent", "build"),
        definition("recurrent", "__main__"),
    )
