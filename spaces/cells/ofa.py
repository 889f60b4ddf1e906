"""The family `ofa`: the inverted bottlenecks of Once-for-All (Cai et al., ICLR 2020).

A cell is a kernel and an expansion. The stage of its layer determines the rest: the activation, and
whether there is squeeze-and-excitation. That stands behind the activation of the depthwise
convolution, is a quarter as wide as the expanded channels, and ends in a hard sigmoid (Howard et
al., "MobileNetV3", ICCV 2019). A skipped layer is the cell without an edge.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, Field

from autospace.spaces.cells.cell import MAX_EXPANSION, Cell, ChosenWhole, LayerShape
from autospace.spaces.cells.cost import conv_norm_cost, total
from autospace.spaces.cells.operations import OPERATIONS, Cost
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.checks import check_integer
from autospace.spaces.errors import SpaceError, offered, shown

KERNELS: Final = (3, 5, 7)
EXPANSIONS: Final = (3, 4, 6)
"""Those of the published spaces; a cell may have any up to `MAX_EXPANSION`."""
VOCABULARY: Final = tuple(f"dw_conv_{kernel}x{kernel}" for kernel in KERNELS)
DIVISOR: Final = 8


@dataclass(frozen=True, slots=True)
class OfaCell(Cell):
    """One depthwise convolution between an expansion and a projection, or nothing.

    Attributes are those of `Cell`: two nodes and the one edge between them.
    """

    kind: ClassVar[str] = "ofa"

    def __post_init__(self) -> None:
        # Without arguments, super() does not know a class with slots.
        Cell.__post_init__(self)
        if self.mix != ("sum",):
            raise SpaceError("mix", f"{shown(list(self.mix))}; allowed: sum, of two nodes")
        (name,) = self.operations
        if name not in ("none", *VOCABULARY):
            raise SpaceError("operations[0]", f"{name}; {offered(name, ('none', *VOCABULARY))}")
        if name == "none" and self.expansion != 1:
            raise SpaceError("expansion", f"{self.expansion}; allowed: 1 of a skipped layer")

    @classmethod
    def of(cls, kernel: int, expansion: int) -> "OfaCell":
        """The cell with a kernel and an expansion."""
        return cls((f"dw_conv_{kernel}x{kernel}",), ("sum",), expansion)

    @property
    def kernel(self) -> int:
        """Side of the kernel; 0 of a skipped layer."""
        return 0 if self.is_zero else OPERATIONS[self.operations[0]].kernel

    def pruned(self) -> "OfaCell":
        """The cell itself: it has no dead edges."""
        return self


SKIPPED: Final = OfaCell(("none",), ("sum",), 1)


class OfaDocument(BaseModel):
    """A kernel and an expansion; a skipped layer has 0 and 1."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    kernel: Annotated[
        int,
        Field(
            description="of the depthwise convolution; 0: the layer is skipped",
            json_schema_extra={"enum": [0, *KERNELS]},
        ),
    ]
    expansion: Annotated[
        int,
        Field(
            description="inner over input channels",
            json_schema_extra={"minimum": 1, "maximum": MAX_EXPANSION},
        ),
    ]


