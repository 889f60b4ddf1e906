"""The parts of a network whose latency is measured; without torch.

A part is identified by its operation and shape alone, so that equal parts of different cells and
layers are measured once. Of cells of Once-for-All there are few, so that each is one part; of all
others, every operation is one.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from autospace.spaces.cells.bats import BatsCell
from autospace.spaces.cells.binary import BinaryCell
from autospace.spaces.cells.cell import EXPANSIONS, Cell, Edge, LayerShape, edge_slots, mbconv
from autospace.spaces.cells.conv import REDUCTIONS, ConvCell, inner_width, keeps_shape
from autospace.spaces.cells.cost import se_channels
from autospace.spaces.cells.darts import stride_and_side
from autospace.spaces.cells.darts_cell import INPUTS, DartsCell
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.cells.family import FAMILIES, check_kind
from autospace.spaces.cells.ofa import EXPANSIONS as OFA_EXPANSIONS
from autospace.spaces.cells.ofa import KERNELS, OfaCell
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.cost import stem_widths
from autospace.spaces.sequence import images_only
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

FIXED: Final = ("stem", "head", "classifier")
INNER: Final = ("expand", "project", "sum", "gate", "se", "cat")


def part_names() -> tuple[str, ...]:
    """All names of parts of the family `mobile`, including those of registered operations.

    Those of other families begin with the name of the family, as in `dense/nor_conv_3x3`.
    """
    return (*FIXED, *INNER, *(name for name in OPERATIONS if name != "none"))


def is_part(name: str) -> bool:
    """Whether a part may have this name."""
    family, slash, _ = name.partition("/")
    return (
        bool(_OF_FAMILY.fullmatch(name)) and family in CELL_PARTS
        if slash
        else (name in part_names())
    )


_OF_FAMILY: Final = re.compile(r"[a-z]+(/[a-z0-9_]{1,40}){1,3}")


class Part(NamedTuple):
    """One step of a network.

    Attributes:
        name: an operation; `expand`, `project`, `sum` (two tensors added), `gate`, `se`; `stem`,
            `head` (the last 1x1 convolution) or `classifier` (global average and linear layer). Of
            other families than `mobile`, the family, the operation and what else decides its
            module, with `/` between them; `cat` is a concatenation.
        inputs: channels that enter it.
        outputs: channels that leave it; the hidden width of `se`; classes of `classifier`.
        resolution: side of its input in pixels.
    """

    name: str
    inputs: int
    outputs: int
    resolution: int
    stride: int = 1


def cell_parts(cell: Cell, shape: LayerShape) -> Iterator[Part]:
    """The parts of a layer with this cell, the skeleton's shortcut included.

    Of layers that share it, those of all. Of a single choice, its operations, with a sum for each:
    never fewer than it adds to a whole cell.

    Raises:
        SpaceError: no parts are known of cells of this family.
    """
    check_kind(cell.kind, "latency tables", CELL_PARTS)
    for layer in shape.layers:
        yield from CELL_PARTS[cell.kind](cell, layer)


def _mobile_parts(cell: Cell, shape: LayerShape) -> Iterator[Part]:
    pruned = cell.pruned()
    if shape.shortcut:
        yield Part("sum", shape.out_channels, shape.out_channels, shape.out_resolution)
    if pruned.is_zero:
        return
    inner, side = pruned.expansion * shape.in_channels, shape.resolution
    if pruned.expansion > 1:
        yield Part("expand", shape.in_channels, inner, side)
    yield Part("project", inner, shape.out_channels, shape.out_resolution)
    last = pruned.nodes - 1
    for edge in pruned.edges:
        stride = shape.stride if edge.target == last else 1
        # The identity does nothing.
        if edge.operation != "skip_connect" or stride > 1:
            yield Part(edge.operation, inner, inner, side, stride)
    for node, mix in enumerate(pruned.mix, 1):
        node_side = shape.out_resolution if node == last else side
        edges = sum(edge.target == node for edge in pruned.edges)
        yield from [Part("sum", inner, inner, node_side)] * (edges - 1)
        if mix == "gate":
            yield Part("gate", inner, inner, node_side)
        elif mix == "se":
            yield Part("se", inner, se_channels(shape.in_channels), node_side)


def _sums(edges: list[Edge], channels: int, side: Callable[[int], int], *, whole: bool) -> Any:
    """What adds up the terms of nodes: one less than there are, or of a choice one for each."""
    for node in dict.fromkeys(edge.target for edge in edges):
        terms = sum(edge.target == node for edge in edges)
        yield from [Part("sum", channels, channels, side(node))] * (terms - whole)


def _dense_parts(cell: Any, shape: LayerShape) -> Iterator[Part]:
    width, side = shape.in_channels, shape.resolution
    if shape.shortcut:
        yield Part("sum", width, width, side)
    edges = [*(cell.pruned() if cell.is_whole else cell).edges]
    for edge in edges:
        if edge.operation != "skip_connect":
            yield Part(f"dense/{edge.operation}", width, width, side)
    yield from _sums(edges, width, lambda _: side, whole=cell.is_whole)


def _paired_parts(cell: Any, shape: LayerShape) -> Iterator[Part]:
    width = shape.width
    edges = [*cell.pruned().edges]
    for edge in edges:
        stride, side = stride_and_side(edge, shape)
        if edge.operation != "skip_connect" or stride > 1:
            yield Part(_paired_name(edge.operation, shape), width, width, side, stride)
    yield from _sums(edges, width, lambda _: shape.out_resolution, whole=cell.is_whole)


def _paired_name(operation: str, shape: LayerShape) -> str:
    kind, groups = shape.paired_kind, shape.binary_groups
    return f"{kind}/{operation}/{groups}" if groups else f"{kind}/{operation}"


def _binary_parts(cell: Any, shape: LayerShape) -> Iterator[Part]:
    pruned, width = cell.pruned(), shape.out_channels
    if shape.shortcut:
        yield Part("sum", width, width, shape.out_resolution)
    if pruned.is_zero:
        return
    yield Part("binary/expand", shape.in_channels, width, shape.resolution)
    last, edges = pruned.nodes - 1, [*pruned.edges]
    for edge in edges:
        stride = shape.stride if edge.target == last else 1
        if edge.operation != "skip_connect" or stride > 1:
            yield Part(f"binary/{edge.operation}", width, width, shape.resolution, stride)
    sides = {last: shape.out_resolution}
    yield from _sums(edges, width, lambda node: sides.get(node, shape.resolution), whole=True)


def _conv_parts(cell: Any, shape: LayerShape) -> Iterator[Part]:
    pruned, before, after = cell.pruned(), shape.in_channels, shape.out_channels
    side, out = shape.resolution, shape.out_resolution
    if not keeps_shape(shape):
        yield Part("conv/shortcut", before, after, side, shape.stride)
    if shape.shortcut or not pruned.is_zero:
        yield Part("sum", after, after, out)
    if pruned.is_zero:
        return
    inner = inner_width(pruned, shape)
    if pruned.reduction != 1:
        yield Part("conv/reduce", before, inner, side)
        yield Part("conv/widen", inner, after, out)
        before = inner
    edges = [*pruned.edges]
    for edge in edges:
        width, at, stride = (inner, out, 1) if edge.source else (before, side, shape.stride)
        if edge.operation != "skip_connect" or stride > 1 or width != inner:
            yield Part(f"conv/{edge.operation}", width, inner, at, stride)
    yield from _sums(edges, inner, lambda _: out, whole=True)


def _ofa_parts(cell: Any, shape: LayerShape) -> Iterator[Part]:
    if shape.shortcut:
        yield Part("sum", shape.out_channels, shape.out_channels, shape.out_resolution)
    if not cell.is_zero:
        name = f"ofa/k{cell.kernel}e{cell.expansion}/{shape.activation}"
        name += "/se" if shape.attention else ""
        yield Part(name, shape.in_channels, shape.out_channels, shape.resolution, shape.stride)


CELL_PARTS: Final[dict[str, Callable[[Any, LayerShape], Iterator[Part]]]] = {
    Cell.kind: _mobile_parts,
    DenseCell.kind: _dense_parts,
    DartsCell.kind: _paired_parts,
    BinaryCell.kind: _binary_parts,
    ConvCell.kind: _conv_parts,
    BatsCell.kind: _paired_parts,
    OfaCell.kind: _ofa_parts,
}
"""Per family, the parts of a cell at one layer. `autospace.latency.timing` builds them."""


def fixed_parts(skeleton: Skeleton) -> Iterator[Part]:
    """The parts of all that is not a cell: stem, head, and what stands between the cells."""
    if skeleton.chain == 2:
        yield from _paired_frame(skeleton)
        return
    if skeleton.stages:
        yield from _staged_frame(skeleton)
        return
    stem, last = skeleton.stem, skeleton.spine[-1]
    name = "dense/stem" if skeleton.preactivation else "stem"
    yield Part(name, skeleton.in_channels, stem.channels, skeleton.resolution, stem.stride)
    if stem.block is not None:
        block = LayerShape("stem", stem.channels, stem.block, 1, skeleton.stem_resolution)
        # The block has no shortcut, whatever its channels.
        shortcut = Part("sum", stem.block, stem.block, skeleton.stem_resolution)
        yield from (part for part in cell_parts(mbconv(3, 1), block) if part != shortcut)
    for shape, layer in zip(skeleton.spine, skeleton.layers, strict=True):
        if layer.fixed:
            ends = shape.in_channels, shape.out_channels
            yield Part("dense/block", *ends, shape.resolution, shape.stride)
    width = last.out_channels
    if skeleton.preactivation:
        yield Part("dense/norm", width, width, last.out_resolution)
    if skeleton.head:
        yield Part("head", width, skeleton.head, last.out_resolution)
        width = skeleton.head
    yield Part("classifier", width, skeleton.classes, last.out_resolution)


def _paired_frame(skeleton: Skeleton) -> Iterator[Part]:
    """Stem, what brings two inputs to every layer, their concatenations, and the classifier."""
    kind, stem = skeleton.cell_layers[0].paired_kind, skeleton.stem
    sides = (skeleton.resolution, *skeleton.stem_sides)
    for (before, after), side in zip(pairwise(stem_widths(skeleton)), sides, strict=False):
        yield Part(f"{kind}/stem", before, after, side, stem.stride)
    layers = skeleton.cell_layers
    for index, shape in enumerate(layers):
        channels, side = shape.before or (shape.in_channels, shape.resolution)
        halved = side != shape.resolution
        yield Part(f"{kind}/halved" if halved else f"{kind}/whole", channels, shape.width, side,
                   2 if halved else 1)  # fmt: skip
        yield Part(f"{kind}/whole", shape.in_channels, shape.width, shape.resolution)
        both = INPUTS * shape.width
        yield Part("cat", both, both, shape.resolution)
        if index < len(layers) - 1:
            # The next layer needs what this one reads as well.
            kept = both + shape.in_channels
            yield Part("cat", kept, kept, shape.resolution)
        yield Part("cat", shape.out_channels, shape.out_channels, shape.out_resolution)
    last = layers[-1]
    yield Part("classifier", last.out_channels, skeleton.classes, last.out_resolution)


def _staged_frame(skeleton: Skeleton) -> Iterator[Part]:
    """Stem with its block, the head's convolution, the last linear layer, and the classifier."""
    stem, last, own = skeleton.stem, skeleton.spine[-1], skeleton.activation
    yield Part(
        f"ofa/stem/{own}", skeleton.in_channels, stem.channels, skeleton.resolution, stem.stride
    )
    if stem.block is not None:
        first = skeleton.stages[0].activation
        side = skeleton.stem_resolution
        block = LayerShape("stem", stem.channels, stem.block, 1, side, activation=first)
        yield from cell_parts(OfaCell.of(KERNELS[0], 1), block)
    width = last.out_channels
    if skeleton.head:
        yield Part(f"ofa/head/{own}", width, skeleton.head, last.out_resolution)
        width = skeleton.head
    if skeleton.last:
        # The classifier averages pixels first; what follows works on one of them.
        yield Part(f"ofa/last/{own}", width, skeleton.last, last.out_resolution)
        yield Part("classifier", skeleton.last, skeleton.classes, 1)
        return
    yield Part("classifier", width, skeleton.classes, last.out_resolution)


