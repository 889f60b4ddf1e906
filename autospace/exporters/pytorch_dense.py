"""Writes a network of dense cells as one Python file.

See `autospace.exporters.pytorch`: the file needs only PyTorch, and trained weights load into it.
"""

from typing import Any

from autospace.exporters import pytorch
from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import called, definition, laid_out, listed
from autospace.spaces import Architecture, Skeleton, SpaceError


def dense_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network.

    Raises:
        SpaceError: the stem has a block, whose cell is not dense.
    """
    skeleton = architecture.skeleton
    if skeleton.stem.block is not None:
        problem = f"{skeleton.stem.block}; allowed for this export of dense cells: none"
        raise SpaceError("stem.block", problem)
    shortcut = not skeleton.preactivation
    marks: dict[str, bool | str] = {**ends(skeleton), "plain": not shortcut, "shortcut": shortcut}
    return pytorch.joined(
        f'"""{pytorch.described(architecture)}"""\n\n{pytorch.imports("cells", "dense")}\n'
        f"{pytorch.constants(skeleton)}",
        definition("dense", "Edge"),
        definition("dense", "Layer"),
        laid_out(listed(map(_cell, architecture.shared_cells)), "CELLS = "),
        laid_out(listed(_layers(skeleton)), "LAYERS = "),
        definition("cells", "ConvNorm"),
        definition("dense", "ActivatedConvolution"),
        definition("dense", "operation"),
        definition("dense", "DenseCell"),
        definition("dense", "ResidualBlock"),
        definition("dense", "Network", **marks),
        definition("cells", "initialise"),
        definition("network", "build"),
        definition("network", "__main__", build=True),
    )


def _cell(cell: Any) -> pytorch.Node:
    used = {edge[:2] for edge in cell.pruned().edges}
    return listed(
        called(
            "Edge",
            str(edge.source),
            str(edge.target),
            literal(edge.operation),
            str(edge[:2] in used),
        )
        for edge in cell.edges
    )


def _layers(skeleton: Skeleton) -> list[pytorch.Node]:
    groups = iter(skeleton.groups)
    return [
        called(
            "Layer",
            str(shape.in_channels),
            str(shape.out_channels),
            str(shape.stride),
            "None" if layer.fixed else str(next(groups)),
        )
        for shape, layer in zip(skeleton.spine, skeleton.layers, strict=True)
    ]


def ends(skeleton: Skeleton) -> dict[str, str]:
    """The lines of the network that make its stem and its head."""
    width, stem = skeleton.spine[-1].out_channels, skeleton.stem
    activate = ", activate=False" if skeleton.preactivation else ""
    first = f"ConvNorm({skeleton.in_channels}, {stem.channels}, 3, {stem.stride}{activate})"
    head = "nn.Identity()"
    if skeleton.preactivation:
        head = f"nn.Sequential(nn.BatchNorm2d({width}), nn.ReLU())"
    elif skeleton.head:
        head = f"ConvNorm({width}, {skeleton.head})"
    classifier = f"nn.Linear({skeleton.head or width}, classes)"
    return {
        "stem": f"        self.stem = nn.Sequential({first})",
        "head": f"        self.head = {head}\n        self.classifier = {classifier}",
    }
