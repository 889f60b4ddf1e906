"""Writes a network of binary cells, of convolutions or of Once-for-All's layers, as one file.

See `autospace.exporters.pytorch`: the file needs only PyTorch, and trained weights load into it.
Signs are computed as floating point numbers, so that nothing is faster than with real weights.
"""

from collections.abc import Iterable
from typing import Any

from autospace.exporters import pytorch, pytorch_dense
from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import called, definition, laid_out, listed
from autospace.spaces import Architecture, LayerShape, Skeleton, SpaceError
from autospace.spaces.cells.ofa import OfaCell


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


def conv_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network of blocks of convolutions.

    Raises:
        SpaceError: the stem has a block, whose cell is of another family.
    """
    skeleton = architecture.skeleton
    if skeleton.stem.block is not None:
        problem = f"{skeleton.stem.block}; allowed for this export of convolutions: none"
        raise SpaceError("stem.block", problem)
    return pytorch.joined(
        f'"""{pytorch.described(architecture)}"""\n\n{pytorch.imports("cells", "conv")}\n'
        f"{pytorch.constants(skeleton)}",
        definition("conv", "Layer"),
        laid_out(listed(_conv_layers(architecture)), "LAYERS = "),
        definition("cells", "ConvNorm"),
        definition("dense", "ActivatedConvolution"),
        *(definition("conv", name) for name in ("halved", "operation", "ConvCell")),
        definition("conv", "Network", **pytorch_dense.ends(skeleton)),
        definition("cells", "initialise"),
        definition("network", "build"),
        definition("network", "__main__", build=True),
    )


def _conv_layers(architecture: Architecture) -> list[pytorch.Node]:
    cells: Iterable[Any] = (cell.pruned() for cell in architecture.cells)
    return [
        called(
            "Layer",
            str(shape.in_channels),
            str(shape.out_channels),
            str(shape.stride),
            str(cell.reduction),
            str(cell.nodes - 1),
            _edges(cell),
        )
        for shape, cell in zip(architecture.skeleton.shapes, cells, strict=True)
    ]


def _edges(cell: Any) -> pytorch.Node:
    """The edges of a pruned cell."""
    return listed(
        f"({edge.source}, {edge.target}, {literal(edge.operation)})" for edge in cell.edges
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
            _edges(cell.pruned()),
        )
        for shape, cell in pairs
    ]


def ofa_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network of Once-for-All's layers."""
    skeleton = architecture.skeleton
    pairs = zip(skeleton.shapes, architecture.cells, strict=True)
    layers = (_ofa_layer(shape, cell) for shape, cell in pairs)
    return pytorch.joined(
        f'"""{pytorch.described(architecture)}"""\n\n{pytorch.imports("ofa")}\n'
        f"{pytorch.constants(skeleton)}"
        'ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "h_swish": nn.Hardswish}',
        definition("ofa", "Layer"),
        laid_out(listed(layers), "LAYERS = "),
        *(
            definition("ofa", name)
            for name in ("ConvNorm", "HardAttention", "Bottleneck", "Shortcut")
        ),
        definition("ofa", "Network", **_ofa_ends(skeleton)),
        definition("ofa", "initialise"),
        definition("network", "build"),
        definition("network", "__main__", build=True),
    )


def _ofa_layer(shape: LayerShape, cell: Any) -> pytorch.Node:
    return called(
        "Layer",
        str(shape.in_channels),
        str(shape.out_channels),
        str(shape.stride),
        str(cell.kernel),
        str(cell.expansion),
        literal(shape.activation),
        str(shape.attention),
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
    parts: list[pytorch.Node] = [first]
    if stem.block is not None:
        shape = LayerShape(
            "stem",
            stem.channels,
            stem.block,
            1,
            skeleton.stem_resolution,
            activation=skeleton.stages[0].activation,
        )
        block = called("Bottleneck", _ofa_layer(shape, OfaCell.of(3, 1)))
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
