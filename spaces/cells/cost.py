"""MAdds and params of a cell, in closed form.

MAdds are the multiply-accumulates of one image through convolutions and linear layers; bias,
batch normalisation and activations do not count. Params are all trainable weights.
"""

from collections.abc import Iterable

from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.operations import Cost, known_operation

SE_REDUCTION = 4


def total(costs: Iterable[Cost]) -> Cost:
    """Sum of all, entry by entry."""
    madds, params, bops = 0, 0, 0
    for cost in costs:
        madds, params = madds + cost.madds, params + cost.params
        bops += cost.bops
    return Cost(madds, params, bops)


def se_channels(in_channels: int) -> int:
    """Hidden width of squeeze-and-excitation, from the channels that enter the cell."""
    return max(1, in_channels // SE_REDUCTION)


def graph_cost(cell: Cell, shape: LayerShape) -> Cost:
    """Cost of a cell at a layer: expansion, operations, mixes and projection."""
    pruned = cell.pruned()
    if pruned.is_zero:
        return Cost()
    inner = pruned.expansion * shape.in_channels
    pixels_in, pixels_out = shape.resolution**2, shape.out_resolution**2
    parts = [conv_norm_cost(inner, shape.out_channels, 1, pixels_out)]
    if pruned.expansion != 1:
        parts.append(conv_norm_cost(shape.in_channels, inner, 1, pixels_in))
    for edge in pruned.edges:
        operation = known_operation(edge.operation)
        pixels = pixels_out if edge.target == pruned.nodes - 1 else pixels_in
        parts.append(operation.cost(inner, pixels))
    squeeze = _squeeze_excite(inner, se_channels(shape.in_channels))
    parts.extend(squeeze for mix in pruned.mix if mix == "se")
    return total(parts)


def conv_norm_cost(channels_in: int, channels_out: int, kernel: int, pixels: int) -> Cost:
    """A dense convolution without bias, and its batch normalisation."""
    weights = channels_in * channels_out * kernel**2
    return Cost(weights * pixels, weights + 2 * channels_out)


def _squeeze_excite(channels: int, hidden: int) -> Cost:
    weights = 2 * channels * hidden
    return Cost(weights, weights + channels + hidden)
