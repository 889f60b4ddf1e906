"""The family `nas-bert`: the layers of NAS-BERT (Xu et al., KDD 2021), which MAGIC searches too.

A cell is a kind of layer and its hidden size. Every layer is residual and ends in a layer
normalisation. With H for the hidden size, it has

    attention           four products H x H, in heads
    feed_forward        H -> 4 H -> H
    conv1d_separable_k  twice: a depthwise convolution over k tokens, and a product H x H

All layers of a block have one hidden size. The first one brings the tokens to it, and counts the
two products that do this, in front of the block and behind it. A skipped layer is the identity.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from autospace.spaces.cells.cell import ChosenWhole, Edge, LayerShape
from autospace.spaces.cells.operations import Cost
from autospace.spaces.checks import MAX_CHANNELS, check_integer
from autospace.spaces.errors import SpaceError, offered, shown

SYMBOLS: Final[dict[str, str]] = {
    "attention": "attn",
    "feed_forward": "ffn",
    "conv1d_separable_3": "sep3",
    "conv1d_separable_5": "sep5",
    "conv1d_separable_7": "sep7",
}
"""The kinds of layers and their symbols."""
KERNELS: Final[dict[str, int]] = {f"conv1d_separable_{kernel}": kernel for kernel in (3, 5, 7)}
WIDTHS: Final = (128, 192, 256, 384, 512)
"""The published hidden sizes; a cell may have any up to `MAX_CHANNELS`."""
WIDENING: Final = 4
"""Hidden units of a feed-forward layer, in hidden sizes."""


@dataclass(frozen=True, slots=True)
class BertCell:
    """A kind of layer and its hidden size, or no layer.

    Attributes:
        operation: one of `SYMBOLS`; `none` of a skipped layer.
        width: the hidden size; 0 of a skipped layer.
    """

    kind: ClassVar[str] = "nas-bert"
    edge: ClassVar[None] = None
    node: ClassVar[None] = None
    bare: ClassVar[bool] = True
    expansion: ClassVar[int] = 1
    mix: ClassVar[tuple[str, ...]] = ("sum",)
    nodes: ClassVar[int] = 2
    operation: str
    width: int

    def __post_init__(self) -> None:
        if self.operation not in ("none", *SYMBOLS):
            known = offered(self.operation, ("none", *SYMBOLS))
            raise SpaceError("operation", f"unknown kind of layer {shown(self.operation)}; {known}")
        if self.operation == "none" and self.width != 0:
            raise SpaceError("width", f"{shown(self.width)}; allowed: 0 of a skipped layer")
        if self.operation != "none":
            check_integer("width", self.width, 1, MAX_CHANNELS)

    @property
    def operations(self) -> tuple[str, ...]:
        """The kind of layer, alone."""
        return (self.operation,)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """From input to output; none of a skipped layer."""
        return () if self.is_zero else (Edge(0, 1, self.operation),)

    @property
    def live_nodes(self) -> frozenset[int]:
        """Both nodes; none of a skipped layer."""
        return frozenset() if self.is_zero else frozenset((0, 1))

    @property
    def is_zero(self) -> bool:
        """Whether the layer is skipped."""
        return self.operation == "none"

    @property
    def group(self) -> int:
        """What all cells of a block have in common: the hidden size."""
        return self.width

    def in_group(self, group: int) -> "BertCell":
        """The same kind of layer with another hidden size."""
        return self if self.is_zero else replace(self, width=group)

    def pruned(self) -> "BertCell":
        """The cell itself: it has no dead edges."""
        return self


SKIPPED: Final = BertCell("none", 0)


@dataclass(frozen=True, slots=True)
class BlockShape(LayerShape):
    """The place of a layer in a block.

    `in_channels` and `out_channels` are the width between blocks, and `resolution` is the number
    of tokens.

    Attributes:
        only: the family whose cells stand here.
        first: whether the layer is the first one of its block.
        head: hidden units of an attention head.
    """

    only: ClassVar[str] = BertCell.kind
    first: bool = False
    head: int = 64

    @property
    def staged(self) -> bool:
        """True: only the last layers of a block are skipped."""
        return True

    @property
    def received(self) -> int:
        """Numbers of all tokens, and whether each is there."""
        return (self.in_channels + 1) * self.resolution


class BertDocument(BaseModel):
    """A kind of layer and its hidden size; a skipped layer has `none` and 0."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    operation: Annotated[
        str,
        Field(
            description="kind of layer; none: the layer is skipped",
            json_schema_extra={"enum": ["none", *SYMBOLS]},
        ),
    ]
    width: Annotated[
        int,
        Field(
            description="hidden size, the same in a block; 0 of a skipped layer",
            json_schema_extra={"minimum": 0, "maximum": MAX_CHANNELS},
        ),
    ]


