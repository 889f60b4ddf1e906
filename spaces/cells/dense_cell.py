"""The dense cell: ordinary convolutions on the edges of a graph whose nodes add up.

The cell is that of Dong and Yang, "NAS-Bench-201", ICLR 2020: a convolution comes after its
activation and before its batch normalisation, nothing stands around the graph, and all edges keep
channels and resolution. Their names of operations are kept, and so is their notation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

from autospace.spaces.cells.cell import (
    MAX_NODES,
    MIN_NODES,
    Edge,
    edge_slots,
    on_paths,
)
from autospace.spaces.cells.operations import Operation
from autospace.spaces.checks import check_integer
from autospace.spaces.errors import SpaceError, offered, shown

NODES: Final = 4
OPERATIONS: Final[Mapping[str, Operation]] = {
    "none": Operation("none", "none", "·"),
    "skip_connect": Operation("skip_connect", "skip", "id"),
    "nor_conv_1x1": Operation("nor_conv_1x1", "dense", "conv1"),
    "nor_conv_3x3": Operation("nor_conv_3x3", "dense", "conv3", kernel=3),
    "avg_pool_3x3": Operation("avg_pool_3x3", "average_pool", "avg3", kernel=3),
}
"""In the order of the benchmark."""


@dataclass(frozen=True, slots=True)
class DenseCell:
    """Operations on edges of an acyclic graph; a whole cell names one for each of its edges.

    A cell of a single edge is what a space offers where edges are chosen one by one.

    Attributes:
        kind: the cell family, `autospace.spaces.cells.dense`.
        vocabulary: the operations that edges may have.
        bare: whether nothing stands around the graph.
        expansion: ratio of inner to input channels: they are the same.
        node: None: single nodes are not chosen.
        nodes: input and output included.
        chosen: edges with their operations, also `none`, in the order of `edge_slots`.
    """

    kind: ClassVar[str] = "dense"
    vocabulary: ClassVar[Mapping[str, Operation]] = OPERATIONS
    bare: ClassVar[bool] = True
    group: ClassVar[int] = 0
    expansion: ClassVar[int] = 1
    node: ClassVar[None] = None
    nodes: int
    chosen: tuple[Edge, ...]

    def __post_init__(self) -> None:
        check_integer("nodes", self.nodes, MIN_NODES, MAX_NODES)
        places = {slot: place for place, slot in enumerate(edge_slots(self.nodes))}
        last = -1
        for index, (source, target, operation) in enumerate(self.chosen):
            if (source, target) not in places:
                found = f"{shown(source)} -> {shown(target)}"
                problem = f"{found}; allowed: 0 <= source < target <= {self.nodes - 1}"
                raise SpaceError(f"edges[{index}]", problem)
            place = places[source, target]
            if place <= last:
                problem = f"{source} -> {target} is given twice, or out of order"
                allowed = "edges by target, then by source"
                raise SpaceError(f"edges[{index}]", f"{problem}; allowed: {allowed}")
            last = place
            if operation not in self.vocabulary:
                known = offered(operation, self.vocabulary)
                problem = f"unknown operation {shown(operation)}; {known}"
                raise SpaceError(f"edges[{index}].operation", problem)

    @classmethod
    def of(cls, operations: Sequence[str]) -> Self:
        """A whole cell from one operation per edge, in the order of `edge_slots`.

        Raises:
            SpaceError: no cell has so many edges, or an operation is unknown.
        """
        for nodes in range(MIN_NODES, MAX_NODES + 1):
            slots = [*edge_slots(nodes)]
            if len(slots) == len(operations):
                pairs = zip(slots, operations, strict=True)
                return cls(nodes, tuple(Edge(*slot, name) for slot, name in pairs))
        raise SpaceError("edges", f"{len(operations)} operations; allowed: 1, 3, 6, 10, ...")

    @classmethod
    def on(cls, edge: Edge, nodes: int = NODES) -> Self:
        """The choice of one operation for one edge."""
        return cls(nodes, (edge,))

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations of the chosen edges."""
        return tuple(edge.operation for edge in self.chosen)

    @property
    def edge(self) -> tuple[int, int] | None:
        """Source and target of the one edge that is chosen; None for a whole cell."""
        if self.is_whole:
            return None
        return self.chosen[0][:2] if len(self.chosen) == 1 else None

    @property
    def is_whole(self) -> bool:
        """Whether all edges are chosen."""
        return len(self.chosen) == self.nodes * (self.nodes - 1) // 2

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges with an operation other than `none`."""
        return tuple(edge for edge in self.chosen if edge.operation != "none")

    @property
    def mix(self) -> tuple[str, ...]:
        """How the nodes combine their edges: they add up."""
        return ("sum",) * (self.nodes - 1)

    @property
    def live_nodes(self) -> frozenset[int]:
        """Nodes on a path from input to output; empty if there is no path."""
        return on_paths(self.nodes, self.edges)

    @property
    def is_zero(self) -> bool:
        """Whether no path joins input and output, so that the cell computes zero."""
        return not self.live_nodes

    def pruned(self) -> Self:
        """The same function, and the same edges, with `none` on those that nothing uses."""
        live = self.live_nodes
        chosen = (
            edge if {edge.source, edge.target} <= live else edge._replace(operation="none")
            for edge in self.chosen
        )
        return replace(self, chosen=tuple(chosen))

    def with_edges(self, edges: Iterable[Edge]) -> Self:
        """The cell with these edges in place of its own between the same nodes."""
        table = {edge[:2]: edge for edge in (*self.chosen, *edges)}
        slots = edge_slots(self.nodes)
        return replace(self, chosen=tuple(table[slot] for slot in slots if slot in table))


@dataclass(frozen=True, slots=True)
class WholeCell(DenseCell):
    """A cell of which all edges are chosen, and those without an operation have `none`.

    Attributes are those of `DenseCell`.
    """

    def __post_init__(self) -> None:
        # Without arguments, super() does not know a class with slots.
        DenseCell.__post_init__(self)
        if not self.is_whole:
            slots = self.nodes * (self.nodes - 1) // 2
            problem = f"{len(self.chosen)} edges; allowed: {slots}, all of {self.nodes} nodes"
            raise SpaceError("edges", problem)

    @classmethod
    def from_edges(
        cls, edges: Iterable[tuple[int, int, str]], nodes: int = NODES, **others: int
    ) -> Self:
        """A cell from its edges; absent ones have `none`.

        Raises:
            SpaceError: an edge outside of the graph, or given twice.
        """
        given: dict[tuple[int, int], str] = {}
        slots = tuple(edge_slots(nodes))
        for index, (source, target, name) in enumerate(edges):
            if (source, target) in given:
                raise SpaceError(f"edges[{index}]", f"{source} -> {target} is given twice")
            given[source, target] = name
        if unknown := sorted(given.keys() - set(slots)):
            source, target = unknown[0]
            problem = f"{source} -> {target}; allowed: 0 <= source < target <= {nodes - 1}"
            raise SpaceError("edges", problem)
        chosen = tuple(Edge(*slot, given.get(slot, "none")) for slot in slots)
        return cls(nodes, chosen, **others)

    def renumbered(self, order: Sequence[int]) -> Self | None:
        """The pruned cell with other numbers of its nodes; None if an edge would point backward."""
        pruned = self.pruned()
        edges = {(order[each.source], order[each.target]): each[2] for each in pruned.edges}
        if any(source >= target for source, target in edges):
            return None
        slots = edge_slots(self.nodes)
        return replace(pruned, chosen=tuple(Edge(*slot, edges.get(slot, "none")) for slot in slots))


def dense_notation(cell: DenseCell) -> str:
    """A whole cell as the benchmark writes it, `|nor_conv_3x3~0|+|none~0|skip_connect~1|+...`.

    An edge on its own is `0>1 nor_conv_3x3`.
    """
    if not cell.is_whole:
        return ", ".join(f"{edge.source}>{edge.target} {edge.operation}" for edge in cell.chosen)
    nodes = [
        "|".join(f"{edge.operation}~{edge.source}" for edge in cell.chosen if edge.target == node)
        for node in range(1, cell.nodes)
    ]
    return "+".join(f"|{node}|" for node in nodes)


def dense_differences(cell: DenseCell, reference: DenseCell) -> list[str]:
    """The edges on which a cell differs from a reference: `0>1 nor_conv_3x3→none`."""
    there = {edge[:2]: edge.operation for edge in reference.chosen}
    return [
        f"{edge.source}>{edge.target} {there.get(edge[:2], 'none')}→{edge.operation}"
        for edge in cell.chosen
        if there.get(edge[:2], "none") != edge.operation
    ]


def dense_used(cell: DenseCell) -> list[str]:
    """The operations on the live edges; of one edge that is chosen its own, also `none`."""
    if not cell.is_whole:
        return [*cell.operations]
    return [edge.operation for edge in cell.pruned().edges]
