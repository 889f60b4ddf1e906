"""The family `bats`: the cells of DARTS, with two inputs, of binary operations.

They are the cells of BATS (Bulat et al., ECCV 2020), whose convolutions are grouped, and of BNAS
(Chen et al., AAAI 2020) and CP-NAS (Zhuo et al., IJCAI 2020), whose convolutions are separable. The
graph is that of `autospace.spaces.cells.darts_cell`; the grouped operations are those of
`autospace.spaces.cells.binary`. The skeleton brings both inputs to the width of a layer with binary
1x1 convolutions. At stride 2 a skip has the weights of one: two halves read alternate pixels.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, FailFast, Field

from autospace.spaces.cells.binary import BINARY_OPERATIONS, reduction_cost
from autospace.spaces.cells.cell import MAX_NODES, Edge, LayerShape
from autospace.spaces.cells.darts import (
    Darts,
    DartsDocument,
    DartsEdgeDocument,
    DartsPrior,
    stride_and_side,
)
from autospace.spaces.cells.darts_cell import EDGES, NODES, DartsCell, PairedOperation
from autospace.spaces.cells.operations import SIGNS, Cost, Operation
from autospace.spaces.checks import MAX_NAME


@dataclass(frozen=True, slots=True)
class BatsOperation(Operation):
    """A binary operation of an edge; at stride 2 a skip is a binary 1x1 convolution."""

    def weighted(self, stride: int) -> bool:
        """Whether the operation has weights."""
        return self.kind in SIGNS or (self.kind == "skip" and stride == 2)

    def strided_cost(self, channels: int, stride: int, side: int) -> Cost:
        """Params and binary operations for an input of this side."""
        if self.kind == "skip" and stride == 2:
            return reduction_cost(channels, channels, side)
        return self.cost(channels, (-(-side // stride)) ** 2)


def _paired(operation: Operation) -> BatsOperation:
    kind, symbol = operation.kind, operation.symbol
    return BatsOperation(operation.name, kind, symbol, operation.kernel, operation.dilation)


def _separable(name: str, symbol: str, kernel: int, dilation: int = 1) -> BatsOperation:
    return BatsOperation(name, "binary_separable", symbol, kernel, dilation)


BATS_OPERATIONS: Final[Mapping[str, BatsOperation]] = {
    each.name: each
    for each in (
        *map(_paired, BINARY_OPERATIONS.values()),
        _separable("bin_sep_conv_3x3", "bsep3", 3),
        _separable("bin_sep_conv_5x5", "bsep5", 5),
        _separable("bin_dil_conv_3x3", "bdil3", 3, 2),
        _separable("bin_dil_conv_5x5", "bdil5", 5, 2),
    )
}
_PLAIN: Final = ("max_pool_3x3", "avg_pool_3x3", "skip_connect")
GROUPED: Final[Mapping[str, str]] = {
    **{name: name for name in ("none", *_PLAIN)},
    "sep_conv_3x3": "bin_conv_3x3",
    "sep_conv_5x5": "bin_conv_5x5",
    "dil_conv_3x3": "bin_conv_3x3_d2",
    "dil_conv_5x5": "bin_conv_5x5_d2",
    "sep_conv_7x7": "bin_conv_7x7",
}
"""What BATS puts in the place of the operations of DARTS, whose names it keeps."""
SEPARABLE: Final[Mapping[str, str]] = {
    **{name: name for name in ("none", *_PLAIN)},
    "sep_conv_3x3": "bin_sep_conv_3x3",
    "sep_conv_5x5": "bin_sep_conv_5x5",
    "dil_conv_3x3": "bin_dil_conv_3x3",
    "dil_conv_5x5": "bin_dil_conv_5x5",
}
"""What CP-NAS puts there."""
BATS_USUAL: Final = tuple(GROUPED.values())[1:8]
BNAS_USUAL: Final = tuple(SEPARABLE.values())[1:8]
_Operation = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"enum": [*BATS_OPERATIONS]})
]


@dataclass(frozen=True, slots=True)
class BatsCell(DartsCell):
    """Two edges into each of its nodes, and the nodes that it concatenates, as in `DartsCell`."""

    kind: ClassVar[str] = "bats"
    vocabulary: ClassVar[Mapping[str, PairedOperation]] = BATS_OPERATIONS


class BatsEdgeDocument(DartsEdgeDocument):
    """The operation on the way from an input or node to a later node."""

    operation: _Operation


class BatsDocument(DartsDocument):
    """A cell, or one node of it: node 0 is what the layer before the previous one gives."""

    edges: Annotated[  # type: ignore[assignment]
        list[BatsEdgeDocument],
        Field(
            min_length=EDGES,
            max_length=EDGES * MAX_NODES,
            description="two per node, node after node; of one node where nodes are chosen",
        ),
        FailFast(),
    ]


@dataclass(frozen=True, slots=True)
class BatsPrior(DartsPrior):
    """Every pair of sources and every pair of operations of a node has the same probability."""

    kind: ClassVar[str] = BatsCell.kind


# There are few operations and widths, and thousands of cells in a built-in space.
@lru_cache(maxsize=4096)
def _edge_cost(operation: str, groups: int, channels: int, stride: int, side: int) -> Cost:
    grouped = replace(BATS_OPERATIONS[operation], groups=groups)
    return grouped.strided_cost(channels, stride, side)


class Bats(Darts):
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    cells: type[DartsCell] = BatsCell
    kind: str = BatsCell.kind
    binary: bool = True
    operations: Collection[str] = BATS_OPERATIONS
    built_in: Sequence[str] = tuple(BATS_OPERATIONS)
    usual: Sequence[str] = BATS_USUAL
    skipped = BatsCell.of([("none", 0), ("none", 1)] * NODES)
    document: type[BaseModel] = BatsDocument

    def edge_cost(self, edge: Edge, layer: LayerShape) -> Cost:
        """Params and binary operations of an edge in one layer."""
        stride, side = stride_and_side(edge, layer)
        return _edge_cost(edge.operation, layer.binary_groups, layer.width, stride, side)

    def prior(self, operations: Iterable[str], like: Iterable[DartsCell] = ()) -> BatsPrior:
        """Uniform over the operations, with as many nodes as the largest of some cells has."""
        found = super().prior(operations, like)
        return BatsPrior(found.operations, found.nodes)
