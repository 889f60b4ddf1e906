"""The operations that an edge of a cell may have, with their cost.

`autospace.networks.operations.register_operation` adds an operation at run time. A built-in
operation is an entry in `OPERATIONS` here and a builder in that module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from autospace.spaces.checks import MAX_COUNT, MAX_NAME, check_integer, check_text
from autospace.spaces.errors import SpaceError, shown

Kind = Literal["none", "skip", "depthwise", "average_pool", "max_pool", "own"]
OperationCost = Callable[[int, int], tuple[int, int]]
"""From channels, and output pixels per channel, to MAdds and params."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A named primitive that keeps its channel count.

    A depthwise operation is a depthwise convolution, batch normalisation and ReLU6. One of the kind
    `own` was registered by a user, and `own_cost` gives its cost.
    """

    name: str
    kind: Kind
    symbol: str
    kernel: int = 1
    dilation: int = 1
    own_cost: OperationCost | None = None

    @property
    def receptive_field(self) -> int:
        """Side, in pixels, of the input window that one output pixel sees."""
        return (self.kernel - 1) * self.dilation + 1

    def params(self, channels: int) -> int:
        """Trainable weights at this width, batch normalisation included."""
        if self.own_cost is not None:
            return self.own_cost(channels, 1)[1]
        return channels * (self.kernel**2 + 2) if self.kind == "depthwise" else 0

    def madds(self, channels: int, pixels: int) -> int:
        """Multiply-accumulates for an output with this number of pixels per channel."""
        if self.own_cost is not None:
            return self.own_cost(channels, pixels)[0]
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

BUILT_IN: Final = tuple(OPERATIONS)
"""Names that every program knows; the published JSON Schema allows these."""
RESERVED: Final = frozenset(
    {"input", "output", "sum", "gate", "se", "expand", "project", "stem", "head", "classifier"}
)
"""Names of other parts of cells and networks, in canonical keys and latency tables."""


def own_operation(name: str, *, cost: OperationCost, symbol: str | None = None) -> Operation:
    """An operation of a user's own, checked but not yet in `OPERATIONS`.

    `autospace.networks.operations.register_operation` adds it together with its module. A program
    without torch can put it into `OPERATIONS` itself, which is enough to read files that use it.

    Args:
        name: an identifier of ASCII letters, digits and `_`, which files and settings will use.
        cost: gives MAdds and params, both integers, from channels and output pixels per channel.
        symbol: its name in drawings; by default the name itself.

    Raises:
        SpaceError: the name or symbol is not valid or is in use, or the cost is no two integers.
    """
    check_text("name", name, MAX_NAME)
    if not (name.isascii() and name.isidentifier()):
        raise SpaceError(
            "name", f"{shown(name)}; allowed: letters, digits and _, but no digit first"
        )
    if name in OPERATIONS or name in RESERVED:
        raise SpaceError("name", f"{shown(name)} is in use; allowed: any other name")
    symbol = name if symbol is None else symbol
    check_text("symbol", symbol, MAX_NAME)
    if any(symbol == other.symbol for other in OPERATIONS.values()):
        raise SpaceError("symbol", f"{shown(symbol)} is in use; allowed: any other symbol")
    for channels, pixels in ((6, 16), (16, 49)):
        found = cost(channels, pixels)
        if not (isinstance(found, tuple) and len(found) == 2):
            raise SpaceError("cost", f"{shown(found)}; allowed: Cost(madds, params)")
        for what, value in zip(("madds", "params"), found, strict=True):
            check_integer(f"cost.{what}", value, 0, MAX_COUNT)
    return Operation(name, "own", symbol, own_cost=cost)


def known_operation(name: str) -> Operation:
    """The operation of this name.

    Raises:
        SpaceError: this process does not know it, for instance a worker process without the
            registration.
    """
    if name not in OPERATIONS:
        raise SpaceError("operation", unknown_operation(name))
    return OPERATIONS[name]


def unknown_operation(name: object) -> str:
    """The message for a name that is not in the vocabulary."""
    could_be_own = isinstance(name, str) and name.isidentifier()
    hint = "; call register_operation for your own in each process" if could_be_own else ""
    return f"unknown operation {shown(name)}; allowed: {', '.join(OPERATIONS)}{hint}"
