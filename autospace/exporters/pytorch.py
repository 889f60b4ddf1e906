"""Writes a space or an architecture as one Python file that needs only PyTorch.

The classes and functions of the file are those of `templates/`, which linters and the type checker
read like any other source. Tables of cells and layers are nested Python literals, formatted as by
ruff and black. The weights have the same names as in `autospace.networks.network.Network`, so
trained weights load without changes.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Final, Union

from autospace.exporters.python_clients import literal
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
from autospace.spaces.cells.notation import PAIRED
from autospace.spaces.text import visible

_MARK: Final = re.compile(r"  # (?:(\w+)|type: ignore.*)$")


def imports(*templates: str) -> str:
    """The imports of these templates, sorted as by isort."""
    nodes = (node for name in templates for node in _tree(name).body)
    lines = {ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)}
    groups: tuple[list[str], list[str]] = ([], [])
    for line in sorted(lines, key=lambda line: (line.startswith("from"), line)):
        package = re.split(r"[ .]", line)[1]
        if package != "autospace":
            groups[package not in sys.stdlib_module_names].append(line)
    return "\n\n".join("\n".join(group) for group in groups) + "\n"


def definition(template: str, name: str, **marks: bool | str) -> str:
    """A class or function of a template.

    Args:
        template: the file's name.
        name: of the class or function; `__main__` for what the file does as a program.
        marks: for every mark at the end of a line, such as `# mix`, whether the lines with it
            stay, or the text that replaces them.
    """
    lines: list[str] = []
    for mark, marked in groupby(_definitions(template)[name], key=_mark):
        filling = marks[mark] if mark else True
        if filling is True:
            lines += [_MARK.sub("", line) for line in marked]
        elif filling:
            lines.append(filling)
    return "\n".join(lines)


def _mark(line: str) -> str | None:
    found = _MARK.search(line)
    return found and found[1]


def _text(template: str) -> str:
    folder = resources.files("autospace.exporters") / "templates"
    return (folder / f"{template}.py").read_text("utf-8")


@cache
def _tree(template: str) -> ast.Module:
    return ast.parse(_text(template))


@cache
def _definitions(template: str) -> Mapping[str, list[str]]:
    lines = _text(template).splitlines()
    return {
        getattr(node, "name", "__main__"): lines[node.lineno - 1 : node.end_lineno]
        for node in _tree(template).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.If)
    }


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
    # Only a formatter knows the width of text that is not ASCII: it always counts as too wide.
    if isinstance(node, str) or (line.isascii() and len(line) <= WIDTH):
        return line
    inner = (laid_out(part, label, ",", depth + 1) for label, part in node.parts)
    return "\n".join([f"{margin}{before}{node.opening}", *inner, f"{margin}{node.closing}{after}"])


def _flat(node: Node) -> str:
    return node if isinstance(node, str) else node.flat


_STEM_CELL: Final = Candidate("stem", mbconv(3, 1))


def constants(skeleton: Skeleton) -> str:
    """The constants for the input and the output of the network."""
    side = skeleton.resolution
    return (
        f"IMAGE = ({skeleton.in_channels}, {side}, {side})  # channels, height, width\n"
        f"CLASSES = {skeleton.classes}\n"
    )


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


def joined(*parts: str) -> str:
    """Definitions, two blank lines between them."""
    return "\n\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def described(architecture: Architecture) -> str:
    """The docstring of a file that makes a network."""
    skeleton, cost = architecture.skeleton, architecture.cost
    facts = f"{cost.madds:,} MAdds for an image, {cost.params:,} params"
    if cost.bops:
        facts += f", {cost.bops:,} binary operations, computed as real ones"
    return f"""A network of {len(architecture.cells)} cells, written by autospace.

{_wrapped(f"Skeleton: {_quiet(skeleton.name)}. {facts}.")}

Weights that autospace trained load as they are:

    network = build()
    network.load_state_dict(safetensors.torch.load_file("model.safetensors"))
"""


def export_architecture(architecture: Architecture) -> str:
    """A module whose `build()` makes the network.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    if (write := _others(architecture.kind, architecture.skeleton.reads)) is not None:
        return write.network(architecture)
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


def export_space(space: Space) -> str:
    """A module with `build`, which makes any architecture of the space.

    Of cells of the family `mobile` it also has `Supernet`, which holds all candidates.

    Raises:
        SpaceError: an operation that was added without PyTorch source.
    """
    if (write := _others(space.kind, space.skeleton.reads)) is not None:
        return write.space(space)
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


def facts_of(space: Space, unit: str = "an image") -> str:
    """What the docstring of a file says of a space: its name, size and costs."""
    ranges = [("MAdds", space.madds), ("params", space.params)]
    if space.bops.max:
        ranges.append(("binary operations", space.bops))
    costs = [f"{each.min:,} to {each.max:,} {name}" for name, each in ranges]
    costs[0] += f" for {unit}"
    facts = f"{space.size:,} architectures of {costs[0]}, {' and '.join(costs[1:])}"
    return _wrapped(f"Space: {_quiet(space.name)}. {facts}.")


def default_choices(space: Space) -> str:
    """The architecture that a file of a space builds as a program."""
    first = space.at([row[0] for part in space.parts for row in part.alternatives[0]]).choices
    about = "# The reference architecture; where there is none, the first candidate.\n"
    return about + laid_out(dict_display(space.reference or first), "DEFAULT = ")


@dataclass(frozen=True, slots=True)
class _Writers:
    """What writes the files of a family."""

    network: Callable[[Architecture], str]
    space: Callable[[Space], str]


def _others(kind: str, reads: str) -> _Writers | None:
    """The writers of a family other than `mobile`; None if the family is not known."""
    # Here, because they are made of the functions of this module.
    from autospace.exporters import pytorch_layers, pytorch_shared
    from autospace.exporters.sequences import encoder, recurrent

    layers = _Writers(pytorch_layers.layers_network, pytorch_layers.layers_space)
    paired = _Writers(pytorch_shared.darts_network, pytorch_shared.darts_space)
    tokens = _Writers(recurrent.language_model, recurrent.language_space)
    if reads == "captions":
        tokens = _Writers(recurrent.captioner, recurrent.captioner_space)
    return {
        "dense": _Writers(pytorch_shared.dense_network, pytorch_shared.dense_space),
        **dict.fromkeys(PAIRED, paired),
        **dict.fromkeys(("binary", "conv", "ofa"), layers),
        "recurrent": tokens,
        "nas-bert": _Writers(encoder.sentence_network, encoder.sentence_space),
    }.get(kind)


def _quiet(name: str) -> str:
    """A name for a docstring, which none of its characters can end or change."""
    return visible(name).replace("\\", "\\\\").replace('"', "'")


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 88, break_long_words=False, break_on_hyphens=False))
