"""The family `darts`: cells with two inputs whose nodes choose what they read."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field

from autospace.spaces.cells.cell import MAX_NODES, Edge, LayerShape
from autospace.spaces.cells.cost import total
from autospace.spaces.cells.darts_cell import (
    EDGES,
    INPUTS,
    NODES,
    OPERATIONS,
    USUAL,
    DartsCell,
    darts_differences,
    darts_notation,
)
from autospace.spaces.cells.key import Step, blocks_key
from autospace.spaces.cells.operations import Cost
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError, offered, shown

SKIPPED: Final = DartsCell.of([("none", 0), ("none", 1)] * NODES)
MAX_DRAWS: Final = 1000
_LAST: Final = INPUTS + MAX_NODES - 1
_Operation = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"enum": [*OPERATIONS]})
]


class DartsEdgeDocument(BaseModel):
    """The operation on the way from an input or node to a later node."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: Annotated[int, Field(ge=0, le=_LAST - 1, description="0, 1: the inputs; else a node")]
    target: Annotated[int, Field(ge=INPUTS, le=_LAST, description="a later node")]
    operation: _Operation


class DartsDocument(BaseModel):
    """A cell, or one node of it: node 0 is what the layer before the previous one gives."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    nodes: Annotated[
        int, Field(ge=1, le=MAX_NODES, description="without the two inputs, numbered from 2")
    ] = NODES
    edges: Annotated[
        list[DartsEdgeDocument],
        Field(
            min_length=EDGES,
            max_length=EDGES * MAX_NODES,
            description="two per node, node after node; of one node where nodes are chosen",
        ),
        FailFast(),
    ]
    concat: Annotated[
        list[Annotated[int, Field(ge=INPUTS, le=_LAST)]],
        Field(min_length=1, max_length=MAX_NODES, description="the nodes that the output holds"),
        FailFast(),
    ]


@dataclass(frozen=True, slots=True)
class DartsPrior:
    """Every pair of sources and every pair of operations of a node has the same probability.

    Attributes:
        operations: what edges may have.
        nodes: of a cell, without the inputs; all of them are concatenated.
    """

    kind: ClassVar[str] = DartsCell.kind
    operations: tuple[str, ...]
    nodes: int = NODES

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The operations that cells may be made of."""
        return self.operations


