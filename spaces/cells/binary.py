"""The family `binary`: grouped convolutions of signs, after BATS (Bulat et al., ECCV 2020).

A cell begins with a binary 1x1 convolution from its input channels to its output channels; the
graph that follows is as wide as its output. There is no expansion and no projection: a 1x1
convolution of signs carries little, and so does a depthwise one, whose sums have few values. Edges
into the last node have the layer's stride.

Other families can use the operations: `BINARY_OPERATIONS` here, their modules in
`autospace.networks.binary`.
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field

from autospace.spaces.cells.cell import MAX_NODES, MIN_NODES, LayerShape
from autospace.spaces.cells.cost import total
from autospace.spaces.cells.dense import DenseEdgeDocument, DensePrior, WholeGraphs
from autospace.spaces.cells.dense_cell import NODES, WholeCell, dense_differences
from autospace.spaces.cells.key import graph_key
from autospace.spaces.cells.operations import Cost, Operation
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError

BINARY_OPERATIONS: Final[Mapping[str, Operation]] = {
    "none": Operation("none", "none", "·"),
    "skip_connect": Operation("skip_connect", "skip", "id"),
    "bin_conv_3x3": Operation("bin_conv_3x3", "binary", "bin3", kernel=3),
    "bin_conv_5x5": Operation("bin_conv_5x5", "binary", "bin5", kernel=5),
    "bin_conv_7x7": Operation("bin_conv_7x7", "binary", "bin7", kernel=7),
    "bin_conv_3x3_d2": Operation("bin_conv_3x3_d2", "binary", "bin3d2", kernel=3, dilation=2),
    "bin_conv_5x5_d2": Operation("bin_conv_5x5_d2", "binary", "bin5d2", kernel=5, dilation=2),
    "avg_pool_3x3": Operation("avg_pool_3x3", "average_pool", "avg3", kernel=3),
    "max_pool_3x3": Operation("max_pool_3x3", "max_pool", "max3", kernel=3),
}
MAX_DRAWS: Final = 1000
_Operation = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"enum": [*BINARY_OPERATIONS]}),
]


class BinaryCell(WholeCell):
    """An operation on every edge of an acyclic graph whose nodes add up; always whole."""

    __slots__ = ()
    kind: ClassVar[str] = "binary"
    vocabulary: ClassVar[Mapping[str, Operation]] = BINARY_OPERATIONS


class BinaryEdgeDocument(DenseEdgeDocument):
    """The operation on the way from one node of a cell to a later one; it may be `none`."""

    operation: _Operation


class BinaryDocument(BaseModel):
    """A cell: node 0 is what the binary 1x1 convolution gives, the last node the output."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    nodes: Annotated[
        int, Field(ge=MIN_NODES, le=MAX_NODES, description="input and output included")
    ] = NODES
    edges: Annotated[
        list[BinaryEdgeDocument],
        Field(
            max_length=MAX_NODES * (MAX_NODES - 1) // 2,
            description="absent edges have `none`",
        ),
        FailFast(),
    ]


@dataclass(frozen=True, slots=True)
class BinaryPrior(DensePrior):
    """Every edge has each of the operations with the same probability, `none` included."""

    kind: ClassVar[str] = "binary"


SKIPPED: Final = BinaryCell.from_edges([])
UNEXPANDED: Final = BinaryCell.from_edges([(0, NODES - 1, "skip_connect")])