def parts_of_skeleton(
    skeleton: Skeleton, kind: str = "", operations: Sequence[str] = ()
) -> list[Part]:
    """Every part that any cell may need on a skeleton, each once, input side first.

    Args:
        skeleton: with cells of the usual expansions.
        kind: the family of the cells; by default the one that is evolved there.
        operations: of these cells; by default all usual ones of the family. Mobile and dense cells
            and those of Once-for-All always have all.

    Raises:
        SpaceError: networks on the skeleton do not read images.
    """
    images_only(skeleton, "a latency table")
    found, kind = list(fixed_parts(skeleton)), kind or skeleton.kind
    names = [name for name in operations or FAMILIES[kind].usual if name != "none"]
    for shape in skeleton.cell_layers:
        found.extend(_EVERY[kind](shape, names))
    return list(dict.fromkeys(found))


def parts_of_space(space: Space) -> list[Part]:
    """Every part that an architecture of a space may have, each once, input side first.

    Where single edges or nodes are chosen, also those of cells that they make.
    """
    images_only(space.skeleton, "a latency table")
    found = list(fixed_parts(space.skeleton))
    for layer in space.layers:
        for candidate in layer.candidates:
            found.extend(cell_parts(candidate.cell, layer.shape))
    return list(dict.fromkeys(found))


