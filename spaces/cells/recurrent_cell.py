"""The recurrent cell of ENAS and DARTS: a tree of nodes, each with a predecessor and a function.

The cell is that of Pham et al., "ENAS", ICML 2018, for language models. Node 0, the root, reads the
input and the state of the step before; every later node reads one node before it. A node has one
matrix, whose product gives a candidate and a gate, and moves from what it reads towards the
candidate as far as the gate is open. The output, which is also the next state, is the mean of the
nodes behind the root.

The choices of a cell are made one by one: for every node its predecessor, and its function.

Where cells stand in layers, one above another, the input of a root is chosen as well: its *links*
name the earlier layers whose states it reads side by side, as the skips of the macro networks of
ENAS do. Link 0 is the embedded token, and link i the state of layer i.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from autospace.spaces.cells.cell import Edge
from autospace.spaces.checks import check_integer
from autospace.spaces.errors import SpaceError, offered, shown

FUNCTIONS: Final[Mapping[str, str]] = {
    "tanh": "tanh",
    "relu": "relu",
    "sigmoid": "sig",
    "identity": "id",
}
"""The functions and their symbols, in the order of the published arcs of ENAS."""
MAX_RECURRENT_NODES: Final = 32
MAX_DEPTH: Final = 8
"""Layers of cells, one above another."""
Part = Literal["input", "function", "links"]


@dataclass(frozen=True, slots=True)
class RecurrentCell:
    """A cell, or one choice of one of its nodes.

    Attributes:
        sources: per node its predecessor; that of the root is None, and so is one that is not
            chosen here.
        functions: per node its function; None for one that is not chosen here.
        links: the earlier layers that the root reads, in their order; None if they are not chosen
            here, or if there is one layer, which reads the token.
        edge: of a single choice its node, twice; None for a whole cell.
        node: None: choices of cells with two inputs have it.
        bare: nothing stands around a cell.
        mix: none.

    Raises:
        SpaceError: a predecessor that does not come before its node, an unknown function, or
            neither a whole cell nor a single choice.
    """

    kind: ClassVar[str] = "recurrent"
    node: ClassVar[None] = None
    bare: ClassVar[bool] = True
    group: ClassVar[int] = 0
    mix: ClassVar[tuple[str, ...]] = ()
    sources: tuple[int | None, ...]
    functions: tuple[str | None, ...]
    links: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_integer("nodes", len(self.sources) - 1, 1, MAX_RECURRENT_NODES)
        if len(self.sources) != len(self.functions):
            problem = f"{len(self.functions)} entries; allowed: {len(self.sources)}, one per node"
            raise SpaceError("functions", problem)
        if self.sources[0] is not None:
            raise SpaceError("sources[0]", f"{shown(self.sources[0])}; allowed: null, for the root")
        for node, source in enumerate(self.sources):
            if source is not None:
                check_integer(f"sources[{node}]", source, 0, node - 1)
        for node, name in enumerate(self.functions):
            if name is not None:
                check_function(f"functions[{node}]", name)
        if self.links is not None:
            check_links(self.links)
        if not self.is_whole and len(self._chosen) != 1:
            problem = f"{len(self._chosen)} choices"
            raise SpaceError("", f"{problem}; allowed: all of a cell, or one")

    @classmethod
    def of(
        cls,
        pairs: Iterable[tuple[int, str]],
        root: str = "tanh",
        links: tuple[int, ...] | None = None,
    ) -> "RecurrentCell":
        """A whole cell from (predecessor, function) of each node behind the root."""
        given = list(pairs)
        sources: tuple[int | None, ...] = (None, *(source for source, _ in given))
        return cls(sources, (root, *(name for _, name in given)), links)

    @classmethod
    def on(cls, nodes: int, node: int, choice: int | str | tuple[int, ...]) -> "RecurrentCell":
        """One choice: of a node its predecessor or its function, or several links of the root."""
        sources: list[int | None] = [None] * (nodes + 1)
        functions: list[str | None] = [None] * (nodes + 1)
        if isinstance(choice, tuple):
            return cls(tuple(sources), tuple(functions), choice)
        if isinstance(choice, str):
            functions[node] = choice
        else:
            sources[node] = choice
        return cls(tuple(sources), tuple(functions))

    @property
    def nodes(self) -> int:
        """Number of nodes behind the root."""
        return len(self.sources) - 1

    @property
    def is_whole(self) -> bool:
        """Whether everything is chosen."""
        return None not in self.sources[1:] and None not in self.functions

    @property
    def pairs(self) -> tuple[tuple[int, str], ...]:
        """(predecessor, function) of the nodes behind the root that have both."""
        return tuple(
            (source, name)
            for source, name in zip(self.sources[1:], self.functions[1:], strict=True)
            if source is not None and name is not None
        )

    @property
    def operations(self) -> tuple[str, ...]:
        """The functions that are chosen here."""
        return tuple(name for name in self.functions if name is not None)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """From predecessor to node, with the function of the node."""
        return tuple(Edge(source, node, name) for node, (source, name) in enumerate(self.pairs, 1))

    @property
    def live_nodes(self) -> frozenset[int]:
        """All nodes: each is a part of the mean."""
        return frozenset(range(self.nodes + 1))

    @property
    def is_zero(self) -> bool:
        """No cell computes zero."""
        return False

    def pruned(self) -> "RecurrentCell":
        """The cell itself: nothing in it is dead."""
        return self

    @property
    def edge(self) -> tuple[int, int] | None:
        """Of a single choice its node, twice; None for a whole cell."""
        return None if self.is_whole else (self.choice[0], self.choice[0])

    @property
    def choice(self) -> tuple[int, Part]:
        """Node and part of a single choice; of a whole cell, of its first one."""
        return self._chosen[0]

    @property
    def _chosen(self) -> list[tuple[int, Part]]:
        found: list[tuple[int, Part]] = [] if self.links is None else [(0, "links")]
        for node, (source, name) in enumerate(zip(self.sources, self.functions, strict=True)):
            found += [(node, "input")] if source is not None else []
            found += [(node, "function")] if name is not None else []
        return found


def check_links(links: tuple[int, ...]) -> None:
    """Raises `SpaceError` for no links, or links that are out of range or out of order."""
    if not links:
        raise SpaceError("links", "empty; allowed: one earlier layer or more")
    for index, link in enumerate(links):
        check_integer(f"links[{index}]", link, 0, MAX_DEPTH - 1)
    if list(links) != sorted(set(links)):
        raise SpaceError("links", f"{shown(list(links))}; allowed: each once, in their order")


def check_function(path: str, name: object) -> None:
    """Raises `SpaceError` for a name that is no function."""
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise SpaceError(path, f"unknown function {shown(name)}; {offered(name, FUNCTIONS)}")


def recurrent_notation(cell: RecurrentCell) -> str:
    """`0=tanh 1=relu(0) 2=sig(1)`; of a single choice `2<1` or `2=sig`.

    Links stand before the nodes: `in=0+1`.
    """
    if not cell.is_whole:
        node, part = cell.choice
        if part == "links":
            return linked(cell)
        if part == "input":
            return f"{node}<{cell.sources[node]}"
        return f"{node}={_symbol(cell.functions[node])}"
    nodes = [f"{node}={_symbol(name)}({source})" for node, (source, name) in _numbered(cell)]
    first = [] if cell.links is None else [linked(cell)]
    return " ".join([*first, f"0={_symbol(cell.functions[0])}", *nodes])


def linked(cell: RecurrentCell) -> str:
    """The links of a cell: `in=0+1`; `in=?` where they are not chosen."""
    return f"in={'?' if cell.links is None else '+'.join(map(str, cell.links))}"


def recurrent_differences(cell: RecurrentCell, reference: RecurrentCell) -> list[str]:
    """The nodes that differ: `2<1→2<0`, `3=tanh→3=relu`; empty if nothing does."""
    if cell.nodes != reference.nodes:
        return [f"{recurrent_notation(reference)} → {recurrent_notation(cell)}"]
    found = []
    if cell.links != reference.links:
        found.append(f"{linked(reference)}→{linked(cell)}")
    for node in range(cell.nodes + 1):
        here, there = cell.sources[node], reference.sources[node]
        if here != there:
            found.append(f"{node}<{there}→{node}<{here}")
        name, other = cell.functions[node], reference.functions[node]
        if name != other:
            found.append(f"{node}={_symbol(other)}→{node}={_symbol(name)}")
    return found


def tree_key(cell: RecurrentCell) -> str:
    """A text shared by exactly the whole cells that are the same tree.

    Nodes differ by their function and by what reads them; their numbers do not matter, as each has
    weights of its own. Two trees are the same if the texts of their roots are (Aho, Hopcroft and
    Ullman, 1974, section 3.2): a node's text is its function and the sorted texts of its readers.
    """
    own = "" if cell.links is None else f"{linked(cell)} "
    return f"{own}{_texts(cell)[0]}"


def ordered_tree(cell: RecurrentCell) -> RecurrentCell:
    """The same cell for all numberings of its nodes: readers in the order of their texts."""
    texts, readers = _texts(cell), _readers(cell)
    pairs: list[tuple[int, str]] = []
    waiting = [(0, 0)]
    while waiting:
        old, new = waiting.pop()
        if old:
            source = new
            pairs.append((source, str(cell.functions[old])))
            new = len(pairs)
        later = sorted(readers[old], key=lambda node: texts[node], reverse=True)
        waiting += [(node, new) for node in later]
    return RecurrentCell.of(pairs, str(cell.functions[0]), cell.links)


def _texts(cell: RecurrentCell) -> list[str]:
    readers = _readers(cell)
    texts = [""] * (cell.nodes + 1)
    for node in reversed(range(cell.nodes + 1)):
        inner = "".join(sorted(texts[reader] for reader in readers[node]))
        texts[node] = f"{cell.functions[node]}[{inner}]" if inner else str(cell.functions[node])
        texts[node] = f"({texts[node]})"
    return texts


def _readers(cell: RecurrentCell) -> list[list[int]]:
    readers: list[list[int]] = [[] for _ in range(cell.nodes + 1)]
    for node, (source, _) in _numbered(cell):
        readers[source].append(node)
    return readers


def _numbered(cell: RecurrentCell) -> Sequence[tuple[int, tuple[int, str]]]:
    return list(enumerate(cell.pairs, 1))


def _symbol(name: str | None) -> str:
    return FUNCTIONS[name] if name is not None else "?"


@dataclass(frozen=True, slots=True)
class RecurrentPicture:
    """A cell as a graph from one node to one node; the last node is the mean of all but the root.

    Attributes:
        edges: from what a node reads to the node, with its function, and from nodes to the mean.
    """

    kind: ClassVar[str] = RecurrentCell.kind
    bare: ClassVar[bool] = True
    edge: ClassVar[None] = None
    expansion: ClassVar[int] = 1
    is_zero: ClassVar[bool] = False
    nodes: int
    edges: tuple[Edge, ...]

    @property
    def live_nodes(self) -> frozenset[int]:
        """All nodes."""
        return frozenset(range(self.nodes))


def recurrent_picture(cell: RecurrentCell) -> RecurrentPicture:
    """The graph of a cell; of a single choice, what it says of its node."""
    if not cell.is_whole:
        node, part = cell.choice
        name = str(cell.functions[node]) if part == "function" else MEAN
        return RecurrentPicture(2, (Edge(0, 1, name),))
    last = cell.nodes + 1
    means = tuple(Edge(node, last, MEAN) for node in range(1, last))
    return RecurrentPicture(last + 1, (*cell.edges, *means))


MEAN: Final = "mean"
"""What joins nodes to the output in a picture."""


def recurrent_lines(cell: RecurrentCell) -> list[str]:
    """A cell, or a choice of it, in words, a line per node."""
    if not cell.is_whole:
        node, part = cell.choice
        if part == "links":
            return [f"the root reads {read_by(cell)}"]
        if part == "input":
            return [f"node {node} reads node {cell.sources[node]}"]
        return [f"node {node} is {cell.functions[node]}"]
    given = "input" if cell.links is None else read_by(cell)
    lines = [f"0 = {cell.functions[0]}({given}, state of the step before)"]
    lines += [f"{node} = {name}({source})" for node, (source, name) in _numbered(cell)]
    some = "1" if cell.nodes == 1 else f"the mean of 1 to {cell.nodes}"
    return [*lines, f"output = {some}, the next state"]


def read_by(cell: RecurrentCell) -> str:
    """What the root of a cell with links reads besides its state, in words: `token, layer 1`."""
    return ", ".join(f"layer {link}" if link else "token" for link in cell.links or ())
