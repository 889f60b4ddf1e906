"""The cell of DARTS: two inputs, nodes with two chosen edges each, and their concatenation.

The cell is that of Liu et al., "DARTS", ICLR 2019, whose names of operations are kept. Node 0 is
what the layer before the previous one gives, node 1 what the previous one gives. The skeleton
brings both to the width and resolution of the layer. Every later node is the sum of two operations
on earlier nodes, and the output is the concatenation of nodes. In a layer of stride 2 the edges
from nodes 0 and 1 have the stride.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import ClassVar, Final, Literal, NamedTuple, Protocol, Self

from autospace.spaces.cells.cell import MAX_NODES, Edge
from autospace.spaces.cells.operations import Cost
from autospace.spaces.checks import check_integer
from autospace.spaces.errors import SpaceError, offered, shown

INPUTS: Final = 2
EDGES: Final = 2
"""Edges that enter each node."""
NODES: Final = 4


class PairedOperation(Protocol):
    """An operation of a cell with two inputs; `DartsOperation` is one."""

    @property
    def kind(self) -> str:
        """What it computes."""

    @property
    def symbol(self) -> str:
        """Its name in notations and drawings."""

    def weighted(self, stride: int) -> bool:
        """Whether the operation has weights."""


@dataclass(frozen=True, slots=True)
class DartsOperation:
    """An operation of an edge; it keeps the channels.

    A separable convolution is ReLU, a depthwise convolution, a 1x1 convolution and batch
    normalisation, all twice; a dilated one has them once. A factorised one has a row and a column
    as kernels. At stride 2 a skip is a factorised reduction: ReLU, two 1x1 convolutions of half
    the channels that read alternate pixels, and batch normalisation.
    """

    name: str
    kind: Literal["none", "skip", "average_pool", "max_pool", "separable", "dilated", "factorised"]
    symbol: str
    kernel: int = 3

    def weighted(self, stride: int) -> bool:
        """Whether the operation has weights."""
        if self.kind == "skip":
            return stride == 2
        return self.kind in ("separable", "dilated", "factorised")

    def cost(self, channels: int, stride: int, side: int) -> Cost:
        """MAdds and params for an input of this side."""
        if not self.weighted(stride):
            return Cost()
        out = -(-side // stride)
        mixing = channels * channels
        if self.kind == "skip":
            return Cost(mixing * out**2, mixing + 2 * channels)
        if self.kind == "factorised":
            # The row comes first and has the stride of its own direction only.
            weights = self.kernel * mixing
            return Cost(weights * (side * out + out**2), 2 * weights + 2 * channels)
        times = 2 if self.kind == "separable" else 1
        weights = self.kernel**2 * channels + mixing
        return Cost(times * weights * out**2, times * (weights + 2 * channels))


OPERATIONS: Final[Mapping[str, DartsOperation]] = {
    each.name: each
    for each in (
        DartsOperation("none", "none", "·"),
        DartsOperation("max_pool_3x3", "max_pool", "max3"),
        DartsOperation("avg_pool_3x3", "average_pool", "avg3"),
        DartsOperation("skip_connect", "skip", "id"),
        DartsOperation("sep_conv_3x3", "separable", "sep3"),
        DartsOperation("sep_conv_5x5", "separable", "sep5", 5),
        DartsOperation("dil_conv_3x3", "dilated", "dil3"),
        DartsOperation("dil_conv_5x5", "dilated", "dil5", 5),
        DartsOperation("sep_conv_7x7", "separable", "sep7", 7),
        DartsOperation("conv_7x1_1x7", "factorised", "conv7", 7),
    )
}
"""In the order of the paper; the last two are only in cells of others that its code can build."""

USUAL: Final = tuple(OPERATIONS)[1:8]
"""The operations that searches choose from: a found cell never has `none`."""


class Choice(NamedTuple):
    """What a node may be: two edges from different nodes."""

    first: Edge
    second: Edge

    @property
    def name(self) -> str:
        """Both edges with their sources: `sep_conv_3x3~0+skip_connect~1`."""
        return "+".join(f"{edge.operation}~{edge.source}" for edge in self)


def choices_of(node: int, operations: Sequence[str] = USUAL) -> list[Choice]:
    """All that a node may be: every pair of sources, with every pair of operations."""
    return [
        Choice(Edge(first, node, one), Edge(second, node, other))
        for first, second in combinations(range(node), 2)
        for one, other in product(operations, repeat=2)
    ]


@dataclass(frozen=True, slots=True)
class DartsCell:
    """Two edges into each of its nodes, and the nodes that it concatenates.

    A cell of a single node is what a space offers where nodes are chosen one by one. Edges keep the
    order in which they were written, so that a genotype is written back as it was.

    Attributes:
        kind: the cell family, `autospace.spaces.cells.darts`.
        vocabulary: the operations of the family, by name.
        bare: whether nothing stands around the graph.
        edge: None: single edges are not chosen.
        expansion: ratio of inner to input channels; the skeleton has brought them to one width.
        nodes: without the two inputs; they are numbered from 2.
        chosen: two edges per node, also `none`, node after node.
        concat: the nodes that are concatenated, in this order.
    """

    kind: ClassVar[str] = "darts"
    vocabulary: ClassVar[Mapping[str, PairedOperation]] = OPERATIONS
    bare: ClassVar[bool] = True
    group: ClassVar[int] = 0
    edge: ClassVar[None] = None
    expansion: ClassVar[int] = 1
    nodes: int
    chosen: tuple[Edge, ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        check_integer("nodes", self.nodes, 1, MAX_NODES)
        self._check_edges()
        self._check_concat()

    def _check_edges(self) -> None:
        inner = range(INPUTS, INPUTS + self.nodes)
        if len(self.chosen) not in (EDGES, EDGES * self.nodes):
            allowed = f"{EDGES} of one node, or {EDGES * self.nodes} of {self.nodes} nodes"
            raise SpaceError("edges", f"{len(self.chosen)} edges; allowed: {allowed}")
        start = INPUTS if self.is_whole else self.chosen[0].target
        for index, (source, target, operation) in enumerate(self.chosen):
            path = f"edges[{index}]"
            for name, value in (("source", source), ("target", target)):
                check_integer(f"{path}.{name}", value, 0, inner.stop - 1)
            if target not in inner or not source < target:
                allowed = f"0 <= source < target, and target {inner.start} to {inner.stop - 1}"
                raise SpaceError(path, f"{source} -> {target}; allowed: {allowed}")
            wanted = start + index // EDGES
            if target != wanted:
                problem = f"{source} -> {target}; allowed here: an edge into {wanted}"
                raise SpaceError(path, f"{problem}, as every node has {EDGES}, in their order")
            if operation not in self.vocabulary:
                known = offered(operation, self.vocabulary)
                problem = f"unknown operation {shown(operation)}; {known}"
                raise SpaceError(f"{path}.operation", problem)

    def _check_concat(self) -> None:
        last = INPUTS + self.nodes - 1
        if not self.concat:
            raise SpaceError("concat", f"no nodes; allowed: nodes {INPUTS} to {last}")
        for index, node in enumerate(self.concat):
            check_integer(f"concat[{index}]", node, INPUTS, last)
            if node in self.concat[:index]:
                raise SpaceError(f"concat[{index}]", f"{node} is given twice")

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, int]], concat: Iterable[int] | None = None) -> Self:
        """A whole cell from (operation, source) pairs, two per node, as genotypes list them.

        By default all nodes are concatenated.

        Raises:
            SpaceError: no cell has these edges.
        """
        edges = tuple(
            Edge(source, INPUTS + index // EDGES, operation)
            for index, (operation, source) in enumerate(pairs)
        )
        nodes = len(edges) // EDGES
        if len(edges) % EDGES:
            raise SpaceError("edges", f"{len(edges)} edges; allowed: {EDGES} per node")
        return cls(nodes, edges, all_nodes(nodes) if concat is None else tuple(concat))

    @classmethod
    def on(cls, edges: Iterable[Edge], nodes: int = NODES) -> Self:
        """The choice of one node's edges, in a cell of so many nodes."""
        return cls(nodes, tuple(edges), all_nodes(nodes))

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations of the chosen edges."""
        return tuple(edge.operation for edge in self.chosen)

    @property
    def is_whole(self) -> bool:
        """Whether all nodes are chosen."""
        return len(self.chosen) == EDGES * self.nodes

    @property
    def node(self) -> int | None:
        """The one node that is chosen; None for a whole cell."""
        return None if self.is_whole else self.chosen[0].target

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges with an operation other than `none`."""
        return tuple(edge for edge in self.chosen if edge.operation != "none")

    @property
    def mix(self) -> tuple[str, ...]:
        """How the nodes combine their edges: they add up."""
        return ("sum",) * self.nodes

    @property
    def is_zero(self) -> bool:
        """Whether there is no edge with an operation, so that the output is zero."""
        return not self.edges

    @property
    def used(self) -> frozenset[int]:
        """The nodes that the output depends on, inputs included."""
        found = set(self.concat)
        for edge in sorted(self.edges, key=lambda edge: -edge.target):
            if edge.target in found:
                found.add(edge.source)
        return frozenset(found)

    def into(self, node: int) -> tuple[Edge, ...]:
        """The edges that enter a node."""
        return tuple(edge for edge in self.chosen if edge.target == node)

    def pruned(self) -> Self:
        """The same function, with `none` on edges into nodes that nothing uses."""
        if not self.is_whole:
            return self
        used = self.used
        edges = (
            edge if edge.target in used else edge._replace(operation="none") for edge in self.chosen
        )
        return type(self)(self.nodes, tuple(edges), self.concat)

    def with_edges(self, edges: Sequence[Edge]) -> Self:
        """The cell with these edges in place of those into the same nodes."""
        given = {edge.target for edge in edges}
        kept = [edge for edge in self.chosen if edge.target not in given]
        ordered = sorted((*kept, *edges), key=lambda edge: edge.target)
        return type(self)(self.nodes, tuple(ordered), self.concat)