@dataclass(frozen=True, slots=True)
class BertPrior:
    """Every kind of layer and every hidden size with the same probability.

    Attributes:
        operations: the kinds.
        widths: the hidden sizes.
    """

    kind: ClassVar[str] = BertCell.kind
    operations: tuple[str, ...]
    widths: tuple[int, ...] = WIDTHS

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The kinds of layers that cells may be."""
        return self.operations


class Bert(ChosenWhole[BertCell]):
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    kind: str = BertCell.kind
    binary: bool = False
    operations: Collection[str] = SYMBOLS
    built_in: Sequence[str] = tuple(SYMBOLS)
    usual: Sequence[str] = tuple(SYMBOLS)
    skipped = SKIPPED
    legend: str = "numbers: hidden size"
    document: type[BaseModel] = BertDocument

    def least(self, shape: LayerShape) -> BertCell:
        """`skipped` where the layer may be; elsewhere the narrowest convolution."""
        if shape.skippable:
            return self.skipped
        return BertCell("conv1d_separable_3", _head(shape))

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not among `operations`."""
        if name not in SYMBOLS:
            known = offered(name, SYMBOLS)
            raise SpaceError("", f"unknown operation {shown(name)}; {known}")

    def check(self, cell: BertCell, shape: LayerShape) -> None:
        """Raises `SpaceError` outside of blocks, and where a layer may not be skipped."""
        if not isinstance(shape, BlockShape):
            problem = f"{shown(cell.kind)} at {shape.name}, which is in no block"
            raise SpaceError("kind", f"{problem}; allowed: skeletons that read sentences")
        if cell.is_zero and not shape.skippable:
            problem = f"none at {shape.name}, which is never skipped"
            raise SpaceError("operation", f"{problem}; allowed: {', '.join(SYMBOLS)}")
        if cell.width % shape.head:
            problem = f"{cell.width} at {shape.name}, whose attention heads have {shape.head} units"
            raise SpaceError("width", f"{problem}; allowed: multiples of {shape.head}")

    def key(self, cell: BertCell, shape: LayerShape) -> str:
        """The canonical key."""
        return "zero" if cell.is_zero else f"{cell.operation} {cell.width}"

    def canonical(self, cell: BertCell) -> BertCell:
        """The cell itself: there is one way to write it."""
        return cell

    def cost(self, cell: BertCell, shape: LayerShape) -> Cost:
        """MAdds of a sentence of full length, padding included, and params.

        The first layer of a block also counts what brings tokens to the hidden size and back.
        """
        if cell.is_zero:
            return Cost()
        width, tokens = cell.width, shape.resolution
        madds, params = _products(cell, tokens)
        if isinstance(shape, BlockShape) and shape.first:
            around = 2 * width * shape.in_channels
            madds, params = madds + around * tokens, params + around + width + shape.in_channels
        return Cost(madds, params)

    def prior(self, operations: Iterable[str], like: Iterable[BertCell] = ()) -> BertPrior:
        """Uniform over the kinds, and over the hidden sizes of some cells, or the usual ones."""
        found = sorted({cell.width for cell in like if not cell.is_zero})
        kinds = tuple(name for name in dict.fromkeys(operations) if name != "none")
        return BertPrior(kinds, tuple(found) or WIDTHS)

    def random_cell(self, prior: BertPrior, rng: random.Random) -> BertCell:
        """A kind and a hidden size, drawn uniformly."""
        return BertCell(rng.choice(prior.operations), rng.choice(prior.widths))

    def mutate(self, cell: BertCell, prior: BertPrior, rng: random.Random) -> BertCell:
        """The cell with another kind or another hidden size.

        Raises:
            SpaceError: the prior has no other cell.
        """
        width = cell.width or prior.widths[0]
        others = [
            *(BertCell(name, width) for name in prior.operations),
            *(BertCell(cell.operation, each) for each in prior.widths if not cell.is_zero),
        ]
        others = [each for each in others if each != cell]
        if not others:
            raise SpaceError("cells.operations", "one cell alone; allowed: two kinds or more")
        return rng.choice(others)

    def crossover(self, first: BertCell, second: BertCell, rng: random.Random) -> BertCell:
        """The kind of one parent with the hidden size of one."""
        if first.is_zero or second.is_zero:
            return first
        kind = rng.choice((first, second)).operation
        return replace(rng.choice((first, second)), operation=kind)

    def notation(self, cell: BertCell) -> str:
        """The cell on one line: `attn 128`."""
        return "skip" if cell.is_zero else f"{SYMBOLS[cell.operation]} {cell.width}"

    def used(self, cell: BertCell) -> Sequence[str]:
        """The kind of the layer; nothing of a skipped one."""
        return [] if cell.is_zero else [cell.operation]

    def differences(self, cell: BertCell, reference: BertCell) -> list[str]:
        """What differs, as `attn -> ffn`, `128 -> 256`."""
        if cell.is_zero or reference.is_zero:
            same = cell.is_zero == reference.is_zero
            return [] if same else [f"{self.notation(reference)} -> {self.notation(cell)}"]
        pairs = (
            (SYMBOLS[reference.operation], SYMBOLS[cell.operation]),
            (str(reference.width), str(cell.width)),
        )
        return [f"{old} -> {new}" for old, new in pairs if old != new]

    def encoded(self, cell: BertCell) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {"operation": cell.operation, "width": cell.width}

    def decoded(self, document: Any) -> BertCell:
        """The cell that a document describes.

        Raises:
            SpaceError: a kind or hidden size that no cell has.
        """
        return BertCell(document.operation, document.width)


def _head(shape: LayerShape) -> int:
    return shape.head if isinstance(shape, BlockShape) else 1


def _products(cell: BertCell, tokens: int) -> tuple[int, int]:
    """MAdds for so many tokens, and params with biases and layer normalisations."""
    width = cell.width
    norm = 2 * width
    if cell.operation == "attention":
        weights = 4 * width**2
        # Every token with every other one, once for the scores and once for the sums.
        return tokens * weights + 2 * tokens**2 * width, weights + 4 * width + norm
    if cell.operation == "feed_forward":
        weights = 2 * WIDENING * width**2
        return tokens * weights, weights + (WIDENING + 1) * width + norm
    weights = KERNELS[cell.operation] * width + width**2
    return 2 * tokens * weights, 2 * (weights + width + norm)
