"""MAdds and params of networks in closed form, and budgets on them.

MAdds are the multiply-accumulates of one image through convolutions and linear layers; bias,
batch normalisation and activations do not count. Params are all trainable weights. A budget for
the network is divided into a share for every layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from autospace.spaces.cells.binary import preprocessing_cost, reduction_cost
from autospace.spaces.cells.cell import Cell, LayerShape, mbconv
from autospace.spaces.cells.cost import conv_norm_cost, total
from autospace.spaces.cells.family import cell_cost, family_of
from autospace.spaces.cells.operations import BITS, Cost
from autospace.spaces.checks import MAX_COUNT, check_integer
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.errors import AutospaceError
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.stages import Part, least_of, mean_of, sums_of


class Range(NamedTuple):
    """Smallest, mean and largest value over the architectures of a space, drawn uniformly."""

    min: int
    mean: int | float
    max: int


def stem_cost(skeleton: Skeleton) -> Cost:
    """Cost of the first convolutions and, where there is one, the fixed block after them."""
    stem = skeleton.stem
    if stem.convolutions > 1:
        widths = stem_widths(skeleton)
        pairs = zip(widths, widths[1:], skeleton.stem_sides, strict=False)
        return total(conv_norm_cost(before, width, 3, side**2) for before, width, side in pairs)
    first = conv_norm_cost(skeleton.in_channels, stem.channels, 3, skeleton.stem_resolution**2)
    if stem.block is None:
        return first
    shape = LayerShape("stem", stem.channels, stem.block, 1, skeleton.stem_resolution)
    return first.plus(cell_cost(mbconv(3, 1), shape))


def stem_widths(skeleton: Skeleton) -> tuple[int, ...]:
    """Channels of the image and of the output of each convolution of the stem."""
    channels = skeleton.stem.channels
    widths = (channels // 2, channels, channels)
    return (skeleton.in_channels, *(widths if skeleton.stem.convolutions > 1 else (channels,)))


def inputs_cost(shape: LayerShape) -> Cost:
    """Cost of bringing the two inputs of a layer to its width: two 1x1 convolutions; else none."""
    if shape.before is None:
        return Cost()
    pixels = shape.resolution**2
    inputs = (shape.before[0], shape.in_channels)
    if shape.binary_groups:
        last = preprocessing_cost(shape.in_channels, shape.width, pixels)
        channels, side = shape.before
        if side != shape.resolution:
            return last.plus(reduction_cost(channels, shape.width, side))
        return last.plus(preprocessing_cost(channels, shape.width, pixels))
    return total(conv_norm_cost(channels, shape.width, 1, pixels) for channels in inputs)


def head_cost(skeleton: Skeleton) -> Cost:
    """Cost of what follows the last layer: a convolution or normalisation, and the classifier."""
    last = skeleton.spine[-1]
    features = skeleton.head or last.out_channels
    if skeleton.last:
        # One pixel after pooling, and no normalisation.
        mixing = Cost(features * skeleton.last, features * skeleton.last)
        classifier = mixing.plus(_linear_cost(skeleton.last, skeleton.classes))
    else:
        classifier = _linear_cost(features, skeleton.classes)
    if skeleton.preactivation:
        return classifier.plus(Cost(0, 2 * features))
    if not skeleton.head:
        return classifier
    return classifier.plus(conv_norm_cost(last.out_channels, features, 1, last.out_resolution**2))


def _linear_cost(features: int, classes: int) -> Cost:
    return Cost(features * classes, (features + 1) * classes)


def residual_cost(shape: LayerShape) -> Cost:
    """Cost of a fixed layer: two 3x3 convolutions and, where the shape changes, a 1x1 one."""
    before, width, pixels = shape.in_channels, shape.out_channels, shape.out_resolution**2
    both = conv_norm_cost(before, width, 3, pixels).plus(conv_norm_cost(width, width, 3, pixels))
    if shape.stride == 1 and before == width:
        return both
    # Without batch normalisation.
    return both.plus(Cost(before * width * pixels, before * width))


def fixed_cost(skeleton: Skeleton) -> Cost:
    """Cost of all that is not searched.

    Of images that is stem, fixed layers, what joins layers, and head. Of text, where MAdds are
    those of one token, it is embedding, root of the cell, and decoder; of sentences, embedding and
    classifier.
    """
    if isinstance(skeleton, SequenceSkeleton | EncoderSkeleton):
        return skeleton.fixed
    pairs = zip(skeleton.spine, skeleton.layers, strict=True)
    fixed = total(residual_cost(shape) for shape, layer in pairs if layer.fixed)
    inputs = total(map(inputs_cost, skeleton.spine))
    return stem_cost(skeleton).plus(head_cost(skeleton)).plus(fixed).plus(inputs)


def range_of_sums(fixed: int, layers: Sequence[Sequence[int]], parts: Sequence[Part]) -> Range:
    """Range of a fixed amount plus one entry of every layer, over all architectures."""
    # Exact, because spaces with huge networks differ in digits that a float loses.
    mean = fixed + sum((mean_of(part, layers) for part in parts), Fraction())
    return Range(
        fixed + least_of(parts, layers),
        int(mean) if mean.denominator == 1 else float(mean),
        fixed + sum(max(sums_of(part, layers, max)) for part in parts),
    )


LIMITED: Final = {"madds": 1, "params": 1, "ops": BITS}
"""What a budget limits, and what `Cost.whole` multiplies it by."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits that no architecture of a space exceeds; None for no limit.

    Attributes:
        max_ops: on MAdds plus a 64th of the binary operations, `Cost.ops`.
    """

    max_madds: int | None = None
    max_params: int | None = None
    max_ops: int | None = None

    def __post_init__(self) -> None:
        for unit in LIMITED:
            limit = getattr(self, f"max_{unit}")
            if limit is not None:
                check_integer(f"max_{unit}", limit, 0, MAX_COUNT)

    @property
    def limits(self) -> dict[str, int]:
        """The limits that there are by unit, in whole numbers as `Cost.whole` gives them."""
        found = {unit: getattr(self, f"max_{unit}") for unit in LIMITED}
        return {unit: LIMITED[unit] * most for unit, most in found.items() if most is not None}

    def allows(self, cost: Cost) -> bool:
        """Whether a network of this cost is within all limits."""
        return all(cost.whole(unit) <= most for unit, most in self.limits.items())


def times(factor: float, amount: int) -> int:
    """A multiple of an amount, rounded down: a limit is a guarantee.

    Exact in the digits of the factor: 1.1 times 10 is 11.
    """
    return int(Fraction(repr(factor)) * amount)


class BudgetError(AutospaceError):
    """The reference does not fit the budget; the message names both numbers."""


@dataclass(frozen=True, slots=True)
class Share:
    """The limits on the cost of one cell of a layer; None for no limit."""

    madds: int | None = None
    params: int | None = None
    ops: int | None = None

    def allows(self, cost: Cost) -> bool:
        """Whether a cell of this cost may enter the layer; `ops` is in 64ths."""
        return all(
            limit is None or cost.whole(unit) <= limit
            for unit, limit in (("madds", self.madds), ("params", self.params), ("ops", self.ops))
        )


def most_expensive_reference(skeleton: Skeleton, references: Sequence[Cell]) -> Cost:
    """Largest of each amount that a network of reference cells can have, not all of one."""
    layers = [[_cost_at(cell, shape) for cell in references] for shape in skeleton.shapes]
    fixed = fixed_cost(skeleton)
    madds = sum(max(cost.madds for cost in layer) for layer in layers)
    params = sum(max(cost.params for cost in layer) for layer in layers)
    bops = sum(max(cost.bops for cost in layer) for layer in layers)
    return Cost(fixed.madds + madds, fixed.params + params, fixed.bops + bops)


def _cost_at(cell: Cell, shape: LayerShape) -> Cost:
    """Cost of a cell, or of the part of it that is a candidate here."""
    return cell_cost(family_of(cell).at(cell, shape), shape)


@dataclass(frozen=True, slots=True)
class LayerShares:
    """The limits on the cells of each layer that keep every network within a budget.

    Attributes:
        shapes: per layer, where its cells stand.
        shares: per layer, what one cell may cost.
    """

    shapes: tuple[LayerShape, ...]
    shares: tuple[Share, ...]

    def allows(self, cell: Cell, layer: int) -> bool:
        """Whether a cell may enter a layer."""
        return self.shares[layer].allows(cell_cost(cell, self.shapes[layer]))


def layer_shares(skeleton: Skeleton, references: Sequence[Cell], budget: Budget) -> LayerShares:
    """A share per layer such that the most expensive cells of all layers keep the budget.

    What the most expensive reference cells leave is divided in proportion to their costs.

    Raises:
        BudgetError: the reference cells alone are over a limit.
    """
    fixed = fixed_cost(skeleton)
    costs = [[_cost_at(cell, shape) for cell in references] for shape in skeleton.shapes]
    rows: dict[str, Sequence[int | None]] = dict.fromkeys(LIMITED, [None] * len(costs))
    for unit, most in budget.limits.items():
        needs = [max(cost.whole(unit) for cost in layer) for layer in costs]
        rows[unit] = shares_of(NAMES[unit], most, fixed.whole(unit), needs, SHOWN[unit])
    shares = tuple(Share(*row) for row in zip(*rows.values(), strict=True))
    return LayerShares(tuple(skeleton.shapes), shares)


NAMES: Final = {"madds": "MAdds", "params": "params", "ops": "OPs"}
"""The units of costs and limits in messages."""
SHOWN: Final[dict[str, Callable[[int], str]]] = {
    "madds": "{:,}".format,
    "params": "{:,}".format,
    "ops": lambda whole: f"{-(-whole // BITS):,}",
}


def shares_of(
    unit: str,
    limit: int,
    fixed: int,
    needs: Sequence[int],
    shown: Callable[[int], str] = "{:,}".format,
) -> tuple[int, ...]:
    """The limit of each layer, at least what it needs; with `fixed`, the sum is within `limit`.

    `shown` writes an amount in the unit.

    Raises:
        BudgetError: the needs alone are over the limit.
    """
    needed = sum(needs)
    slack = limit - fixed - needed
    if slack < 0:
        raise BudgetError(
            f"budget: the limit is {shown(limit)} {unit}, but the reference cells need "
            f"{shown(fixed + needed)}; raise the limit, or choose smaller reference cells or a "
            "smaller skeleton"
        )
    return tuple(need + slack * need // max(1, needed) for need in needs)