def all_nodes(nodes: int) -> tuple[int, ...]:
    """The numbers of the nodes of a cell, without the inputs."""
    return tuple(range(INPUTS, INPUTS + nodes))


@dataclass(frozen=True, slots=True)
class DartsPicture:
    """A cell as a graph from one node to one node, which is how graphs are drawn.

    Node 0 stands for the two inputs, which are nodes 1 and 2; the last node is the concatenation.

    Attributes:
        edges: the operations that the output depends on, and what joins both ends to them.
    """

    kind: ClassVar[str] = "darts"
    bare: ClassVar[bool] = True
    edge: ClassVar[None] = None
    expansion: ClassVar[int] = 1
    nodes: int
    edges: tuple[Edge, ...]

    @property
    def is_zero(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.edges

    @property
    def live_nodes(self) -> frozenset[int]:
        """The nodes that are drawn."""
        return frozenset(end for edge in self.edges for end in edge[:2])

    def pruned(self) -> "DartsPicture":
        """The picture itself: nothing in it is dead."""
        return self


ENDS: Final = {"before": "k-2", "last": "k-1", "node": "node", "zero": "0", "concat": "cat"}
"""What the edges of a picture that are no operations are called."""


def darts_picture(cell: DartsCell) -> DartsPicture:
    """The part of a cell that its output depends on, as a graph that can be drawn."""
    if cell.is_zero:
        return DartsPicture(2, ())
    shown_cell = cell.pruned()
    last = INPUTS + cell.nodes + 1
    inner = [Edge(source + 1, target + 1, name) for source, target, name in shown_cell.edges]
    sources = {edge.source for edge in inner} - {edge.target for edge in inner}
    # What nothing enters is an input, a node of the rest of the cell, or zero.
    other = "zero" if cell.is_whole else "node"
    starts = [Edge(0, node, {1: "before", 2: "last"}.get(node, other)) for node in sources]
    targets = {edge.target for edge in inner}
    ends = [Edge(node + 1, last, "concat") for node in cell.concat if node + 1 in targets]
    edges = [*starts, *inner, *ends]
    return DartsPicture(last + 1, tuple(sorted(edges, key=lambda edge: (edge[1], edge[0]))))


def darts_notation(cell: DartsCell) -> str:
    """The nodes of a cell with their edges, `2: sep3~0 sep3~1, 3: id~0 sep3~1, ... | 2 3 4 5`.

    After the bar stand the nodes that are concatenated, if these are not all.
    """
    targets = dict.fromkeys(edge.target for edge in cell.chosen)
    nodes = ", ".join(f"{node}: {_edges_text(cell, node)}" for node in targets)
    if cell.concat == all_nodes(cell.nodes):
        return nodes
    return f"{nodes} | {' '.join(map(str, cell.concat))}"


def darts_differences(cell: DartsCell, reference: DartsCell) -> list[str]:
    """The nodes in which a cell differs from a reference: `3: sep3~0 sep3~1→id~0 sep3~1`."""
    parts = []
    for node in dict.fromkeys(edge.target for edge in (*reference.chosen, *cell.chosen)):
        old, new = reference.into(node), cell.into(node)
        if sorted(old) != sorted(new):
            parts.append(f"{node}: {_edges_text(reference, node)}→{_edges_text(cell, node)}")
    if sorted(cell.concat) != sorted(reference.concat):
        ends = (" ".join(map(str, each.concat)) for each in (reference, cell))
        parts.append(f"concat {'→'.join(ends)}")
    return parts


def _edges_text(cell: DartsCell, node: int) -> str:
    symbols = cell.vocabulary
    named = (f"{symbols[edge.operation].symbol}~{edge.source}" for edge in cell.into(node))
    return " ".join(named) or "nothing"
