"""Writes networks and spaces of cells that layers share as Python files: dense ones, and DARTS's.

The files need only PyTorch, and trained weights load into them.
"""

from itertools import pairwise
from typing import Any

from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import source
from autospace.exporters.pytorch.files import Choices, Source, network_file, space_file
from autospace.exporters.pytorch.source import called, definition, laid_out, listed
from autospace.spaces import Architecture, Skeleton, Space
from autospace.spaces.cells.darts_cell import all_nodes
from autospace.spaces.cost import stem_widths


def dense_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    skeleton = architecture.skeleton
    cells = laid_out(listed(map(_dense_cell, architecture.shared_cells)), "CELLS = ")
    return network_file(architecture, _dense(skeleton), cells, _dense_layers(skeleton))


def dense_space(space: Space) -> str:
    """A module whose `build` makes a network of any architecture."""
    skeleton, argument = space.skeleton, (("CELLS", "list[list[Edge]]"),)
    layers = _dense_layers(skeleton)
    if skeleton.nodes is None:
        whole = [[_dense_cell(each.cell) for each in row.candidates] for row in space.layers]
        choices = Choices(whole, "list[Edge]", argument, (layers,))
        return space_file(space, _dense(skeleton), choices)
    edges = [[_edge(each.cell) for each in row.candidates] for row in space.layers]
    size = f"EDGES = {skeleton.choices_per_cell}  # of a cell; each is a choice\n"
    joined = tuple(definition("dense", name) for name in ("joined", "cell_of"))
    choices = Choices(
        edges, "tuple[int, int, str]", argument, (size + layers,), joined, "joined({})"
    )
    return space_file(space, _dense(skeleton), choices)


def _dense(skeleton: Skeleton) -> Source:
    shortcut = not skeleton.preactivation
    marks: dict[str, bool | str] = {**ends(skeleton), "plain": not shortcut, "shortcut": shortcut}
    names = ("ActivatedConvolution", "operation", "DenseCell", "ResidualBlock")
    return Source(
        ("cells", "dense"),
        source.constants(skeleton),
        (definition("dense", "Edge"), definition("dense", "Layer")),
        (*end_classes(skeleton), *(definition("dense", name) for name in names)),
        definition("dense", "Network", **marks),
        (definition("cells", "initialise"),),
    )


def _dense_cell(cell: Any) -> source.Node:
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


def _edge(cell: Any) -> str:
    (edge,) = cell.chosen
    return f"({edge.source}, {edge.target}, {literal(edge.operation)})"


def _dense_layers(skeleton: Skeleton) -> str:
    groups = iter(skeleton.groups)
    rows = [
        called(
            "Layer",
            str(shape.in_channels),
            str(shape.out_channels),
            str(shape.stride),
            "None" if layer.fixed else str(next(groups)),
        )
        for shape, layer in zip(skeleton.spine, skeleton.layers, strict=True)
    ]
    return laid_out(listed(rows), "LAYERS = ")


def ends(skeleton: Skeleton) -> dict[str, str]:
    """The lines of the network that make its stem and its head."""
    width, stem = skeleton.spine[-1].out_channels, skeleton.stem
    named: dict[str, source.Node] = {"activate": "False"} if skeleton.preactivation else {}
    sizes = map(str, (skeleton.in_channels, stem.channels, 3, stem.stride))
    parts: list[source.Node] = [called("ConvNorm", *sizes, **named)]
    if stem.block is not None:
        parts.append(called("StemBlock", str(stem.channels), str(stem.block)))
    head = "nn.Identity()"
    if skeleton.preactivation:
        head = f"nn.Sequential(nn.BatchNorm2d({width}), nn.ReLU())"
    elif skeleton.head:
        head = f"ConvNorm({width}, {skeleton.head})"
    classifier = f"nn.Linear({skeleton.head or width}, classes)"
    return {
        "stem": laid_out(called("nn.Sequential", *parts), "self.stem = ", depth=2),
        "head": f"        self.head = {head}\n        self.classifier = {classifier}",
    }


def end_classes(skeleton: Skeleton) -> list[str]:
    """Definitions of the modules that stem and head need."""
    names = ["ConvNorm", *(["StemBlock"] if skeleton.stem.block is not None else [])]
    return [definition("cells", name) for name in names]


def darts_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network of cells with two inputs."""
    skeleton = architecture.skeleton
    cells = laid_out(listed(map(_darts_cell, architecture.shared_cells)), "CELLS = ")
    return network_file(architecture, _darts(skeleton), cells, _darts_layers(skeleton))


def darts_space(space: Space) -> str:
    """A module whose `build` makes a network of any architecture of cells with two inputs."""
    skeleton, argument = space.skeleton, (("CELLS", "list[Cell]"),)
    layers = _darts_layers(skeleton)
    if skeleton.nodes is None:
        whole = [[_darts_cell(each.cell) for each in row.candidates] for row in space.layers]
        return space_file(space, _darts(skeleton), Choices(whole, "Cell", argument, (layers,)))
    nodes = [
        [_node(each.cell, row.shape.node or 0) for each in row.candidates] for row in space.layers
    ]
    size = f"NODES = {skeleton.choices_per_cell}  # of a cell; each is a choice\n"
    joined = tuple(definition("darts", name) for name in ("joined", "cell_of"))
    choices = Choices(
        nodes, "list[tuple[int, str]]", argument, (size + layers,), joined, "joined({})"
    )
    return space_file(space, _darts(skeleton), choices)


def _darts(skeleton: Skeleton) -> Source:
    groups = skeleton.binary_groups
    classifier = f"nn.Linear({skeleton.spine[-1].out_channels}, classes)"
    marks = {"stem": _stem(skeleton), "head": f"        self.classifier = {classifier}"}
    constants = f"GROUPS = {groups}  # the most of a convolution\n" if groups else ""
    modules = _binary_modules() if groups else _real_modules()
    return Source(
        ("cells", "darts", *(("binary", "bats") if groups else ())),
        source.constants(skeleton) + constants,
        (definition("darts", "Cell"), definition("darts", "Layer")),
        (*modules, definition("darts", "DartsCell")),
        definition("darts", "Network", signs=groups > 0, **marks),
        (definition("cells", "initialise"),),
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


def _darts_cell(cell: Any) -> source.Node:
    return called(
        "Cell",
        listed(_node(cell, node) for node in all_nodes(cell.nodes)),
        concat=str(list(cell.concat)),
        used=str(sorted(cell.used)),
    )


def _node(cell: Any, node: int) -> source.Node:
    """The edges that enter a node."""
    return listed(f"({edge.source}, {literal(edge.operation)})" for edge in cell.into(node))


def _darts_layers(skeleton: Skeleton) -> str:
    found: list[source.Node] = []
    for group, shape in zip(skeleton.groups, skeleton.cell_layers, strict=True):
        channels, side = shape.before or (shape.in_channels, shape.resolution)
        numbers = (group, shape.width, shape.stride, channels, shape.in_channels)
        found.append(called("Layer", *map(str, numbers), str(side != shape.resolution)))
    return laid_out(listed(found), "LAYERS = ")


def _stem(skeleton: Skeleton) -> str:
    """The line that makes the stem: one part, or two of which the second reads the first."""
    stride = skeleton.stem.stride
    parts: list[list[source.Node]] = []
    for index, (before, width) in enumerate(pairwise(stem_widths(skeleton))):
        own: list[source.Node] = [
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