def _every_mobile(shape: LayerShape, _: Sequence[str]) -> Iterator[Part]:
    for expansion in EXPANSIONS:
        yield from _parts_at(shape, expansion)


def _every_dense(shape: LayerShape, _: Sequence[str]) -> Iterator[Part]:
    whole = [Edge(*slot, "none") for slot in edge_slots(3)]
    for name in FAMILIES["dense"].operations:
        # Both edges into the last node are used, so that there is a sum.
        edges = [edge._replace(operation=name) for edge in whole]
        yield from cell_parts(_as_cell(DenseCell(3, tuple(edges))), shape)


def _every_paired(shape: LayerShape, names: Sequence[str]) -> Iterator[Part]:
    for name in names:
        # Node 3 reads node 2, which has no stride.
        pairs = [(name, 0), (name, 1), (name, 0), (name, 2)]
        cells = BatsCell if shape.binary_groups else DartsCell
        yield from cell_parts(_as_cell(cells.of(pairs)), shape)


def _every_binary(shape: LayerShape, names: Sequence[str]) -> Iterator[Part]:
    for name in names:
        # Node 2 is an inner one and has a sum, at the side of the input.
        cell = BinaryCell.from_edges([(*slot, name) for slot in edge_slots(4)], 4)
        yield from cell_parts(_as_cell(cell), shape)