class Darts:
    """The family as `autospace.spaces.cells.family.Family` describes it.

    Attributes:
        cells: what makes a cell; families with other operations have another one.
    """

    cells: type[DartsCell] = DartsCell
    kind: str = DartsCell.kind
    binary: bool = False
    operations: Collection[str] = OPERATIONS
    built_in: Sequence[str] = tuple(OPERATIONS)
    usual: Sequence[str] = USUAL
    skipped = SKIPPED
    legend: str = (
        "~: what an edge reads; k-2, 0 and k-1, 1: what the last two layers give; node: an earlier "
        "node; cat: concatenation; /2: stride 2"
    )
    document: type[BaseModel] = DartsDocument
    notation = staticmethod(darts_notation)
    differences = staticmethod(darts_differences)

    def least(self, shape: LayerShape) -> DartsCell:
        """No operation, so that every node is zero."""
        blank = self.cells.of([("none", 0), ("none", 1)] * shape.concat)
        return self.at(blank, shape)

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not among `operations`."""
        if name not in self.operations:
            known = offered(name, self.operations)
            raise SpaceError("", f"unknown operation {shown(name)}; {known}")

    def check(self, cell: DartsCell, shape: LayerShape) -> None:
        """Raises `SpaceError` for a layer of one input, a wrong node or a wrong width."""
        if shape.before is None:
            problem = f"{shown(cell.kind)} at {shape.name}, whose cells have one input"
            raise SpaceError("kind", f"{problem}; allowed: skeletons with chain 2")
        if shape.paired_kind != self.kind:
            problem = f"{shown(cell.kind)} at {shape.name}"
            raise SpaceError("kind", f"{problem}; allowed here: {shape.paired_kind}")
        if len(cell.concat) != shape.concat:
            problem = f"{len(cell.concat)} nodes; allowed at {shape.name}: {shape.concat}"
            raise SpaceError("concat", f"{problem}, as in the skeleton")
        found = [edge.target for edge in cell.chosen]
        if shape.node is not None and found != [shape.node] * EDGES:
            place = ", ".join(map(str, dict.fromkeys(found)))
            raise SpaceError("edges", f"into {place}; allowed here: into {shape.node} alone")
        if shape.node is not None and cell.nodes != shape.concat:
            raise SpaceError("nodes", f"{cell.nodes}; allowed here: {shape.concat}")
        if shape.node is None and not cell.is_whole:
            problem = f"{len(cell.chosen)} edges; allowed: {EDGES * cell.nodes}"
            raise SpaceError("edges", f"{problem}, all of {cell.nodes} nodes")

    def key(self, cell: DartsCell, shape: LayerShape) -> str:
        """The canonical key of a cell; of a node, its place and edges in any order."""
        return _key(cell, shape.stride) if shape.node is None else _node_key(cell)

    def canonical(self, cell: DartsCell) -> DartsCell:
        """The cell with the edges of each node in order of source, then of operation."""
        edges = sorted(cell.chosen, key=lambda edge: (edge.target, edge.source, edge.operation))
        return self.cells(cell.nodes, tuple(edges), tuple(sorted(cell.concat)))

    def cost(self, cell: DartsCell, shape: LayerShape) -> Cost:
        """The sum over its edges, used or not, in all layers that have the cell.

        What brings the two inputs to the layer's width belongs to the skeleton.
        """
        return total(self.edge_cost(edge, layer) for layer in shape.layers for edge in cell.chosen)

    def used(self, cell: DartsCell) -> Sequence[str]:
        """The operations on edges into nodes that the output depends on, or into the one chosen."""
        return [edge.operation for edge in cell.pruned().edges]

    def edge_cost(self, edge: Edge, layer: LayerShape) -> Cost:
        """MAdds and params of an edge in one layer; a stride is on the edges from the inputs."""
        stride, side = stride_and_side(edge, layer)
        return OPERATIONS[edge.operation].cost(layer.width, stride, side)

    def prior(self, operations: Iterable[str], like: Iterable[DartsCell] = ()) -> DartsPrior:
        """Uniform over the operations, with as many nodes as the largest of some cells has."""
        names = dict.fromkeys(each for each in operations if each != "none")
        return DartsPrior(tuple(names), max((cell.nodes for cell in like), default=NODES))

    def random_cell(self, prior: DartsPrior, rng: random.Random) -> DartsCell:
        """A whole cell: two different sources per node, and an operation for each."""
        pairs = [
            (rng.choice(prior.operations), source)
            for node in range(INPUTS, INPUTS + prior.nodes)
            for source in sorted(rng.sample(range(node), EDGES))
        ]
        return self.cells.of(pairs)

    def mutate(self, cell: DartsCell, prior: DartsPrior, rng: random.Random) -> DartsCell:
        """The cell with another operation or another source of one of its edges."""
        for _ in range(MAX_DRAWS):
            edge = rng.choice(cell.chosen)
            (kept,) = _others(cell.into(edge.target), edge)
            if rng.random() < 0.5:
                new = edge._replace(operation=rng.choice(prior.operations))
            else:
                sources = [each for each in range(edge.target) if each != kept.source]
                new = edge._replace(source=rng.choice(sources))
            child = cell.with_edges(sorted((kept, new)))
            if self.canonical(child) != self.canonical(cell) and not child.is_zero:
                return child
        raise RuntimeError(f"no other cell in {MAX_DRAWS} mutations of {cell}")

    def crossover(self, first: DartsCell, second: DartsCell, rng: random.Random) -> DartsCell:
        """Each node from one parent or the other; of single nodes, each edge.

        Edges of one node have different sources: where they would not, they are the first's.
        """
        if first.nodes != second.nodes:
            return first
        if first.is_whole and second.is_whole:
            nodes = dict.fromkeys(edge.target for edge in first.chosen)
            chosen = (rng.choice((first, second)).into(node) for node in nodes)
            return first.with_edges([edge for edges in chosen for edge in edges])
        pairs = zip(first.chosen, second.chosen, strict=True)
        mixed = sorted(rng.choice(pair) for pair in pairs)
        distinct = len({edge.source for edge in mixed}) == len(mixed)
        child = first.with_edges(mixed)
        return child if distinct and not child.is_zero else first

    def at(self, cell: DartsCell, shape: LayerShape) -> DartsCell:
        """The cell itself, or where one node is chosen, what it has into that node.

        Raises:
            SpaceError: it has no such node.
        """
        if shape.node is None:
            return cell
        edges = cell.into(shape.node)
        if len(edges) != EDGES or cell.nodes != shape.concat:
            problem = f"{len(edges)} edges into {shape.node}, {cell.nodes} nodes"
            allowed = f"{EDGES} edges, {shape.concat} nodes"
            raise SpaceError("edges", f"{problem}; allowed at {shape.name}: {allowed}")
        return self.cells.on(edges, cell.nodes)

    def joined(self, cells: Sequence[DartsCell], shape: LayerShape) -> DartsCell:
        """The cell with the nodes of all of these; where several have one, that of the last."""
        edges = {edge.target: cell.into(edge.target) for cell in cells for edge in cell.chosen}
        ordered = tuple(edge for node in sorted(edges) for edge in edges[node])
        return self.cells(cells[0].nodes, ordered, cells[0].concat)

    def encoded(self, cell: DartsCell) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {
            "nodes": cell.nodes,
            "edges": [edge._asdict() for edge in cell.chosen],
            "concat": list(cell.concat),
        }

    def decoded(self, document: Any) -> DartsCell:
        """The cell that a document describes; edges of different nodes may be in any order."""
        edges = [Edge(each.source, each.target, each.operation) for each in document.edges]
        ordered = sorted(edges, key=lambda edge: edge.target)
        return self.cells(document.nodes, tuple(ordered), tuple(document.concat))


def stride_and_side(edge: Edge, layer: LayerShape) -> tuple[int, int]:
    """The stride of an edge in a layer, and the side of what it reads, in pixels."""
    if edge.source < INPUTS:
        return layer.stride, layer.resolution
    return 1, layer.out_resolution


def _others(edges: tuple[Edge, ...], edge: Edge) -> tuple[Edge, ...]:
    """The edges without one of them, which may be there twice."""
    place = edges.index(edge)
    return edges[:place] + edges[place + 1 :]


def _node_key(cell: DartsCell) -> str:
    parts = sorted(f"{edge.operation}~{edge.source}" for edge in cell.edges)
    return f"{cell.nodes}.{cell.chosen[0].target}: {' '.join(parts) or 'zero'}"


@lru_cache(maxsize=65536)
def _key(cell: DartsCell, stride: int) -> str:
    pruned = cell.pruned()
    if pruned.is_zero:
        return "zero"
    nodes = [
        [_step(cell, edge, stride) for edge in pruned.into(node) if edge.operation != "none"]
        for node in range(INPUTS, INPUTS + cell.nodes)
    ]
    return f"{cell.kind} {blocks_key(INPUTS, nodes, pruned.concat)}"


def _step(cell: DartsCell, edge: Edge, stride: int) -> Step:
    operation = cell.vocabulary[edge.operation]
    own = stride if edge.source < INPUTS else 1
    kind = "own" if operation.weighted(own) else operation.kind
    return Step(edge.source, f"{edge.operation}/2" if own == 2 else edge.operation, kind)