class Binary(WholeGraphs[BinaryCell]):
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    kind: str = BinaryCell.kind
    binary: bool = True
    operations: Collection[str] = BINARY_OPERATIONS
    built_in: Sequence[str] = tuple(BINARY_OPERATIONS)
    usual: Sequence[str] = tuple(BINARY_OPERATIONS)
    skipped = SKIPPED
    legend: str = "/2: stride 2"
    document: type[BaseModel] = BinaryDocument
    differences = staticmethod(dense_differences)
    cells = BinaryCell

    def least(self, shape: LayerShape) -> BinaryCell:
        """`skipped` at a layer with a shortcut; elsewhere the first 1x1 convolution alone."""
        return self.skipped if shape.shortcut else UNEXPANDED

    def check(self, cell: BinaryCell, shape: LayerShape) -> None:
        """Raises `SpaceError` at layers that share cells, or without a path or shortcut."""
        self.check_place(cell, shape)
        if not shape.around:
            raise SpaceError("kind", f'"binary" at {shape.name}; allowed here: dense')
        if not shape.shortcut and cell.is_zero:
            problem = "no path from input to output; allowed: only where the layer has a shortcut"
            raise SpaceError("edges", problem)

    def key(self, cell: BinaryCell, shape: LayerShape) -> str:
        """The canonical key; of the shape, only the stride matters."""
        return _key(cell, shape.stride)

    def cost(self, cell: BinaryCell, shape: LayerShape) -> Cost:
        """The first convolution and the operations on a path; all products are of signs."""
        pruned = cell.pruned()
        if pruned.is_zero:
            return Cost()
        width, last = shape.out_channels, pruned.nodes - 1
        inside = (
            BINARY_OPERATIONS[edge.operation].cost(
                width, (shape.out_resolution if edge.target == last else shape.resolution) ** 2
            )
            for edge in pruned.edges
        )
        return preprocessing_cost(shape.in_channels, width, shape.resolution**2).plus(total(inside))

    def prior(self, operations: Iterable[str], like: Iterable[BinaryCell] = ()) -> BinaryPrior:
        """Uniform over the operations and `none`, with as many nodes as the largest cell has."""
        nodes = max((cell.nodes for cell in like), default=NODES)
        return BinaryPrior(tuple(dict.fromkeys(("none", *operations))), nodes)

    def random_cell(self, prior: BinaryPrior, rng: random.Random) -> BinaryCell:
        """An operation per edge, drawn uniformly, with a path from input to output."""
        slots = prior.nodes * (prior.nodes - 1) // 2
        for _ in range(MAX_DRAWS):
            cell = BinaryCell.of([rng.choice(prior.operations) for _ in range(slots)])
            if not cell.is_zero:
                return cell
        raise RuntimeError(f"no cell with a path in {MAX_DRAWS} draws")

    def mutate(self, cell: BinaryCell, prior: BinaryPrior, rng: random.Random) -> BinaryCell:
        """The cell with another operation on one of its edges, and a path."""
        for _ in range(MAX_DRAWS):
            edge = rng.choice(cell.chosen)
            child = cell.with_edges([edge._replace(operation=rng.choice(prior.operations))])
            if child != cell and not child.is_zero:
                return child
        raise RuntimeError(f"no other cell in {MAX_DRAWS} mutations of {cell}")

    def crossover(self, first: BinaryCell, second: BinaryCell, rng: random.Random) -> BinaryCell:
        """Each edge from one parent or the other; the first parent if no path is left."""
        if first.nodes != second.nodes:
            return first
        pairs = zip(first.chosen, second.chosen, strict=True)
        child = first.with_edges([rng.choice(pair) for pair in pairs])
        return first if child.is_zero else child


def preprocessing_cost(before: int, width: int, pixels: int) -> Cost:
    """Normalisation of the input, and a binary 1x1 convolution with scale and slopes."""
    weights = before * width
    return Cost(0, weights + 2 * before + 2 * width, weights * pixels)


def reduction_cost(before: int, width: int, side: int) -> Cost:
    """The same for an input of this side with a stride of 2, in halves that take turns.

    Of an odd side, the second half has a pixel less each way.
    """
    weights, half = before * width, width // 2
    pixels = half * (-(-side // 2)) ** 2 + (width - half) * (side // 2) ** 2
    return Cost(0, weights + 2 * before + 2 * width, before * pixels)


@lru_cache(maxsize=65536)
def _key(cell: BinaryCell, stride: int) -> str:
    pruned = cell.pruned()
    if pruned.is_zero:
        return "zero"
    return f"binary {graph_key(pruned, BINARY_OPERATIONS, stride)}"
