"""The family `conv`: blocks of ordinary convolutions, as in ResNets and ConvNeXts.

A cell is a graph whose nodes add up. With a `reduction` above 1, a 1x1 convolution brings its input
to that fraction of the output channels, and another one follows the graph: the bottleneck of He et
al., CVPR 2016. Activations come before convolutions, and normalisation after them (He et al.,
ECCV 2016). Edges out of the input have the layer's stride, and without a reduction the change of
width, too.

A layer always has a shortcut. Where the skeleton adds none, it is part of the cell: an identity,
or, if the layer changes the shape, the mean of 2x2 pixels and a 1x1 convolution (He et al., "Bag of
tricks", CVPR 2019).
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field

from autospace.spaces.cells.cell import MAX_NODES, MIN_NODES, Edge, LayerShape, edge_slots
from autospace.spaces.cells.cost import conv_norm_cost, total
from autospace.spaces.cells.dense import DenseEdgeDocument, DensePrior, WholeGraphs
from autospace.spaces.cells.dense_cell import NODES, WholeCell, dense_differences
from autospace.spaces.cells.key import graph_key
from autospace.spaces.cells.operations import Cost, Operation, OperationCost
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError, shown

REDUCTIONS: Final = (1, 2, 4)
"""Output channels over those inside of a cell."""
MAX_DRAWS: Final = 1000


def _mlp(ratio: int) -> OperationCost:
    def cost(channels: int, pixels: int) -> Cost:
        return mlp_cost(channels, channels, ratio, pixels)

    return cost


def mlp_cost(before: int, after: int, ratio: int, pixels: int) -> Cost:
    """Two 1x1 convolutions, `ratio` times as wide in between, and a batch normalisation.

    Of a convolution before normalisation there is no bias; the first one has it.
    """
    inner = ratio * after
    weights = before * inner + inner * after
    return Cost(weights * pixels, weights + inner + 2 * after)


CONV_OPERATIONS: Final[Mapping[str, Operation]] = {
    "none": Operation("none", "none", "·"),
    "skip_connect": Operation("skip_connect", "skip", "id"),
    "conv_1x1": Operation("conv_1x1", "dense", "conv1"),
    "conv_3x3": Operation("conv_3x3", "dense", "conv3", kernel=3),
    "conv_5x5": Operation("conv_5x5", "dense", "conv5", kernel=5),
    "dw_conv_3x3": Operation("dw_conv_3x3", "depthwise", "dw3", kernel=3),
    "dw_conv_5x5": Operation("dw_conv_5x5", "depthwise", "dw5", kernel=5),
    "dw_conv_7x7": Operation("dw_conv_7x7", "depthwise", "dw7", kernel=7),
    "mlp_2": Operation("mlp_2", "mlp", "mlp2", own_cost=_mlp(2)),
    "mlp_4": Operation("mlp_4", "mlp", "mlp4", own_cost=_mlp(4)),
    "avg_pool_3x3": Operation("avg_pool_3x3", "average_pool", "avg3", kernel=3),
    "max_pool_3x3": Operation("max_pool_3x3", "max_pool", "max3", kernel=3),
}
"""A depthwise convolution has no activation here, as in ConvNeXt (Liu et al., CVPR 2022)."""
MLP_RATIOS: Final = {"mlp_2": 2, "mlp_4": 4}
_Operation = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"enum": [*CONV_OPERATIONS]}),
]


@dataclass(frozen=True, slots=True)
class ConvCell(WholeCell):
    """An operation on every edge of an acyclic graph whose nodes add up; always whole.

    Attributes:
        reduction: output channels over those of the graph, one of `REDUCTIONS`; with 1, no 1x1
            convolution stands around the graph.
    """

    kind: ClassVar[str] = "conv"
    vocabulary: ClassVar[Mapping[str, Operation]] = CONV_OPERATIONS
    reduction: int = 1

    def __post_init__(self) -> None:
        # Without arguments, super() does not know a class with slots.
        WholeCell.__post_init__(self)
        if type(self.reduction) is not int or self.reduction not in REDUCTIONS:
            known = ", ".join(map(str, REDUCTIONS))
            raise SpaceError("reduction", f"{shown(self.reduction)}; allowed: {known}")

    def pruned(self) -> "ConvCell":
        """The same function with `none` on edges that nothing uses; a zero cell has no reduction.

        The zero cell of a layer that changes the shape is its shortcut.
        """
        # Without arguments, super() does not know a class with slots.
        found = WholeCell.pruned(self)
        return replace(found, reduction=1) if found.is_zero else found


def basic(*, nodes: int = NODES) -> ConvCell:
    """The basic block of ResNet-18: two 3x3 convolutions."""
    return ConvCell.from_edges([(0, 1, "conv_3x3"), (1, nodes - 1, "conv_3x3")], nodes)


def bottleneck(*, nodes: int = NODES) -> ConvCell:
    """The bottleneck of ResNet-50: a 3x3 convolution on a quarter of the channels."""
    return ConvCell.from_edges([(0, nodes - 1, "conv_3x3")], nodes, reduction=4)


def convnext(*, nodes: int = NODES) -> ConvCell:
    """As in ConvNeXt: a depthwise 7x7 convolution, then two 1x1 ones, wide in between."""
    return ConvCell.from_edges([(0, 1, "dw_conv_7x7"), (1, nodes - 1, "mlp_4")], nodes)


class ConvEdgeDocument(DenseEdgeDocument):
    """The operation on the way from one node of a cell to a later one; it may be `none`."""

    operation: _Operation


class ConvDocument(BaseModel):
    """A cell: node 0 is its input, or what the first 1x1 convolution gives."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    nodes: Annotated[
        int, Field(ge=MIN_NODES, le=MAX_NODES, description="input and output included")
    ] = NODES
    edges: Annotated[
        list[ConvEdgeDocument],
        Field(
            max_length=MAX_NODES * (MAX_NODES - 1) // 2,
            description="absent edges have `none`",
        ),
        FailFast(),
    ]
    reduction: Annotated[
        int,
        Field(
            description="output channels over those of the graph",
            json_schema_extra={"enum": [*REDUCTIONS]},
        ),
    ] = 1


