"""Writes a network of cells with two inputs as one Python file.

See `autospace.exporters.pytorch`: the file needs only PyTorch, and trained weights load into it.
"""

from itertools import pairwise
from typing import Any

from autospace.exporters import pytorch
from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import called, definition, laid_out, listed
from autospace.spaces import Architecture, Skeleton
from autospace.spaces.cells.darts_cell import all_nodes
from autospace.spaces.cost import stem_widths


def darts_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    skeleton = architecture.skeleton
    classifier = f"nn.Linear({skeleton.spine[-1].out_channels}, classes)"
    marks = {"stem": _stem(skeleton), "head": f"        self.classifier = {classifier}"}
    groups = skeleton.binary_groups
    modules = _binary_modules() if groups else _real_modules()
    used = ("cells", "darts", *(("binary", "bats") if groups else ()))
    constants = f"GROUPS = {groups}  # the most of a convolution\n" if groups else ""
    return pytorch.joined(
        f'"""{pytorch.described(architecture)}"""\n\n{pytorch.imports(*used)}\n'
        f"{pytorch.constants(skeleton)}{constants}",
        definition("darts", "Cell"),
        definition("darts", "Layer"),
        laid_out(listed(map(_cell, architecture.shared_cells)), "CELLS = "),
        laid_out(listed(_layers(skeleton)), "LAYERS = "),
        *modules,
        definition("darts", "DartsCell"),
        definition("darts", "Network", signs=groups > 0, **marks),
        definition("cells", "initialise"),
        definition("network", "build"),
        definition("network", "__main__", build=True),
    )


def _real_modules() -> list[str]:
    names = ("FactorisedReduction", "separable", "operation", "TwoInputs")
    return [
        definition("cells", "ConvNorm"),
        definition("dense", "ActivatedConvolution"),
        *(definition("darts", name) for name in names),
    ]


def _binary_modules() -> list[str]:
    return [
        *(definition("binary", name) for name in ("sign", "BinaryConvolution", "BinaryLayer")),
        *(definition("bats", name) for name in ("BinaryReduction", "operation", "TwoInputs")),
    ]


def _cell(cell: Any) -> pytorch.Node:
    nodes = (
        listed(f"({edge.source}, {literal(edge.operation)})" for edge in cell.into(node))
        for node in all_nodes(cell.nodes)
    )
    return called(
        "Cell",
        listed(nodes),
        concat=str(list(cell.concat)),
        used=str(sorted(cell.used)),
    )


def _layers(skeleton: Skeleton) -> list[pytorch.Node]:
    found: list[pytorch.Node] = []
    for group, shape in zip(skeleton.groups, skeleton.cell_layers, strict=True):
        channels, side = shape.before or (shape.in_channels, shape.resolution)
        numbers = (group, shape.width, shape.stride, channels, shape.in_channels)
        found.append(called("Layer", *map(str, numbers), str(side != shape.resolution)))
    return found


def _stem(skeleton: Skeleton) -> str:
    """The line that makes the stem: one part, or two of which the second reads the first."""
    stride = skeleton.stem.stride
    parts: list[list[pytorch.Node]] = []
    for index, (before, width) in enumerate(pairwise(stem_widths(skeleton))):
        own: list[pytorch.Node] = [
            called("nn.Conv2d", str(before), str(width), "3", str(stride), "1", bias="False"),
            f"nn.BatchNorm2d({width})",
        ]
        if index == 1:
            parts[0] += ["nn.ReLU()", *own]
        else:
            parts.append(own if index == 0 else ["nn.ReLU()", *own])
    if skeleton.binary_groups and len(parts) == 1:
        parts[0].append("nn.ReLU()")
    made = called("nn.Sequential", *(called("nn.Sequential", *part) for part in parts))
    return laid_out(made, "self.stem = ", depth=2)
