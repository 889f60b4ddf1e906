"""Writes a network that reads sentences as one Python file.

See `autospace.exporters.pytorch`: the file needs only PyTorch, and trained weights load into it.
"""

from typing import Final

from autospace.exporters import pytorch
from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import definition
from autospace.spaces import Architecture
from autospace.spaces.encoder import encoder

_PARTS: Final = (
    "Tokens",
    "Attention",
    "FeedForward",
    "SeparableHalf",
    "Separable",
    "Layer",
    "Network",
    "initialise",
    "build",
    "__main__",
)


def sentence_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    skeleton = encoder(architecture.skeleton, "the cells are layers of NAS-BERT")
    rows = []
    cells = iter(architecture.cells)
    for layers in skeleton.blocks:
        block = [next(cells) for _ in range(layers)]
        kinds = "".join(f"            {literal(cell.operations[0])},\n" for cell in block)
        rows.append(f"    (\n        {block[0].group},\n        (\n{kinds}        ),\n    ),\n")
    table = (
        f"VOCABULARY = {skeleton.vocabulary}\n"
        f"LENGTH = {skeleton.length}  # tokens of a sentence, padding included\n"
        f"CLASSES = {skeleton.classes}\n"
        f"WIDTH = {skeleton.width}  # between blocks\n"
        f"HEAD = {skeleton.heads}  # hidden units of an attention head\n"
        "# Per block its hidden size, and its layers.\n"
        f"BLOCKS = (\n{''.join(rows)})\n"
    )
    about = pytorch.described(architecture).replace("MAdds for an image", "MAdds for a sentence")
    return pytorch.joined(
        f'"""{about}"""\n\n{pytorch.imports("encoder")}\n{table}',
        *(definition("encoder", name) for name in _PARTS),
    )
