"""Writes networks and spaces of cells that every layer has of its own, as Python files.

They are binary cells, blocks of convolutions, and the layers of Once-for-All. The files need only
PyTorch, and trained weights load into them. Signs are computed as floating point numbers, so that
nothing is faster than with real weights.
"""

from typing import Any

from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import shared, source
from autospace.exporters.pytorch.files import Choices, Source, network_file, space_file
from autospace.exporters.pytorch.source import called, definition, laid_out, listed
from autospace.spaces import Architecture, LayerShape, Skeleton, Space
from autospace.spaces.cells.ofa import OfaCell


def layers_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    skeleton = architecture.skeleton
    pairs = zip(skeleton.shapes, architecture.cells, strict=True)
    rows = listed(_layer(cell, shape) for shape, cell in pairs)
    return network_file(
        architecture, _source(architecture.kind, skeleton), laid_out(rows, "LAYERS = ")
    )


def layers_space(space: Space) -> str:
    """A module whose `build` makes a network of any architecture."""
    values = [[_layer(each.cell, row.shape) for each in row.candidates] for row in space.layers]
    staged = (definition("ofa", "group"),) if space.kind == OfaCell.kind else ()
    argument = (("LAYERS", "list[Layer]"),)
    choices = Choices(values, "Layer", argument, functions=staged)
    return space_file(space, _source(space.kind, space.skeleton), choices)


def _source(kind: str, skeleton: Skeleton) -> Source:
    return {OfaCell.kind: _ofa, "binary": _binary, "conv": _conv}[kind](skeleton)


def _binary(skeleton: Skeleton) -> Source:
    names = ("sign", "BinaryConvolution", "BinaryLayer", "operation", "BinaryCell")
    return Source(
        ("cells", "binary"),
        source.constants(skeleton),
        (definition("binary", "Layer"),),
        (*shared.end_classes(skeleton), *(definition("binary", name) for name in names)),
        definition("binary", "Network", **shared.ends(skeleton)),
        (definition("cells", "initialise"),),
    )


def _conv(skeleton: Skeleton) -> Source:
    fixed = _fixed(skeleton)
    marks = {"fixed": bool(fixed), "walk": bool(fixed) or "        for cell in self.layers:"}
    names = ["halved", "operation", "ConvCell", *(["fixed_blocks"] if fixed else [])]
    return Source(
        ("cells", "conv"),
        source.constants(skeleton) + fixed,
        (definition("conv", "Layer"),),
        (
            *shared.end_classes(skeleton),
            definition("dense", "ActivatedConvolution"),
            *([definition("dense", "ResidualBlock")] if fixed else []),
            *(definition("conv", name) for name in names),
        ),
        definition("conv", "Network", **shared.ends(skeleton), **marks),
        (definition("cells", "initialise"),),
    )


def _fixed(skeleton: Skeleton) -> str:
    """The table of fixed layers, by the index of the layer with a cell that they follow."""
    blocks: dict[int, list[source.Node]] = {}
    index = -1
    for shape, layer in zip(skeleton.spine, skeleton.layers, strict=True):
        if layer.fixed:
            sizes = (shape.in_channels, shape.out_channels, shape.stride)
            blocks.setdefault(index, []).append(f"{sizes}")
        index += not layer.fixed
    if not blocks:
        return ""
    pairs = tuple((f'"{place}": ', listed(each)) for place, each in blocks.items())
    about = "# Residual blocks behind a layer: channels in and out, and stride.\n"
    return about + laid_out(source.Group("{", pairs, "}"), "FIXED = ") + "\n"


def _ofa(skeleton: Skeleton) -> Source:
    names = ("ConvNorm", "HardAttention", "Bottleneck", "Shortcut")
    return Source(
        ("ofa",),
        source.constants(skeleton)
        + 'ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "h_swish": nn.Hardswish}',
        (definition("ofa", "Layer"),),
        tuple(definition("ofa", name) for name in names),
        definition("ofa", "Network", **_ofa_ends(skeleton)),
        (definition("ofa", "initialise"),),
    )


def _layer(cell: Any, shape: LayerShape) -> source.Node:
    """A cell at a layer, without its dead edges."""
    sizes = [str(each) for each in (shape.in_channels, shape.out_channels, shape.stride)]
    if cell.kind == OfaCell.kind:
        own = (cell.kernel, cell.expansion, literal(shape.activation), shape.attention)
        return called("Layer", *sizes, *map(str, own))
    pruned = cell.pruned()
    reduction = [str(pruned.reduction)] if cell.kind == "conv" else []
    return called("Layer", *sizes, *reduction, str(pruned.nodes - 1), _edges(pruned))


def _edges(cell: Any) -> source.Node:
    """The edges of a pruned cell."""
    return listed(
        f"({edge.source}, {edge.target}, {literal(edge.operation)})" for edge in cell.edges
    )


def _ofa_ends(skeleton: Skeleton) -> dict[str, str]:
    """The lines of the network that make its stem and its head."""
    stem, activation = skeleton.stem, literal(skeleton.activation)
    first = called(
        "ConvNorm",
        str(skeleton.in_channels),
        str(stem.channels),
        "3",
        str(stem.stride),
        activation=activation,
    )
    parts: list[source.Node] = [first]
    if stem.block is not None:
        shape = LayerShape(
            "stem",
            stem.channels,
            stem.block,
            1,
            skeleton.stem_resolution,
            activation=skeleton.stages[0].activation,
        )
        block = called("Bottleneck", _layer(OfaCell.of(3, 1), shape))
        parts.append(called("Shortcut", block) if shape.shortcut else block)
    width = skeleton.shapes[-1].out_channels
    head = "nn.Identity()"
    if skeleton.head:
        head = f"ConvNorm({width}, {skeleton.head}, activation={activation})"
        width = skeleton.head
    lines = [f"        self.head = {head}"]
    if skeleton.last:
        linear = f"nn.Linear({width}, {skeleton.last}, bias=False)"
        made = called("nn.Sequential", linear, f"ACTIVATIONS[{activation}]()")
        lines.append(laid_out(made, "self.last = ", depth=2))
    else:
        lines.append("        self.last = nn.Identity()")
    lines.append(f"        self.classifier = nn.Linear({skeleton.last or width}, classes)")
    stem_lines = laid_out(called("nn.Sequential", *parts), "self.stem = ", depth=2)
    return {"stem": stem_lines, "head": "\n".join(lines)}