@dataclass(frozen=True, slots=True)
class ConvPrior(DensePrior):
    """An edge is absent with one probability, and has each operation with the same one.

    Attributes:
        none_probability: chance that an edge of a random cell is absent.
        reductions: what cells may have.
    """

    kind: ClassVar[str] = "conv"
    none_probability: float = 0.4
    reductions: tuple[int, ...] = REDUCTIONS

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The operations that cells may be made of, `none` included."""
        return ("none", *self.operations)

    def drawn(self, rng: random.Random) -> str:
        """The operation of an edge."""
        return "none" if rng.random() < self.none_probability else rng.choice(self.operations)


SKIPPED: Final = ConvCell.from_edges([])


class Conv(WholeGraphs[ConvCell]):
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    kind: str = ConvCell.kind
    binary: bool = False
    operations: Collection[str] = CONV_OPERATIONS
    built_in: Sequence[str] = tuple(CONV_OPERATIONS)
    usual: Sequence[str] = tuple(CONV_OPERATIONS)
    skipped = SKIPPED
    legend: str = "r: reduction; /2: stride 2"
    document: type[BaseModel] = ConvDocument
    cells = ConvCell

    def least(self, shape: LayerShape) -> ConvCell:
        """`skipped`, at any layer: its output is then a shortcut alone."""
        return self.skipped

    def check(self, cell: ConvCell, shape: LayerShape) -> None:
        """Raises `SpaceError` at layers that share cells, have two inputs or are in a stage."""
        self.check_place(cell, shape)

    def key(self, cell: ConvCell, shape: LayerShape) -> str:
        """The canonical key; of the shape, the stride and the widths matter."""
        widens = shape.in_channels != shape.out_channels
        return _key(cell, shape.stride, inner_width(cell.pruned(), shape), widens)

    def cost(self, cell: ConvCell, shape: LayerShape) -> Cost:
        """The operations on a path, the 1x1 convolutions around them, and the shortcut.

        The shortcut counts where the layer changes the shape; elsewhere it is an identity.
        """
        pruned = cell.pruned()
        before, after = shape.in_channels, shape.out_channels
        side, out = shape.resolution**2, shape.out_resolution**2
        parts = [] if keeps_shape(shape) else [conv_norm_cost(before, after, 1, out)]
        if pruned.is_zero:
            return total(parts)
        inner = inner_width(pruned, shape)
        if pruned.reduction != 1:
            parts.append(conv_norm_cost(before, inner, 1, side))
            parts.append(conv_norm_cost(inner, after, 1, out))
            before = inner
        for edge in pruned.edges:
            first = before if edge.source == 0 else inner
            parts.append(_operation_cost(CONV_OPERATIONS[edge.operation], first, inner, out))
        return total(parts)

    def prior(self, operations: Iterable[str], like: Iterable[ConvCell] = ()) -> ConvPrior:
        """Uniform over the operations, with as many nodes as the largest of some cells has."""
        nodes = max((cell.nodes for cell in like), default=NODES)
        return ConvPrior(tuple(each for each in operations if each != "none"), nodes)

    def random_cell(self, prior: ConvPrior, rng: random.Random) -> ConvCell:
        """A random pruned cell with a path from input to output."""
        slots = [*edge_slots(prior.nodes)]
        for _ in range(MAX_DRAWS):
            edges = [(*slot, prior.drawn(rng)) for slot in slots]
            reduction = rng.choice(prior.reductions)
            cell = ConvCell.from_edges(edges, prior.nodes, reduction=reduction).pruned()
            if not cell.is_zero:
                return cell
        raise RuntimeError(f"no cell with a path in {MAX_DRAWS} draws")

    def mutate(self, cell: ConvCell, prior: ConvPrior, rng: random.Random) -> ConvCell:
        """A pruned neighbour with a path: one or two other edges at a node, or another reduction.

        Two edges at one node can make a new way through it, which no single edge can.
        """
        parent = cell.pruned()
        for _ in range(MAX_DRAWS):
            if rng.random() < 0.2:
                child = replace(parent, reduction=rng.choice(prior.reductions))
            else:
                node = rng.randrange(parent.nodes)
                edges = [edge for edge in parent.chosen if node in edge[:2]]
                rng.shuffle(edges)
                some = edges[: rng.randint(1, 2)]
                child = parent.with_edges(
                    each._replace(operation=prior.drawn(rng)) for each in some
                )
            child = child.pruned()
            if child != parent and not child.is_zero:
                return child
        raise RuntimeError(f"no other cell in {MAX_DRAWS} mutations of {cell}")

    def crossover(self, first: ConvCell, second: ConvCell, rng: random.Random) -> ConvCell:
        """Each edge, and the reduction, of one parent; the first parent if no path is left."""
        if first.nodes != second.nodes:
            return first
        pairs = zip(first.chosen, second.chosen, strict=True)
        mixed = first.with_edges([rng.choice(pair) for pair in pairs])
        child = replace(mixed, reduction=rng.choice((first, second)).reduction).pruned()
        return first if child.is_zero else child

    def notation(self, cell: ConvCell) -> str:
        """The cell on one line: `r4: 0>3 conv3`; without a reduction no `r`, or `shortcut`."""
        if cell.is_zero:
            return "shortcut"
        graph = super().notation(cell)
        return graph if cell.reduction == 1 else f"r{cell.reduction}: {graph}"

    def differences(self, cell: ConvCell, reference: ConvCell) -> list[str]:
        """What differs, as `r4→r2` and `0>3 conv_3x3→conv_5x5`."""
        found = dense_differences(cell, reference)
        if cell.reduction == reference.reduction:
            return found
        return [f"r{reference.reduction}→r{cell.reduction}", *found]

    def encoded(self, cell: ConvCell) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {**super().encoded(cell), "reduction": cell.reduction}

    def decoded(self, document: Any) -> ConvCell:
        """The cell that a document describes, its edges in any order.

        Raises:
            SpaceError: an edge is given twice, or outside of the graph; a reduction that no cell
                has.
        """
        return replace(super().decoded(document), reduction=document.reduction)


def keeps_shape(shape: LayerShape) -> bool:
    """Whether a layer keeps channels and resolution, so that its shortcut is an identity."""
    return shape.stride == 1 and shape.in_channels == shape.out_channels


def inner_width(cell: ConvCell, shape: LayerShape) -> int:
    """Channels of the graph of a cell; at least one."""
    return max(1, shape.out_channels // cell.reduction)


def _operation_cost(operation: Operation, before: int, after: int, pixels: int) -> Cost:
    """An operation from one width to another, for so many pixels of its output.

    One that keeps the width has a 1x1 convolution behind it where the width changes.
    """
    if operation.kind == "dense":
        return conv_norm_cost(before, after, operation.kernel, pixels)
    if operation.kind == "mlp":
        return mlp_cost(before, after, MLP_RATIOS[operation.name], pixels)
    found = operation.cost(before, pixels)
    return found if before == after else found.plus(conv_norm_cost(before, after, 1, pixels))


@lru_cache(maxsize=65536)
def _key(cell: ConvCell, stride: int, inner: int, widens: bool) -> str:
    pruned = cell.pruned()
    if pruned.is_zero:
        return "zero"
    widens = widens and pruned.reduction == 1
    # What an edge out of the input does depends on the layer, so it has a name of its own there.
    edges = [
        edge._replace(operation=f"{edge.operation}/{stride}{'+' if widens else ''}")
        if edge.source == 0 and (stride != 1 or widens)
        else edge
        for edge in pruned.edges
    ]
    table = dict(CONV_OPERATIONS)
    for edge in edges:
        if edge.operation not in table:
            kind = CONV_OPERATIONS[edge.operation.split("/")[0]].kind
            if widens and kind != "none":
                kind = "dense"  # it has weights
            elif kind == "skip":
                kind = "average_pool"
            table[edge.operation] = Operation(edge.operation, kind, edge.operation)
    graph = _Graph(pruned.nodes, tuple(edges), pruned.mix, pruned.live_nodes)
    width = "" if pruned.reduction == 1 else f" in {inner}"
    return f"conv{width} {graph_key(graph, table)}"


@dataclass(frozen=True)
class _Graph:
    """A pruned cell whose edges have the names that they have at a layer."""

    nodes: int
    edges: tuple[Edge, ...]
    mix: tuple[str, ...]
    live_nodes: frozenset[int]
