"""The cell: a small acyclic graph of operations, as an immutable value (the genotype)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, Literal, NamedTuple, TypeVar

from autospace.spaces.cells.operations import OPERATIONS, unknown_operation
from autospace.spaces.checks import check_integer
from autospace.spaces.errors import SpaceError, offered, shown

MAX_EXPANSION: Final = 8
"""A cell may have any expansion from 1 to this: published networks have 2, 4 and 5 too."""
EXPANSIONS: Final = (1, 3, 6)
"""The expansions that random cells and mutations have by default."""
Mix = Literal["sum", "gate", "se"]
MIXES: Final[tuple[Mix, ...]] = ("sum", "gate", "se")
MIN_NODES: Final = 2
MAX_NODES: Final = 8


class Edge(NamedTuple):
    """An operation on the edge from node `source` to node `target`."""

    source: int
    target: int
    operation: str


def edge_slots(nodes: int) -> Iterator[tuple[int, int]]:
    """The (source, target) pairs of a cell, in the order of `Cell.operations`."""
    return ((source, target) for target in range(1, nodes) for source in range(target))


def on_paths(nodes: int, edges: Sequence[Edge]) -> frozenset[int]:
    """Nodes on a path from the first to the last, along edges in the order of `edge_slots`."""
    forward, backward = {0}, {nodes - 1}
    for edge in edges:
        if edge.source in forward:
            forward.add(edge.target)
    for edge in sorted(edges, key=lambda edge: -edge.target):
        if edge.target in backward:
            backward.add(edge.source)
    return frozenset(forward & backward)


@dataclass(frozen=True, slots=True)
class Cell:
    """Operations on all edges of an acyclic graph, with a mix per node and an expansion ratio.

    Node 0 is the input after expansion, the last node the output before projection. A cell in
    which no path joins them computes zero: with the skeleton's shortcut it is a skipped layer.

    Attributes:
        kind: the cell family, `autospace.spaces.cells.mobile`.
        edge: None: cells of this family are whole.
        node: None, too.
        bare: whether nothing stands around the graph; here a projection does, and an expansion.
        operations: one name per edge slot, `none` where there is no edge; slots run by target,
            then by source: 0->1, 0->2, 1->2, 0->3, ...
        mix: how each of the nodes 1, 2, ... combines its incoming edges.
        expansion: ratio of inner to input channels; with 1 there is no expansion convolution.
        group: what all cells of a stage have in common; in most families there is nothing.
    """

    kind: ClassVar[str] = "mobile"
    edge: ClassVar[None] = None
    node: ClassVar[None] = None
    bare: ClassVar[bool] = False
    group: ClassVar[int] = 0
    operations: tuple[str, ...]
    mix: tuple[str, ...]
    expansion: int

    def __post_init__(self) -> None:
        nodes = len(self.mix) + 1
        if not MIN_NODES <= nodes <= MAX_NODES:
            raise SpaceError("mix", f"{nodes} nodes; allowed: {MIN_NODES} to {MAX_NODES}")
        slots = nodes * (nodes - 1) // 2
        if len(self.operations) != slots:
            found = len(self.operations)
            raise SpaceError(
                "operations", f"{found} operations; allowed: {slots}, one per edge of {nodes} nodes"
            )
        for index, name in enumerate(self.operations):
            _check_operation(f"operations[{index}]", name)
        for index, name in enumerate(self.mix):
            if name not in MIXES:
                problem = f"unknown mix {shown(name)}; {offered(name, MIXES)}"
                raise SpaceError(f"mix[{index}]", problem)
        check_integer("expansion", self.expansion, 1, MAX_EXPANSION)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[int, int, str]],
        *,
        nodes: int = 4,
        mix: tuple[str, ...] | None = None,
        expansion: int = 6,
    ) -> "Cell":
        """A cell from its edges; absent edges have `none`, every mix is `sum` unless given.

        Raises:
            SpaceError: an edge outside the graph, against its order, or given twice; an unknown
                operation, mix or expansion.
        """
        if not MIN_NODES <= nodes <= MAX_NODES:
            raise SpaceError("nodes", f"{shown(nodes)}; allowed: {MIN_NODES} to {MAX_NODES}")
        if mix is not None and len(mix) != nodes - 1:
            problem = f"{len(mix)} entries; allowed: {nodes - 1} for {nodes} nodes"
            raise SpaceError("mix", problem)
        slots = {slot: index for index, slot in enumerate(edge_slots(nodes))}
        operations = ["none"] * len(slots)
        seen: set[tuple[int, int]] = set()
        for index, (source, target, operation) in enumerate(edges):
            if (source, target) not in slots:
                found = f"{shown(source)} -> {shown(target)}"
                problem = f"{found}; allowed: 0 <= source < target <= {nodes - 1}"
                raise SpaceError(f"edges[{index}]", problem)
            if (source, target) in seen:
                raise SpaceError(f"edges[{index}]", f"{source} -> {target} is given twice")
            _check_operation(f"edges[{index}].operation", operation)
            seen.add((source, target))
            operations[slots[source, target]] = operation
        return cls(tuple(operations), ("sum",) * (nodes - 1) if mix is None else mix, expansion)

    @property
    def nodes(self) -> int:
        """Number of nodes, input and output included."""
        return len(self.mix) + 1

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges with an operation other than `none`."""
        pairs = zip(edge_slots(self.nodes), self.operations, strict=True)
        return tuple(Edge(*slot, name) for slot, name in pairs if name != "none")

    @property
    def live_nodes(self) -> frozenset[int]:
        """Nodes on a path from input to output; empty if there is no path."""
        return on_paths(self.nodes, self.edges)

    @property
    def is_zero(self) -> bool:
        """Whether no path joins input and output, so that the cell computes zero."""
        return not self.live_nodes

    def in_group(self, group: int) -> "Cell":
        """The cell itself: its group is that of all."""
        return self

    def pruned(self) -> "Cell":
        """The same function without dead edges; dead nodes mix by `sum`, a zero cell has e = 1."""
        live = self.live_nodes
        pairs = zip(edge_slots(self.nodes), self.operations, strict=True)
        operations = tuple(
            name if source in live and target in live else "none"
            for (source, target), name in pairs
        )
        mix = tuple(name if node in live else "sum" for node, name in enumerate(self.mix, 1))
        return Cell(operations, mix, self.expansion if live else 1)


