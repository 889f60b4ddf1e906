"""Writes a language model around a recurrent cell as one Python file.

See `autospace.exporters.pytorch`: the file needs only PyTorch, and trained weights load into it.
"""

from typing import Any

from autospace.exporters import pytorch
from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import definition
from autospace.spaces import Architecture
from autospace.spaces.sequence import sequence


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
