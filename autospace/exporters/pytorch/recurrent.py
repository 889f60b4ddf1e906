"""Writes networks of recurrent cells, for text or captions, and spaces of them, as Python files.

The files need only PyTorch, and trained weights load into them.
"""

from collections.abc import Iterable
from typing import Any

from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch.files import Choices, Source, network_file, space_file
from autospace.exporters.pytorch.source import definition
from autospace.spaces import Architecture, Skeleton, Space
from autospace.spaces.captions import captioning
from autospace.spaces.sequence import sequence


def captioner(architecture: Architecture) -> str:
    """A module whose `build()` makes a network that describes images."""
    rows = "".join(f"    {_linked(cell)},\n" for cell in architecture.cells)
    table = (
        "# Per layer what its root reads (0 for the token), the functions of root and nodes, and\n"
        f"# what every node behind the root reads.\nLAYERS = (\n{rows})\n"
    )
    return network_file(architecture, _captions(architecture.skeleton, table))


def captioner_space(space: Space) -> str:
    """A module whose `build` makes a network of any architecture that describes images."""
    skeleton = captioning(space.skeleton, "the space describes images")
    argument = (("LAYERS", "list[Cell]"),)
    cell = "Cell = tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...]]\n"
    if skeleton.whole:
        whole = [[_linked(each.cell) for each in layer.candidates] for layer in space.layers]
        return space_file(space, _captions(skeleton, cell), Choices(whole, "Cell", argument))
    constants = (
        f"{cell}Choice = tuple[int, ...] | int | str\n"
        f"PER_LAYER = {skeleton.choices_per_cell}  # choices\n{_root(space)}"
    )
    functions = tuple(definition("captions", name) for name in ("joined", "cell_of"))
    choices = Choices(_parts(space), "Choice", argument, (), functions, "joined({})")
    return space_file(space, _captions(skeleton, constants), choices)


def _captions(skeleton: Skeleton, constants: str) -> Source:
    own = captioning(skeleton, "the network describes images")
    table = (
        f"VOCABULARY = {own.vocabulary}\n"
        f"WIDTH = {own.width}\n"
        f"BIAS = {own.bias}\n"
        f"CHANNELS = {own.in_channels}\n"
        f"SIDE = {own.resolution}\n"
        f"ENCODER = {_row(own.encoder)}\n"
        f"FEATURES = {own.features}  # of the last convolution\n"
        f"{constants}"
        "PAD, START, END = 0, 1, 2\n"
    )
    return Source(
        ("captions",),
        table,
        (),
        (
            definition("recurrent", "gated"),
            *(definition("captions", name) for name in ("Encoder", "Layer")),
        ),
        definition("captions", "Network"),
        (),
        main="captions",
        unit="an image and a token",
        classes=False,
    )


def language_model(architecture: Architecture) -> str:
    """A module whose `build()` makes the network."""
    cell: Any = architecture.cells[0]
    names = ", ".join(literal(name) for name in cell.functions)
    sources = ", ".join(str(source) for source, _ in cell.pairs)
    table = (
        f"FUNCTIONS = ({names})  # of the root, and of the nodes behind it\n"
        f"SOURCES = ({sources},)  # what every node behind the root reads\n"
    )
    return network_file(architecture, _text(architecture.skeleton, table))


def language_space(space: Space) -> str:
    """A module whose `build` makes a network of any architecture that reads text."""
    skeleton = sequence(space.skeleton, "a language model reads text")
    argument = (("FUNCTIONS", "tuple[str, ...]"), ("SOURCES", "tuple[int, ...]"))
    if skeleton.whole:
        whole = [[_cell(each.cell) for each in layer.candidates] for layer in space.layers]
        parts = "Parts = tuple[tuple[str, ...], tuple[int, ...]]  # functions, and sources\n"
        choices = Choices(whole, "Parts", argument, made="*{}[0]")
        return space_file(space, _text(skeleton, parts), choices)
    functions = (definition("recurrent", "joined"),)
    choices = Choices(_parts(space), "int | str", argument, (), functions, "*joined({})")
    return space_file(space, _text(skeleton, _root(space)), choices)


def _text(skeleton: Skeleton, constants: str = "") -> Source:
    own = sequence(skeleton, "a language model reads text")
    table = f"VOCABULARY = {own.vocabulary}\nWIDTH = {own.width}\nBIAS = {own.bias}\n{constants}"
    return Source(
        ("recurrent",),
        table,
        (),
        (definition("recurrent", "Cell"), definition("recurrent", "gated")),
        definition("recurrent", "Network"),
        (),
        main="recurrent",
        unit="a token",
        classes=False,
    )


def _parts(space: Space) -> list[list[str]]:
    """Per choice of a node or a root, what its candidates are."""
    return [[_part(each.cell) for each in layer.candidates] for layer in space.layers]


def _part(cell: Any) -> str:
    node, part = cell.choice
    if part == "links":
        return _row(cell.links)
    return str(cell.sources[node]) if part == "input" else literal(cell.functions[node])


def _root(space: Space) -> str:
    """The constant with the function of the root, which is empty if the function is a choice."""
    first: Any = space.at([0] * len(space.layers)).cells[0]
    firsts: Any = [layer.candidates[0].cell for layer in space.layers]
    chosen = any(cell.functions[0] for cell in firsts)
    root = "()" if chosen else f"({literal(first.functions[0])},)"
    return f"ROOT = {root}  # its function, unless it is a choice\n"


def _linked(cell: Any) -> str:
    """Links, functions and sources of a whole cell."""
    return f"({_row(cell.links)}, {_cell(cell)[1:-1]})"


def _cell(cell: Any) -> str:
    """Functions and sources of a whole cell."""
    sources = _row(source for source, _ in cell.pairs)
    return f"({_row(map(literal, cell.functions))}, {sources})"


def _row(values: Iterable[object]) -> str:
    """The source of a tuple of these pieces of source, or numbers."""
    found = list(map(str, values))
    return f"({', '.join(found)}{',' if len(found) == 1 else ''})"
