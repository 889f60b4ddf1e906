"""MAdds and params in closed form.

MAdds are the multiply-accumulates of one image through convolutions and linear layers; bias,
batch normalisation and activations do not count. Params are all trainable weights.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from autospace.spaces.cells.cell import Cell, mbconv
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.skeleton import LayerShape, Skeleton

SE_REDUCTION = 4


class Cost(NamedTuple):
    """MAdds and params of a part of a network."""

    madds: int = 0
    params: int = 0

    def plus(self, other: "Cost") -> "Cost":
        """Sum of both, entry by entry."""
        return Cost(self.madds + other.madds, self.params + other.params)


class Range(NamedTuple):
    """Smallest, mean and largest value over the architectures of a space, drawn uniformly."""

    min: int
    mean: int | float
    max: int


def total(costs: Iterable[Cost]) -> Cost:
    """Sum of all, entry by entry."""
    madds, params = 0, 0
    for cost in costs:
        madds, params = madds + cost.madds, params + cost.params
    return Cost(madds, params)


def se_channels(in_channels: int) -> int:
    """Hidden width of squeeze-and-excitation, from the channels that enter the cell."""
    return max(1, in_channels // SE_REDUCTION)


def cell_cost(cell: Cell, shape: LayerShape) -> Cost:
    """Cost of a cell at a layer: expansion, operations, mixes and projection."""
    pruned = cell.pruned()
    if pruned.is_zero:
        return Cost()
    inner = pruned.expansion * shape.in_channels
    pixels_in, pixels_out = shape.resolution**2, shape.out_resolution**2
    parts = [_conv(inner, shape.out_channels, 1, pixels_out)]
    if pruned.expansion != 1:
        parts.append(_conv(shape.in_channels, inner, 1, pixels_in))
    for edge in pruned.edges:
        operation = OPERATIONS[edge.operation]
        pixels = pixels_out if edge.target == pruned.nodes - 1 else pixels_in
        parts.append(Cost(operation.madds(inner, pixels), operation.params(inner)))
    squeeze = _squeeze_excite(inner, se_channels(shape.in_channels))
    parts.extend(squeeze for mix in pruned.mix if mix == "se")
    return total(parts)


def stem_cost(skeleton: Skeleton) -> Cost:
    """Cost of the first convolution and, where there is one, the fixed block after it."""
    stem = skeleton.stem
    first = _conv(skeleton.in_channels, stem.channels, 3, skeleton.stem_resolution**2)
    if stem.block is None:
        return first
    shape = LayerShape("stem", stem.channels, stem.block, 1, skeleton.stem_resolution)
    return first.plus(cell_cost(mbconv(3, 1), shape))


def head_cost(skeleton: Skeleton) -> Cost:
    """Cost of the last 1x1 convolution, where there is one, and the classifier."""
    last = skeleton.shapes[-1]
    features = skeleton.head or last.out_channels
    classifier = Cost(features * skeleton.classes, (features + 1) * skeleton.classes)
    if not skeleton.head:
        return classifier
    return classifier.plus(_conv(last.out_channels, features, 1, last.out_resolution**2))


def fixed_cost(skeleton: Skeleton) -> Cost:
    """Cost of all that is not searched: stem and head."""
    return stem_cost(skeleton).plus(head_cost(skeleton))


def range_of_sums(fixed: int, layers: Sequence[Sequence[int]]) -> Range:
    """Range of a fixed amount plus one entry of every layer, over all choices."""
    # Exact, because spaces with huge networks differ in digits that a float loses.
    mean = fixed + sum(Fraction(sum(costs), len(costs)) for costs in layers)
    return Range(
        fixed + sum(map(min, layers)),
        int(mean) if mean.denominator == 1 else float(mean),
        fixed + sum(map(max, layers)),
    )


def _conv(channels_in: int, channels_out: int, kernel: int, pixels: int) -> Cost:
    """A dense convolution without bias, and its batch normalisation."""
    weights = channels_in * channels_out * kernel**2
    return Cost(weights * pixels, weights + 2 * channels_out)


def _squeeze_excite(channels: int, hidden: int) -> Cost:
    weights = 2 * channels * hidden
    return Cost(weights, weights + channels + hidden)
