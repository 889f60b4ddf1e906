"""The family `dense`: cells of ordinary convolutions, without anything around their graph."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Annotated, Any, ClassVar, Final, TypeVar

from pydantic import BaseModel, ConfigDict, FailFast, Field

from autospace.spaces.cells.cell import (
    MAX_NODES,
    MIN_NODES,
    ChosenWhole,
    Edge,
    LayerShape,
    edge_slots,
)
from autospace.spaces.cells.cost import total
from autospace.spaces.cells.dense_cell import (
    NODES,
    OPERATIONS,
    DenseCell,
    WholeCell,
    dense_differences,
    dense_notation,
    dense_used,
)
from autospace.spaces.cells.key import graph_key
from autospace.spaces.cells.operations import Cost
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError, offered, shown

SKIPPED: Final = DenseCell.of(["none"] * 6)
MAX_DRAWS: Final = 1000
_Operation = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"enum": [*OPERATIONS]})
]


class DenseEdgeDocument(BaseModel):
    """The operation on the way from one node of a cell to a later one; it may be `none`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: Annotated[int, Field(ge=0, le=MAX_NODES - 2, description="index of a node")]
    target: Annotated[int, Field(ge=1, le=MAX_NODES - 1, description="index of a later node")]
    operation: _Operation


class DenseDocument(BaseModel):
    """A cell, or one edge of it: node 0 is the input, the last node the output."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    nodes: Annotated[
        int, Field(ge=MIN_NODES, le=MAX_NODES, description="input and output included")
    ] = NODES
    edges: Annotated[
        list[DenseEdgeDocument],
        Field(
            min_length=1,
            max_length=MAX_NODES * (MAX_NODES - 1) // 2,
            description="every edge of a cell, or just one where edges are chosen one by one",
        ),
        FailFast(),
    ]


@dataclass(frozen=True, slots=True)
class DensePrior:
    """Every edge has each of the operations with the same probability.

    Attributes:
        operations: what edges may have, `none` included.
        nodes: of a cell, input and output included.
    """

    kind: ClassVar[str] = DenseCell.kind
    operations: tuple[str, ...]
    nodes: int = NODES

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The operations that cells may be made of, `none` included."""
        return self.operations


