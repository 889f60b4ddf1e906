"""Writes networks that read sentences, and spaces of them, as Python files.

The files need only PyTorch, and trained weights load into them.
"""

from typing import Final

from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch.files import Choices, Source, network_file, space_file
from autospace.exporters.pytorch.source import definition
from autospace.spaces import Architecture, Skeleton, Space
from autospace.spaces.encoder import encoder

_PARTS: Final = ("Tokens", "Attention", "FeedForward", "SeparableHalf", "Separable", "Layer")
_BLOCKS: Final = "tuple[tuple[int, tuple[str, ...]], ...]"


def sentence_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    skeleton = encoder(architecture.skeleton, "the cells are layers of NAS-BERT")
    rows = []
    cells = iter(architecture.cells)
    for layers in skeleton.blocks:
        block = [next(cells) for _ in range(layers)]
        kinds = "".join(f"            {literal(cell.operations[0])},\n" for cell in block)
        rows.append(f"    (\n        {block[0].group},\n        (\n{kinds}        ),\n    ),\n")
    table = f"# Per block its hidden size, and its layers.\nBLOCKS = (\n{''.join(rows)})\n"
    return network_file(architecture, _source(skeleton, table))


def sentence_space(space: Space) -> str:
    """A module whose `build` makes a network of any architecture."""
    values = [
        [f"({each.cell.group}, {literal(each.cell.operations[0])})" for each in layer.candidates]
        for layer in space.layers
    ]
    functions = tuple(definition("encoder", name) for name in ("group", "joined"))
    choices = Choices(
        values,
        "tuple[int, str]",
        (("BLOCKS", _BLOCKS),),
        functions=functions,
        made="joined({})",
    )
    return space_file(space, _source(space.skeleton), choices)


def _source(skeleton: Skeleton, table: str = "") -> Source:
    own = encoder(skeleton, "the cells are layers of NAS-BERT")
    constants = (
        f"VOCABULARY = {own.vocabulary}\n"
        f"LENGTH = {own.length}  # tokens of a sentence, padding included\n"
        f"CLASSES = {own.classes}\n"
        f"WIDTH = {own.width}  # between blocks\n"
        f"HEAD = {own.heads}  # hidden units of an attention head\n"
    )
    return Source(
        ("encoder",),
        constants + table,
        (),
        tuple(definition("encoder", name) for name in _PARTS),
        definition("encoder", "Network"),
        (definition("encoder", "initialise"),),
        main="encoder",
        unit="a sentence",
        classes=False,
    )
