"""Writes networks and spaces of cells of the family `mobile` as Python files.

The files need only PyTorch, and trained weights load into them. That of a space holds a supernet.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch.source import (
    Node,
    called,
    constants,
    default_choices,
    definition,
    described,
    dict_display,
    facts_of,
    imports,
    joined,
    laid_out,
    listed,
)
from autospace.spaces import (
    OPERATIONS,
    Architecture,
    Candidate,
    Cell,
    LayerShape,
    Operation,
    Skeleton,
    Space,
    SpaceError,
    mbconv,
)
from autospace.spaces.cells.family import check_kind

_OPERATIONS: Final[dict[str, Callable[[Operation], str]]] = {
    "skip": lambda operation: "nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)",
    "depthwise": lambda operation: _depthwise(operation.kernel, operation.dilation),
    "average_pool": lambda operation: (
        f"nn.AvgPool2d({operation.kernel}, stride, {operation.kernel // 2}, "
        "count_include_pad=False)"
    ),
    "max_pool": lambda operation: (
        f"nn.MaxPool2d({operation.kernel}, stride, {operation.kernel // 2})"
    ),
}
_MIXES: Final = {"gate": "Gate", "se": "SqueezeExcite"}


@dataclass(frozen=True, slots=True)
class Needs:
    """The operations and mixes in the cells of a file; `zero` if one cell has no edge."""

    operations: frozenset[str]
    mixes: frozenset[str]
    zero: bool

    @property
    def marks(self) -> dict[str, bool]:
        """Which marked lines of the templates the file gets."""
        used = {name: name in self.mixes for name in _MIXES}
        return {**used, "mix": bool(self.mixes), "zero": self.zero}


def cell_record(needs: Needs) -> str:
    """The definition of a cell as data."""
    return definition("cells", "Cell", **needs.marks)


def cell_classes(needs: Needs) -> list[str]:
    """Definitions of the modules that cells need.

    Raises:
        SpaceError: an operation of a kind that is not known here.
    """
    cases = "\n".join(
        f"    if name == {literal(name)}:\n        return {_operation(name)}"
        for name in OPERATIONS
        if name in needs.operations
    )
    names = ["ConvNorm", "operation"]
    names += [name for mix, name in _MIXES.items() if mix in needs.mixes]
    names += [*(["mixing"] if needs.mixes else []), "CellModule"]
    return [definition("cells", name, operations=cases, **needs.marks) for name in names]


def _operation(name: str) -> str:
    operation = OPERATIONS[name]
    if operation.kind not in _OPERATIONS:
        problem = f"kind {operation.kind!r} has no PyTorch source"
        raise SpaceError(name, f"{problem}; allowed: {', '.join(_OPERATIONS)}")
    return _OPERATIONS[operation.kind](operation)


def _depthwise(kernel: int, dilation: int) -> str:
    dilated = f"dilation={dilation}, " if dilation != 1 else ""
    return f"ConvNorm(channels, channels, {kernel}, stride, {dilated}groups=channels)"


_STEM_CELL: Final = Candidate("stem", mbconv(3, 1))


def needs_of(skeleton: Skeleton, cells: Iterable[Cell]) -> Needs:
    """The needs of the cells, and of the stem's block if it has one.

    Raises:
        SpaceError: a cell of another family than `mobile`.
    """
    pruned = set()
    for cell in cells:
        check_kind(cell.kind, "exports to PyTorch")
        pruned.add(cell.pruned())
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


def candidate_layers(space: Space, needs: Needs) -> str:
    """The table of all candidates of all layers."""
    rows = (
        layer_call(
            layer.shape, "cells", listed(cell_call(each, needs) for each in layer.candidates)
        )
        for layer in space.layers
    )
    return laid_out(listed(rows), "LAYERS = ")


def ends(skeleton: Skeleton, needs: Needs) -> dict[str, str]:
    """The lines of a network that make its stem and its head."""
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
    classifier = f"nn.Linear({skeleton.head or width}, classes)"
    return {
        "stem": laid_out(called("nn.Sequential", *parts), "self.stem = ", depth=2),
        "head": f"        self.head = {head}\n        self.classifier = {classifier}",
    }


def mobile_network(architecture: Architecture) -> str:
    """A module whose `build()` makes the network.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    skeleton = architecture.skeleton
    needs = needs_of(skeleton, architecture.cells)
    layers = listed(
        layer_call(shape, "cell", cell_call(candidate, needs))
        for shape, candidate in zip(skeleton.shapes, architecture.candidates, strict=True)
    )
    return joined(
        f'"""{described(architecture)}"""\n\n{imports("cells", "network")}\n{constants(skeleton)}',
        cell_record(needs),
        definition("network", "Layer"),
        laid_out(layers, "LAYERS = "),
        *cell_classes(needs),
        definition("network", "Network", **ends(skeleton, needs)),
        definition("cells", "initialise"),
        definition("network", "build"),
        definition("network", "__main__", build=True),
    )


def mobile_space(space: Space) -> str:
    """A module with `Supernet`, which holds all candidates, and `build` for any architecture.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    offered = [candidate.cell for layer in space.layers for candidate in layer.candidates]
    needs = needs_of(space.skeleton, offered)
    docstring = f"""A search space as a supernet, written by autospace.

{facts_of(space)}

    supernet = Supernet()
    architecture = sample(random.Random(0))  # {{"layer_00": "cell id", ...}}
    logits = supernet(images, architecture)
    network = supernet.extract(architecture)
"""
    return joined(
        f'"""{docstring}"""\n\n{imports("cells", "supernet")}\n{constants(space.skeleton)}',
        cell_record(needs),
        definition("supernet", "Layer"),
        candidate_layers(space, needs),
        default_choices(space),
        *cell_classes(needs),
        definition("supernet", "Network", **ends(space.skeleton, needs)),
        definition("supernet", "Supernet"),
        definition("cells", "initialise"),
        *(definition("supernet", name) for name in ("cell_module", "chosen", "sample", "build")),
        definition("network", "__main__", build="    network = build(DEFAULT).eval()"),
    )