@dataclass(frozen=True, slots=True)
class OfaPrior(CellPrior):
    """Every kernel and every expansion with the same probability; `none` is never drawn."""

    kind: ClassVar[str] = OfaCell.kind

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The operations that cells may be made of."""
        return self.operations

    @property
    def kernels(self) -> list[int]:
        """The sides of the kernels."""
        return [OPERATIONS[name].kernel for name in self.operations]


class Ofa(ChosenWhole[OfaCell]):
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    kind: str = OfaCell.kind
    binary: bool = False
    operations: Collection[str] = VOCABULARY
    built_in: Sequence[str] = VOCABULARY
    usual: Sequence[str] = VOCABULARY
    skipped = SKIPPED
    legend: str = "k: kernel; e: expansion ratio; /2: stride 2"
    document: type[BaseModel] = OfaDocument

    def least(self, shape: LayerShape) -> OfaCell:
        """`skipped` where the layer may be; elsewhere the smallest kernel without expansion."""
        return self.skipped if shape.skippable else OfaCell.of(KERNELS[0], 1)

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not among `operations`."""
        if name not in VOCABULARY:
            known = offered(name, VOCABULARY)
            raise SpaceError("", f"unknown operation {shown(name)}; {known}")

    def check(self, cell: OfaCell, shape: LayerShape) -> None:
        """Raises `SpaceError` outside of stages, and where a layer may not be skipped."""
        if not shape.activation:
            fitting = "dense, mobile" if shape.before is None else shape.paired_kind
            raise SpaceError("kind", f"{shown(cell.kind)} at {shape.name}; allowed here: {fitting}")
        if cell.is_zero and not shape.skippable:
            problem = f"0 at {shape.name}, which is never skipped"
            raise SpaceError("kernel", f"{problem}; allowed: {', '.join(map(str, KERNELS))}")

    def key(self, cell: OfaCell, shape: LayerShape) -> str:
        """The canonical key; activation and attention are the same for all cells of a layer."""
        return "zero" if cell.is_zero else f"ofa k{cell.kernel} e{cell.expansion}"

    def canonical(self, cell: OfaCell) -> OfaCell:
        """The cell itself: there is one way to write it."""
        return cell

    def cost(self, cell: OfaCell, shape: LayerShape) -> Cost:
        """Expansion, depthwise convolution, attention where the stage has it, and projection."""
        if cell.is_zero:
            return Cost()
        inner = cell.expansion * shape.in_channels
        pixels_in, pixels_out = shape.resolution**2, shape.out_resolution**2
        parts = [
            OPERATIONS[cell.operations[0]].cost(inner, pixels_out),
            conv_norm_cost(inner, shape.out_channels, 1, pixels_out),
        ]
        if cell.expansion != 1:
            parts.append(conv_norm_cost(shape.in_channels, inner, 1, pixels_in))
        if shape.attention:
            weights = 2 * inner * squeezed(inner)
            parts.append(Cost(weights, weights + inner + squeezed(inner)))
        return total(parts)

    def prior(self, operations: Iterable[str], like: Iterable[OfaCell] = ()) -> OfaPrior:
        """Uniform over the kernels of the operations, and over the expansions.

        Those of some cells join the usual ones, so that they can come back.
        """
        found = {cell.expansion for cell in like if not cell.is_zero}
        kernels = tuple(name for name in operations if name != "none")
        return OfaPrior(
            kernels, 2, 0.0, mixes=("sum",), expansions=tuple(sorted({*EXPANSIONS, *found}))
        )

    def random_cell(self, prior: OfaPrior, rng: random.Random) -> OfaCell:
        """A kernel and an expansion, drawn uniformly."""
        return OfaCell.of(rng.choice(prior.kernels), rng.choice(prior.expansions))

    def mutate(self, cell: OfaCell, prior: OfaPrior, rng: random.Random) -> OfaCell:
        """The cell with another kernel or another expansion.

        Raises:
            SpaceError: the prior has no other cell.
        """
        others = [
            *(OfaCell.of(each, cell.expansion) for each in prior.kernels),
            *(OfaCell.of(cell.kernel, each) for each in prior.expansions if not cell.is_zero),
        ]
        others = [each for each in others if each != cell]
        if not others:
            raise SpaceError("cells.operations", "one cell alone; allowed: two kernels or more")
        return rng.choice(others)

    def crossover(self, first: OfaCell, second: OfaCell, rng: random.Random) -> OfaCell:
        """The kernel of one parent with the expansion of one."""
        if first.is_zero or second.is_zero:
            return first
        kernel = rng.choice((first, second)).operations
        return replace(rng.choice((first, second)), operations=kernel)

    def notation(self, cell: OfaCell) -> str:
        """The cell on one line: `k5 e4`."""
        return "zero" if cell.is_zero else f"k{cell.kernel} e{cell.expansion}"

    def used(self, cell: OfaCell) -> Sequence[str]:
        """The depthwise convolution; nothing of a skipped layer."""
        return [edge.operation for edge in cell.edges]

    def differences(self, cell: OfaCell, reference: OfaCell) -> list[str]:
        """What differs, as `k3 -> k5`, `e6 -> e4`."""
        if cell.is_zero or reference.is_zero:
            same = cell.is_zero == reference.is_zero
            return [] if same else [f"{self.notation(reference)} -> {self.notation(cell)}"]
        pairs = (("k", reference.kernel, cell.kernel), ("e", reference.expansion, cell.expansion))
        return [f"{word}{old} -> {word}{new}" for word, old, new in pairs if old != new]

    def encoded(self, cell: OfaCell) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {"kernel": cell.kernel, "expansion": cell.expansion}

    def decoded(self, document: Any) -> OfaCell:
        """The cell that a document describes.

        Raises:
            SpaceError: a kernel or an expansion that no cell has.
        """
        kernel, expansion = document.kernel, document.expansion
        if kernel not in (0, *KERNELS):
            known = ", ".join(map(str, (0, *KERNELS)))
            raise SpaceError("kernel", f"{shown(kernel)}; allowed: {known}")
        check_integer("expansion", expansion, 1, MAX_EXPANSION)
        return OfaCell.of(kernel, expansion) if kernel else replace(SKIPPED, expansion=expansion)


def squeezed(channels: int) -> int:
    """Hidden width of squeeze-and-excitation: a quarter, as a multiple of 8 that loses few.

    It is the nearest multiple, or the next one if that is over a tenth less (MobileNetV3).
    """
    quarter = channels // 4
    near = max(DIVISOR, (quarter + DIVISOR // 2) // DIVISOR * DIVISOR)
    return near + DIVISOR if 10 * near < 9 * quarter else near
