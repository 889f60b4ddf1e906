"""The parts that all exported PyTorch files have: the tables of cells, stem and head."""

from collections.abc import Iterable, Mapping
from typing import Final

from autospace.exporters.python_text import literal
from autospace.exporters.pytorch.formatting import Group, Node, called, laid_out, listed
from autospace.exporters.pytorch.modules import Needs
from autospace.spaces import Candidate, Cell, LayerShape, Skeleton, Space, mbconv

_STEM_CELL: Final = Candidate("stem", mbconv(3, 1))


def constants(skeleton: Skeleton) -> str:
    """What goes into the network and what comes out."""
    side = skeleton.resolution
    return (
        f"IMAGE = ({skeleton.in_channels}, {side}, {side})  # channels, height, width\n"
        f"CLASSES = {skeleton.classes}\n"
    )


def needs_of(skeleton: Skeleton, cells: Iterable[Cell]) -> Needs:
    """What the cells need, and the stem's own if it has one."""
    pruned = {cell.pruned() for cell in cells}
    if skeleton.stem.block is not None:
        pruned.add(_STEM_CELL.cell)
    return Needs(
        frozenset(edge.operation for cell in pruned for edge in cell.edges),
        frozenset(mix for cell in pruned for mix in cell.mix if mix != "sum"),
        any(cell.is_zero for cell in pruned),
    )


def cell_call(candidate: Candidate, needs: Needs) -> Node:
    """A candidate's cell without its dead edges, as the network's modules have it."""
    cell = candidate.cell.pruned()
    edges = listed(
        f"({edge.source}, {edge.target}, {literal(edge.operation)})" for edge in cell.edges
    )
    mixes = {node: mix for node, mix in enumerate(cell.mix, start=1) if mix != "sum"}
    named = {"mix": dict_display(mixes)} if needs.mixes else {}
    return called(
        "Cell", literal(candidate.id), expansion=str(cell.expansion), edges=edges, **named
    )


def layer_call(shape: LayerShape, label: str, cells: Node) -> Node:
    """A layer with its cell, or its cells, as the argument of this label."""
    return called(
        "Layer",
        name=literal(shape.name),
        in_channels=str(shape.in_channels),
        out_channels=str(shape.out_channels),
        stride=str(shape.stride),
        **{label: cells},
    )


def dict_display(entries: Mapping[str, str] | Mapping[int, str]) -> Group:
    """A dict of strings."""
    parts = (
        (f"{literal(key) if isinstance(key, str) else key}: ", literal(value))
        for key, value in entries.items()
    )
    return Group("{", tuple(parts), "}")


def candidate_layers(space: Space, needs: Needs) -> str:
    """The table of all candidates of all layers."""
    rows = (
        layer_call(
            layer.shape, "cells", listed(cell_call(each, needs) for each in layer.candidates)
        )
        for layer in space.layers
    )
    return laid_out(listed(rows), "LAYERS = ")


def with_ends(text: str, skeleton: Skeleton, needs: Needs) -> str:
    """The network's source with the modules of stem and head."""
    stem = skeleton.stem
    first = called(
        "ConvNorm", str(skeleton.in_channels), str(stem.channels), "3", stride=str(stem.stride)
    )
    parts: list[Node] = [first]
    if stem.block is not None:
        block = called(
            "CellModule",
            cell_call(_STEM_CELL, needs),
            in_channels=str(stem.channels),
            out_channels=str(stem.block),
            stride="1",
        )
        parts.append(block)
    width = skeleton.shapes[-1].out_channels
    head = f"ConvNorm({width}, {skeleton.head})" if skeleton.head else "nn.Identity()"
    classifier = f"self.classifier = nn.Linear({skeleton.head or width}, classes)"
    return text.replace(
        "<stem>", laid_out(called("nn.Sequential", *parts), "self.stem = ", depth=2)
    ).replace("<head>", f"        self.head = {head}\n        {classifier}")


def joined(*parts: str) -> str:
    """Definitions, two blank lines between them."""
    return "\n\n\n".join(part.rstrip("\n") for part in parts) + "\n"
