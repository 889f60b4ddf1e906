"""The family `mobile`: inverted bottlenecks with a graph of depthwise operations inside.

The block is that of Sandler et al., "MobileNetV2", CVPR 2018; the acyclic graph of Zhou et al.,
"AutoSpace", ICCV 2021, replaces its one depthwise convolution.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from autospace.spaces.cells.cell import (
    EXPANSIONS,
    MAX_EXPANSION,
    MAX_NODES,
    MIN_NODES,
    MIXES,
    Cell,
    ChosenWhole,
    LayerShape,
)
from autospace.spaces.cells.cost import graph_cost
from autospace.spaces.cells.key import canonical, canonical_key
from autospace.spaces.cells.notation import graph_differences, graph_notation
from autospace.spaces.cells.operations import (
    BUILT_IN,
    DEFAULT_OPERATIONS,
    OPERATIONS,
    unknown_operation,
)
from autospace.spaces.cells.variation import NODES, CellPrior, crossover, mutate, random_cell
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError, shown

SKIPPED: Final = Cell.from_edges([], expansion=1)
"""The cell that computes zero: at a layer with a shortcut, the layer is skipped."""
UNEXPANDED: Final = Cell.from_edges([(0, 3, "skip_connect")], expansion=1)
"""The cell that only projects its input; at stride 2 after average pooling."""
MAX_EDGES: Final = MAX_NODES * (MAX_NODES - 1) // 2
_Operation = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"enum": list(BUILT_IN)}),
]


class EdgeDocument(BaseModel):
    """An operation on the way from one node of a cell to a later one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: Annotated[
        int, Field(ge=0, le=MAX_NODES - 1, description="index of the node it comes from")
    ]
    target: Annotated[
        int,
        Field(ge=1, le=MAX_NODES - 1, description="index of the node it goes to, a later one"),
    ]
    operation: _Operation


class CellDocument(BaseModel):
    """A cell: node 0 is the input after expansion, the last node the output before projection."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    nodes: Annotated[
        int, Field(ge=MIN_NODES, le=MAX_NODES, description="input and output included")
    ] = 4
    edges: Annotated[list[EdgeDocument], Field(max_length=MAX_EDGES), FailFast()]
    mix: Annotated[
        list[Literal["sum", "gate", "se"]],
        Field(
            min_length=MIN_NODES - 1,
            max_length=MAX_NODES - 1,
            description="per node 1, 2, ...: how edges combine",
        ),
        FailFast(),
    ]
    expansion: Annotated[
        int,
        Field(
            description="inner over input channels",
            json_schema_extra={"minimum": 1, "maximum": MAX_EXPANSION},
        ),
    ]


def cell_out(cell: Cell) -> dict[str, Any]:
    """A cell as plain JSON values."""
    return {
        "nodes": cell.nodes,
        "edges": [edge._asdict() for edge in cell.edges],
        "mix": list(cell.mix),
        "expansion": cell.expansion,
    }


def cell_from(document: CellDocument) -> Cell:
    """The cell that a document describes."""
    return Cell.from_edges(
        ((edge.source, edge.target, edge.operation) for edge in document.edges),
        nodes=document.nodes,
        mix=tuple(document.mix),
        expansion=document.expansion,
    )


class Mobile(ChosenWhole[Cell]):
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    kind: str = Cell.kind
    binary: bool = False
    operations: Collection[str] = OPERATIONS
    built_in: Sequence[str] = BUILT_IN
    usual: Sequence[str] = DEFAULT_OPERATIONS
    skipped = SKIPPED
    legend: str = "e: expansion ratio; gate, se: how a node combines its edges; /2: stride 2"
    document: type[BaseModel] = CellDocument
    canonical = staticmethod(canonical)
    cost = staticmethod(graph_cost)
    random_cell = staticmethod(random_cell)
    mutate = staticmethod(mutate)
    crossover = staticmethod(crossover)
    notation = staticmethod(graph_notation)
    differences = staticmethod(graph_differences)
    encoded = staticmethod(cell_out)
    decoded = staticmethod(cell_from)

    def least(self, shape: LayerShape) -> Cell:
        """`skipped` at a layer with a shortcut; elsewhere no more than the projection."""
        return self.skipped if shape.shortcut else UNEXPANDED

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that this process does not know."""
        if name not in OPERATIONS:
            raise SpaceError("", unknown_operation(name))

    def check(self, cell: Cell, shape: LayerShape) -> None:
        """Raises `SpaceError` for a cell without a path at a layer without a shortcut.

        Also for layers that share a cell, edges, and skeletons without identities around cells.
        """
        if not shape.plain:
            fitting = "dense" if shape.before is None else shape.paired_kind
            fitting = "ofa" if shape.activation else fitting
            raise SpaceError("kind", f"{shown(cell.kind)} at {shape.name}; allowed here: {fitting}")
        if not shape.shortcut and cell.is_zero:
            problem = "no path from input to output; allowed: only where the layer has a shortcut"
            raise SpaceError("edges", problem)

    def used(self, cell: Cell) -> Sequence[str]:
        """The operations on the live edges."""
        return [edge.operation for edge in cell.pruned().edges]

    def key(self, cell: Cell, shape: LayerShape) -> str:
        """The canonical key; of the shape, only the stride matters."""
        return canonical_key(cell, shape.stride)

    def prior(self, operations: Iterable[str], like: Iterable[Cell] = ()) -> CellPrior:
        """Uniform over the operations, with as many nodes as the largest of some cells has.

        The expansions of these cells join the usual ones, so that they can come back. Nodes mix as
        those of these cells do, or by their sum.
        """
        cells = tuple(like)
        met = {mix for cell in cells for mix in cell.pruned().mix} if cells else {*MIXES}
        return CellPrior(
            tuple(each for each in operations if each != "none"),
            max((cell.nodes for cell in cells), default=NODES),
            expansions=tuple(sorted({*EXPANSIONS, *(cell.expansion for cell in cells)})),
            mixes=tuple(mix for mix in MIXES if mix in met | {"sum"}),
        )