def _every_conv(shape: LayerShape, names: Sequence[str]) -> Iterator[Part]:
    slots = [*edge_slots(3)]
    for reduction in REDUCTIONS:
        for name in names:
            edges = [(*slot, name) for slot in slots]
            cell = ConvCell.from_edges(edges, 3, reduction=reduction)
            yield from cell_parts(_as_cell(cell), shape)


def _every_ofa(shape: LayerShape, _: Sequence[str]) -> Iterator[Part]:
    for kernel in KERNELS:
        for expansion in OFA_EXPANSIONS:
            yield from cell_parts(OfaCell.of(kernel, expansion), shape)


_EVERY: Final[dict[str, Callable[[LayerShape, Sequence[str]], Iterator[Part]]]] = {
    Cell.kind: _every_mobile,
    DenseCell.kind: _every_dense,
    DartsCell.kind: _every_paired,
    BinaryCell.kind: _every_binary,
    ConvCell.kind: _every_conv,
    BatsCell.kind: _every_paired,
    OfaCell.kind: _every_ofa,
}


def _as_cell(cell: Any) -> Cell:
    # Where cells are typed, they are those of family `mobile`.
    found: Cell = cell
    return found


def _parts_at(shape: LayerShape, expansion: int) -> Iterator[Part]:
    """The parts of cells of one expansion at a layer."""
    operations = [name for name in OPERATIONS if name != "none"]
    for first, last in [("se", "gate"), ("gate", "se")]:
        for name in operations:
            # Node 1 is an inner node, without stride and with one edge; node 2 is last and has two.
            yield from cell_parts(Cell((name, name, name), (first, last), expansion), shape)
    # Only a cell with a third node has a sum in an inner node.
    three = Cell(("skip_connect",) * 6, ("sum",) * 3, expansion)
    yield from cell_parts(three, shape)