def mbconv(kernel: int, expansion: int, *, se: bool = False, nodes: int = 4) -> Cell:
    """The inverted bottleneck of MobileNetV2 as a cell, with squeeze-and-excitation if asked."""
    last = nodes - 1
    mix = ("sum",) * (nodes - 2) + ("se" if se else "sum",)
    edges = [(0, last, f"dw_conv_{kernel}x{kernel}")]
    return Cell.from_edges(edges, nodes=nodes, mix=mix, expansion=expansion)


def _check_operation(path: str, name: object) -> None:
    if not isinstance(name, str) or name not in OPERATIONS:
        raise SpaceError(path, unknown_operation(name))


@dataclass(frozen=True, slots=True)
class LayerShape:
    """The shape that a cell must fit: channels, stride, and the side of the input in pixels.

    Attributes:
        around: whether the skeleton adds an identity around cells that keep the shape.
        tied: the layers that share one cell, input side first; empty if this is one layer. The
            other attributes are those of the first.
        edge: source and target of the one edge that is chosen here, if whole cells are not.
        nodes: of the cell that this edge is in; 0 where whole cells are chosen.
        before: channels and side of what the layer before the previous one gives, if cells have
            two inputs.
        width: channels that the skeleton brings both inputs to, and that nodes have.
        concat: nodes that the output of a cell with two inputs is the concatenation of.
        node: the one node that is chosen here, if whole cells with two inputs are not.
        activation: of the cells here, if the layer is in a stage of Once-for-All; else empty.
        attention: whether these cells have squeeze-and-excitation.
        skippable: whether the layer may be skipped, if all later ones of its stage are.
        binary_groups: with two inputs, at most so many groups of the binary convolutions of cells
            here; 0 where cells are real.
        only: the one family whose cells stand here; empty if that depends on the other attributes.
    """

    only: ClassVar[str] = ""
    name: str
    in_channels: int
    out_channels: int
    stride: int
    resolution: int
    around: bool = True
    tied: tuple["LayerShape", ...] = ()
    edge: tuple[int, int] | None = None
    nodes: int = 0
    before: tuple[int, int] | None = None
    width: int = 0
    concat: int = 0
    node: int | None = None
    activation: str = ""
    attention: bool = False
    skippable: bool = False
    binary_groups: int = 0

    @property
    def layers(self) -> tuple["LayerShape", ...]:
        """The layers that have the cell: those that share it, or this one alone."""
        return self.tied or (self,)

    @property
    def staged(self) -> bool:
        """Whether the layer is in a stage, of which only the last layers are skipped."""
        return bool(self.activation)

    @property
    def plain(self) -> bool:
        """Whether this is one layer of a skeleton that adds identities around cells."""
        own = self.tied or self.activation
        return self.around and not own and self.edge is None and self.before is None

    @property
    def paired_kind(self) -> str:
        """The family of the cells with two inputs that fit here."""
        return "bats" if self.binary_groups else "darts"

    @property
    def received(self) -> int:
        """How many numbers the layer receives of one example."""
        return self.in_channels * self.resolution**2

    @property
    def out_resolution(self) -> int:
        """Side of the output in pixels."""
        return -(-self.resolution // self.stride)

    @property
    def shortcut(self) -> bool:
        """Whether the skeleton adds an identity around the cell."""
        return self.around and self.stride == 1 and self.in_channels == self.out_channels


C = TypeVar("C")


class ChosenWhole(Generic[C]):
    """What families have in common whose cells a layer takes as a whole."""

    kind: str

    def at(self, cell: C, shape: LayerShape) -> C:
        """The cell itself."""
        return cell

    def joined(self, cells: Sequence[C], shape: LayerShape) -> C:
        """Refuses: the edges of these cells are not chosen one by one.

        Raises:
            SpaceError: always.
        """
        raise SpaceError("kind", f"{shown(self.kind)} has no edges to join; allowed: dense, darts")
