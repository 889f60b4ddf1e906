"""The operations that an edge of a cell may carry, with their cost.

Adding one is an entry in `OPERATIONS` here and a builder in `autospace.networks.operations`.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["none", "skip", "depthwise", "average_pool", "max_pool"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A named primitive that keeps its channel count.

    A depthwise operation is a depthwise convolution, batch normalisation and ReLU6.
    """

    name: str
    kind: Kind
    symbol: str
    kernel: int = 1
    dilation: int = 1

    @property
    def receptive_field(self) -> int:
        """Side, in pixels, of the input window that one output pixel sees."""
        return (self.kernel - 1) * self.dilation + 1

    def params(self, channels: int) -> int:
        """Trainable weights at this width, batch normalisation included."""
        return channels * (self.kernel**2 + 2) if self.kind == "depthwise" else 0

    def madds(self, channels: int, pixels: int) -> int:
        """Multiply-accumulates for an output of so many pixels per channel."""
        return channels * self.kernel**2 * pixels if self.kind == "depthwise" else 0


OPERATIONS: dict[str, Operation] = {
    "none": Operation("none", "none", "·"),
    "skip_connect": Operation("skip_connect", "skip", "id"),
    "dw_conv_3x3": Operation("dw_conv_3x3", "depthwise", "dw3", kernel=3),
    "dw_conv_5x5": Operation("dw_conv_5x5", "depthwise", "dw5", kernel=5),
    "dw_conv_7x7": Operation("dw_conv_7x7", "depthwise", "dw7", kernel=7),
    "dw_conv_3x3_d2": Operation("dw_conv_3x3_d2", "depthwise", "dw3d2", kernel=3, dilation=2),
    "dw_conv_3x3_d3": Operation("dw_conv_3x3_d3", "depthwise", "dw3d3", kernel=3, dilation=3),
    "avg_pool_3x3": Operation("avg_pool_3x3", "average_pool", "avg3", kernel=3),
    "max_pool_3x3": Operation("max_pool_3x3", "max_pool", "max3", kernel=3),
    "dw_conv_1x1": Operation("dw_conv_1x1", "depthwise", "dw1"),
}

# dw_conv_1x1 sees one pixel: it is there to read what others published, not to be searched.
DEFAULT_OPERATIONS: tuple[str, ...] = tuple(name for name in OPERATIONS if name != "dw_conv_1x1")
