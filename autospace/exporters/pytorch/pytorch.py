"""A space or an architecture as one Python file that needs PyTorch only.

Weights in the file have the names that `autospace.networks.network.Network` gives them, so that
trained ones load as they are.

Nested Python literals, laid out as ruff and black lay them out.

The parts that all exported PyTorch files have: the tables of cells, stem and head.
"""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Union

from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch import networks as source
from autospace.exporters.pytorch.modules import Needs, cell_classes, cell_record
from autospace.spaces import Architecture, Candidate, Cell, LayerShape, Skeleton, Space, mbconv
from autospace.spaces.text import visible

WIDTH: Final = 88
INDENT: Final = 4
Node = Union[str, "Group"]


@dataclass(frozen=True, slots=True)
class Group:
    """Parts in brackets; each part has a label in front of it, such as `stride=`, or none."""

    opening: str
    parts: tuple[tuple[str, Node], ...]
    closing: str

    @property
    def flat(self) -> str:
        """The group on one line."""
        inner = ", ".join(f"{label}{_flat(part)}" for label, part in self.parts)
        return f"{self.opening}{inner}{self.closing}"


def listed(parts: Iterable[Node]) -> Group:
    """A list."""
    return Group("[", tuple(("", part) for part in parts), "]")


def called(function: str, /, *positional: Node, **named: Node) -> Group:
    """A call with positional and named arguments."""
    labelled = tuple((f"{label}=", part) for label, part in named.items())
    return Group(f"{function}(", (*(("", part) for part in positional), *labelled), ")")


def laid_out(node: Node, before: str = "", after: str = "", depth: int = 0) -> str:
    """The text of a node between two others: on one line if it fits there, else part by part."""
    margin = " " * INDENT * depth
    line = f"{margin}{before}{_flat(node)}{after}"
    # Of what is not ASCII, formatters know the width better: it is taken for too wide, always.
    if isinstance(node, str) or (line.isascii() and len(line) <= WIDTH):
        return line
    inner = (laid_out(part, label, ",", depth + 1) for label, part in node.parts)
    return "\n".join([f"{margin}{before}{node.opening}", *inner, f"{margin}{node.closing}{after}"])


def _flat(node: Node) -> str:
    return node if isinstance(node, str) else node.flat


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


_IMPORTS: Final = """\
from functools import reduce
from typing import NamedTuple

import torch
from torch import nn
"""
_SUPERNET_IMPORTS: Final = """\
import random
from collections.abc import Iterable
from copy import deepcopy
from functools import reduce
from typing import NamedTuple

import torch
from torch import nn
"""


def export_architecture(architecture: Architecture) -> str:
    """A module whose `build()` makes the network.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    skeleton, cost = architecture.skeleton, architecture.cost
    needs = needs_of(skeleton, architecture.cells)
    layers = listed(
        layer_call(shape, "cell", cell_call(candidate, needs))
        for shape, candidate in zip(skeleton.shapes, architecture.candidates, strict=True)
    )
    facts = f"{cost.madds:,} MAdds for an image, {cost.params:,} params"
    docstring = f"""A network of {len(skeleton.layers)} cells, written by autospace.

{_wrapped(f"Skeleton: {_quiet(skeleton.name)}. {facts}.")}

Weights that autospace trained load as they are:

    network = build()
    network.load_state_dict(safetensors.torch.load_file("model.safetensors"))
"""
    return joined(
        f'"""{docstring}"""\n\n{_IMPORTS}\n{constants(skeleton)}',
        cell_record(needs),
        source.LAYER,
        laid_out(layers, "LAYERS = "),
        *cell_classes(needs),
        with_ends(source.NETWORK, skeleton, needs),
        source.INITIALISE,
        source.BUILD,
        source.MAIN.replace("<default>", ""),
    )


def export_space(space: Space) -> str:
    """A module with `Supernet`, which holds all candidates, and `build` for one architecture.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    offered = [candidate.cell for layer in space.layers for candidate in layer.candidates]
    needs = needs_of(space.skeleton, offered)
    default = {
        layer.shape.name: space.reference.get(layer.shape.name, layer.candidates[0].id)
        for layer in space.layers
    }
    madds, params = (f"{each.min:,} to {each.max:,}" for each in (space.madds, space.params))
    facts = f"{space.size:,} architectures of {madds} MAdds and {params} params"
    docstring = f"""A search space as a supernet, written by autospace.

{_wrapped(f"Space: {_quiet(space.name)}. {facts}.")}

    supernet = Supernet()
    architecture = sample(random.Random(0))  # {{"layer_00": "cell id", ...}}
    logits = supernet(images, architecture)
    network = supernet.extract(architecture)
"""
    return joined(
        f'"""{docstring}"""\n\n{_SUPERNET_IMPORTS}\n{constants(space.skeleton)}',
        cell_record(needs),
        source.LAYER_OF_CANDIDATES,
        candidate_layers(space, needs),
        "# The reference architecture; where there is none, the first candidate.\n"
        + laid_out(dict_display(default), "DEFAULT = "),
        *cell_classes(needs),
        with_ends(source.NETWORK_OF_MODULES, space.skeleton, needs),
        source.SUPERNET,
        source.INITIALISE,
        source.BUILD_CHOSEN,
        source.MAIN.replace("<default>", "DEFAULT"),
    )


def _quiet(name: str) -> str:
    """A name for a docstring, which none of its characters can end or change."""
    return visible(name).replace("\\", "\\\\").replace('"', "'")


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 88, break_long_words=False, break_on_hyphens=False))
