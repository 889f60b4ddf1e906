"""Writes a network of binary cells as one Python file.

See `autospace.exporters.pytorch`: the file needs only PyTorch, and trained weights load into it.
Signs are computed as floating point numbers, so that nothing is faster than with real weights.
"""

from autospace.exporters import pytorch
from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import called, definition, laid_out, listed
from autospace.spaces import Architecture, SpaceError


def binary_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network.

    Raises:
        SpaceError: the stem has a block, whose cell is not binary.
    """
    skeleton = architecture.skeleton
    if skeleton.stem.block is not None:
        problem = f"{skeleton.stem.block}; allowed for this export of binary cells: none"
        raise SpaceError("stem.block", problem)
    nothing = pytorch.Needs(frozenset(), frozenset(), False)
    return pytorch.joined(
        f'"""{pytorch.described(architecture)}"""\n\n{pytorch.imports("cells", "binary")}\n'
        f"{pytorch.constants(skeleton)}",
        definition("binary", "Layer"),
        laid_out(listed(_layers(architecture)), "LAYERS = "),
        definition("cells", "ConvNorm"),
        *(
            definition("binary", name)
            for name in ("sign", "BinaryConvolution", "BinaryLayer", "operation", "BinaryCell")
        ),
        definition("binary", "Network", **pytorch.ends(skeleton, nothing)),
        definition("cells", "initialise"),
        definition("network", "build"),
        definition("network", "__main__", build=True),
    )


def _layers(architecture: Architecture) -> list[pytorch.Node]:
    pairs = zip(architecture.skeleton.shapes, architecture.cells, strict=True)
    return [
        called(
            "Layer",
            str(shape.in_channels),
            str(shape.out_channels),
            str(shape.stride),
            str(cell.nodes - 1),
            listed(
                f"({edge.source}, {edge.target}, {literal(edge.operation)})"
                for edge in cell.pruned().edges
            ),
        )
        for shape, cell in pairs
    ]