class Dense:
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    kind: str = DenseCell.kind
    binary: bool = False
    operations: Collection[str] = OPERATIONS
    built_in: Sequence[str] = tuple(OPERATIONS)
    usual: Sequence[str] = tuple(OPERATIONS)
    skipped = SKIPPED
    legend: str = ""
    document: type[BaseModel] = DenseDocument
    notation = staticmethod(dense_notation)
    differences = staticmethod(dense_differences)
    used = staticmethod(dense_used)

    def least(self, shape: LayerShape) -> DenseCell:
        """No operation, at any layer: its output is then zero, or its shortcut alone."""
        if shape.edge is None:
            return self.skipped
        return DenseCell.on(Edge(*shape.edge, "none"), shape.nodes)

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not among `operations`."""
        if name not in OPERATIONS:
            raise SpaceError("", f"unknown operation {shown(name)}; {offered(name, OPERATIONS)}")

    def check(self, cell: DenseCell, shape: LayerShape) -> None:
        """Raises `SpaceError` for a cell at a layer that changes the shape, or a wrong edge."""
        if shape.before is not None:
            raise SpaceError("kind", f'"dense" at {shape.name}; allowed here: darts')
        if shape.activation:
            raise SpaceError("kind", f'"dense" at {shape.name}; allowed here: ofa')
        for layer in shape.layers:
            if layer.stride != 1 or layer.in_channels != layer.out_channels:
                change = f"{layer.in_channels} to {layer.out_channels} channels at stride"
                problem = f'"dense" at {layer.name}, {change} {layer.stride}'
                raise SpaceError("kind", f"{problem}; allowed: at layers that keep the shape")
        if shape.edge is None and not cell.is_whole:
            slots = cell.nodes * (cell.nodes - 1) // 2
            problem = f"{len(cell.chosen)} edges; allowed: {slots}, all of {cell.nodes} nodes"
            raise SpaceError("edges", problem)
        if shape.edge is not None and [edge[:2] for edge in cell.chosen] != [shape.edge]:
            source, target = shape.edge
            found = ", ".join(f"{edge.source} -> {edge.target}" for edge in cell.chosen)
            raise SpaceError("edges", f"{found}; allowed here: {source} -> {target} alone")
        if shape.nodes not in (0, cell.nodes):
            raise SpaceError("nodes", f"{cell.nodes}; allowed here: {shape.nodes}")

    def key(self, cell: DenseCell, shape: LayerShape) -> str:
        """The canonical key of a cell; of an edge, its place and operation."""
        return _key(cell)

    def canonical(self, cell: DenseCell) -> DenseCell:
        """The cell itself: edges that nothing uses have their cost, and stay."""
        return cell

    def cost(self, cell: DenseCell, shape: LayerShape) -> Cost:
        """The sum over its edges, used or not, in all layers that have the cell."""
        operations = [OPERATIONS[name] for name in cell.operations]
        return total(
            operation.cost(layer.in_channels, layer.out_resolution**2)
            for layer in shape.layers
            for operation in operations
        )

    def prior(self, operations: Iterable[str], like: Iterable[DenseCell] = ()) -> DensePrior:
        """Uniform over the operations and `none`, with as many nodes as the largest cell has.

        If the cells are single edges, so are those of the prior: graphs of two nodes.
        """
        names, cells = dict.fromkeys(("none", *operations)), tuple(like)
        whole = [cell.nodes for cell in cells if cell.is_whole]
        usual = MIN_NODES if cells else NODES
        return DensePrior(tuple(names), max(whole, default=usual))

    def random_cell(self, prior: DensePrior, rng: random.Random) -> DenseCell:
        """An operation per edge, drawn uniformly; of several edges, not all are `none`."""
        slots = prior.nodes * (prior.nodes - 1) // 2
        for _ in range(MAX_DRAWS):
            cell = DenseCell.of([rng.choice(prior.operations) for _ in range(slots)])
            if cell.edges or slots == 1:
                return cell
        raise RuntimeError(f"no cell with an operation in {MAX_DRAWS} draws")

    def mutate(self, cell: DenseCell, prior: DensePrior, rng: random.Random) -> DenseCell:
        """The cell with another operation on one of its edges; not all are `none`."""
        for _ in range(MAX_DRAWS):
            edge = rng.choice(cell.chosen)
            child = cell.with_edges([edge._replace(operation=rng.choice(prior.operations))])
            if child != cell and (child.edges or not cell.is_whole):
                return child
        raise RuntimeError(f"no other cell in {MAX_DRAWS} mutations of {cell}")

    def crossover(self, first: DenseCell, second: DenseCell, rng: random.Random) -> DenseCell:
        """Each edge from one parent or the other; the first parent if all would be `none`."""
        pairs = zip(first.chosen, second.chosen, strict=True)
        child = first.with_edges([rng.choice(pair) for pair in pairs])
        return child if child.edges else first

    def at(self, cell: DenseCell, shape: LayerShape) -> DenseCell:
        """The cell itself, or where one edge is chosen, its one operation on that edge.

        Raises:
            SpaceError: it has several operations, but one edge is chosen.
        """
        if shape.edge is None:
            return cell
        if len(cell.chosen) != 1:
            raise SpaceError("edges", f"{len(cell.chosen)} edges; allowed at {shape.name}: 1")
        return DenseCell.on(Edge(*shape.edge, cell.operations[0]), shape.nodes)

    def joined(self, cells: Sequence[DenseCell], shape: LayerShape) -> DenseCell:
        """The cell with the edges of all of these; where several have one, that of the last."""
        return cells[0].with_edges(edge for cell in cells[1:] for edge in cell.chosen)

    def encoded(self, cell: DenseCell) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {"nodes": cell.nodes, "edges": [edge._asdict() for edge in cell.chosen]}

    def decoded(self, document: Any) -> DenseCell:
        """The cell that a document describes, its edges in any order."""
        slots = {slot: place for place, slot in enumerate(edge_slots(document.nodes))}
        edges = [Edge(each.source, each.target, each.operation) for each in document.edges]
        ordered = sorted(edges, key=lambda edge: slots.get(edge[:2], len(slots)))
        return DenseCell(document.nodes, tuple(ordered))


W = TypeVar("W", bound=WholeCell)


class WholeGraphs(ChosenWhole[W]):
    """What families of whole cells have in common, as far as `Family` asks for it.

    Attributes:
        cells: the class of the cells.
    """

    cells: type[W]

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not in the vocabulary."""
        if name not in self.cells.vocabulary:
            known = offered(name, self.cells.vocabulary)
            raise SpaceError("", f"unknown operation {shown(name)}; {known}")

    def check_place(self, cell: W, shape: LayerShape) -> None:
        """Raises `SpaceError` at layers that share cells, have two inputs or are in a stage."""
        if shape.tied or shape.edge is not None or shape.before is not None or shape.activation:
            fitting = "dense" if shape.before is None else shape.paired_kind
            fitting = "ofa" if shape.activation else fitting
            raise SpaceError("kind", f"{shown(cell.kind)} at {shape.name}; allowed here: {fitting}")

    def canonical(self, cell: W) -> W:
        """The pruned cell with its inner nodes in the one order that sorts first."""
        last = cell.nodes - 1
        orders = permutations(range(1, last))
        renumbered = (cell.renumbered((0, *order, last)) for order in orders)
        return min(
            (each for each in renumbered if each is not None), key=lambda each: each.operations
        )

    def notation(self, cell: W) -> str:
        """The graph on one line: `0>1 conv3 | 0>3 id, 1>3 conv5`, a part per node; or `zero`."""
        parts = [
            ", ".join(
                f"{edge.source}>{target} {cell.vocabulary[edge.operation].symbol}"
                for edge in cell.edges
                if edge.target == target
            )
            for target in range(1, cell.nodes)
        ]
        return " | ".join(part for part in parts if part) or "zero"

    def used(self, cell: W) -> list[str]:
        """The operations on the live edges."""
        return dense_used(cell)

    def encoded(self, cell: W) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {"nodes": cell.nodes, "edges": [edge._asdict() for edge in cell.edges]}

    def decoded(self, document: Any) -> W:
        """The cell that a document describes, its edges in any order.

        Raises:
            SpaceError: an edge is given twice, or outside of the graph.
        """
        edges = [(edge.source, edge.target, edge.operation) for edge in document.edges]
        return self.cells.from_edges(edges, document.nodes)


@lru_cache(maxsize=65536)
def _key(cell: DenseCell) -> str:
    if not cell.is_whole:
        return f"{cell.nodes}: {dense_notation(cell)}"
    pruned = cell.pruned()
    return "zero" if pruned.is_zero else f"dense {graph_key(pruned, OPERATIONS)}"
