"""The parts of a network whose latency is measured; without torch.

A part is identified by its operation and shape alone, so that equal parts of different cells and
layers are measured once.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from autospace.spaces.cells.cell import EXPANSIONS, Cell, LayerShape, mbconv
from autospace.spaces.cells.cost import se_channels
from autospace.spaces.cells.family import check_kind
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.sequence import images_only
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

FIXED: Final = ("stem", "head", "classifier")
INNER: Final = ("expand", "project", "sum", "gate", "se")


def part_names() -> tuple[str, ...]:
    """All names of parts, including those of registered operations."""
    return (*FIXED, *INNER, *(name for name in OPERATIONS if name != "none"))


class Part(NamedTuple):
    """One step of a network.

    Attributes:
        name: an operation; `expand`, `project`, `sum` (two tensors added), `gate`, `se`; `stem`,
            `head` (the last 1x1 convolution) or `classifier` (global average and linear layer).
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

    Raises:
        SpaceError: the cell is of another family than `mobile`.
    """
    check_kind(cell.kind, "latency tables")
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


def fixed_parts(skeleton: Skeleton) -> Iterator[Part]:
    """The parts of stem and head."""
    stem, last = skeleton.stem, skeleton.shapes[-1]
    yield Part("stem", skeleton.in_channels, stem.channels, skeleton.resolution, stem.stride)
    if stem.block is not None:
        block = LayerShape("stem", stem.channels, stem.block, 1, skeleton.stem_resolution)
        # The block has no shortcut, whatever its channels.
        shortcut = Part("sum", stem.block, stem.block, skeleton.stem_resolution)
        yield from (part for part in cell_parts(mbconv(3, 1), block) if part != shortcut)
    width = last.out_channels
    if skeleton.head:
        yield Part("head", width, skeleton.head, last.out_resolution)
        width = skeleton.head
    yield Part("classifier", width, skeleton.classes, last.out_resolution)


def parts_of_skeleton(skeleton: Skeleton) -> list[Part]:
    """Every part that any cell may need on a skeleton, each once, input side first.

    Raises:
        SpaceError: the skeleton is for cells of another family than `mobile`.
    """
    images_only(skeleton, "a latency table")
    if not all(shape.plain for shape in skeleton.shapes):
        other = "ofa" if skeleton.stages else "dense"
        check_kind(
            other if skeleton.chain == 1 else skeleton.shapes[0].paired_kind, "latency tables"
        )
    found = list(fixed_parts(skeleton))
    for shape in skeleton.shapes:
        for expansion in EXPANSIONS:
            found.extend(_parts_at(shape, expansion))
    return list(dict.fromkeys(found))


def parts_of_space(space: Space) -> list[Part]:
    """Every part that an architecture of a space may have, each once, input side first."""
    images_only(space.skeleton, "a latency table")
    found = list(fixed_parts(space.skeleton))
    for layer in space.layers:
        for candidate in layer.candidates:
            found.extend(cell_parts(candidate.cell, layer.shape))
    return list(dict.fromkeys(found))


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
