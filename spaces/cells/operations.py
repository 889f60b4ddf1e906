"""The operations that an edge of a cell may have, with their cost.

`autospace.networks.operations.register_operation` adds an operation at run time. A built-in
operation is an entry in `OPERATIONS` here and a builder in that module.
"""

from collections.abc import Callable
from dataclasses import dataclass
from keyword import iskeyword
from math import gcd
from typing import Final, Literal, NamedTuple

from autospace.spaces.checks import MAX_COUNT, MAX_NAME, check_integer, check_text
from autospace.spaces.errors import SpaceError, located, offered, raised, shown

Kind = Literal[
    "none",
    "skip",
    "depthwise",
    "dense",
    "binary",
    "binary_separable",
    "mlp",
    "average_pool",
    "max_pool",
    "own",
]
SIGNS: Final = ("binary", "binary_separable")
"""The kinds whose convolutions multiply signs."""
BITS: Final = 64
"""Binary operations that count as one multiply-accumulate: those of one word of a processor."""
MOST_GROUPS: Final = 12
"""Groups of a binary convolution (BATS, Bulat et al., ECCV 2020), if they divide its width."""


class Cost(NamedTuple):
    """MAdds, params and binary operations of a part of a network.

    A binary operation (BOP) multiplies a sign of a weight by a sign of an input and adds the
    product up; a network without signs has none.
    """

    madds: int = 0
    params: int = 0
    bops: int = 0

    @property
    def ops(self) -> float:
        """MAdds plus a 64th of the binary operations, as binary networks are compared."""
        return self.madds + self.bops / BITS

    def whole(self, unit: str) -> int:
        """An amount as a whole number: `ops` in 64ths, all others as they are."""
        return BITS * self.madds + self.bops if unit == "ops" else int(getattr(self, unit))

    def plus(self, other: "Cost") -> "Cost":
        """Sum of both, entry by entry."""
        return Cost(self.madds + other.madds, self.params + other.params, self.bops + other.bops)


OperationCost = Callable[[int, int], Cost]
"""From channels, and output pixels per channel, to MAdds and params."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A named primitive that keeps its channel count.

    A depthwise operation is a depthwise convolution, batch normalisation and ReLU6; a dense one is
    ReLU, an ordinary convolution and batch normalisation. A binary one is batch normalisation,
    sign, a grouped convolution with signs for weights and a learned scale per channel, and a PReLU
    per channel. A separable one is a depthwise and a 1x1 convolution of signs, each with a scale
    per channel and batch normalisation. One of the kind `mlp` is two 1x1 convolutions with GELU
    between them. One of the kind `own` was registered by a user; `own_cost` gives the cost of both.

    Attributes:
        groups: at most so many groups of a binary convolution.
    """

    name: str
    kind: Kind
    symbol: str
    kernel: int = 1
    dilation: int = 1
    own_cost: OperationCost | None = None
    groups: int = MOST_GROUPS

    @property
    def receptive_field(self) -> int:
        """Side, in pixels, of the input window that one output pixel sees."""
        return (self.kernel - 1) * self.dilation + 1

    def params(self, channels: int) -> int:
        """Trainable weights at this width, batch normalisation included."""
        if self.own_cost is not None:
            return self.own_cost(channels, 1).params
        # Besides batch normalisation, binary ones have a scale and a slope per channel; separable
        # ones have a scale and batch normalisation, both twice.
        others = {"binary": 4, "binary_separable": 6}.get(self.kind, 2)
        return self._weights(channels) + others * channels if self._weights(channels) else 0

    def madds(self, channels: int, pixels: int) -> int:
        """Multiply-accumulates for an output with this number of pixels per channel."""
        if self.own_cost is not None:
            return self.own_cost(channels, pixels).madds
        return 0 if self.kind in SIGNS else self._weights(channels) * pixels

    def bops(self, channels: int, pixels: int) -> int:
        """Binary operations for an output with this number of pixels per channel."""
        if self.own_cost is not None:
            return self.own_cost(channels, pixels).bops
        return self._weights(channels) * pixels if self.kind in SIGNS else 0

    def cost(self, channels: int, pixels: int) -> Cost:
        """All of them at this width, for an output with this number of pixels per channel."""
        return Cost(
            self.madds(channels, pixels), self.params(channels), self.bops(channels, pixels)
        )

    def _weights(self, channels: int) -> int:
        """Weights of the convolution; 0 if it has none."""
        if self.kind == "binary_separable":
            return channels * (self.kernel**2 + channels)
        grouped = channels // binary_groups(channels, self.groups)
        inputs = {"depthwise": 1, "dense": channels, "binary": grouped}.get(self.kind, 0)
        return channels * inputs * self.kernel**2


def binary_groups(channels: int, most: int = MOST_GROUPS) -> int:
    """Groups of a binary convolution of this width: a divisor of it and of `most`."""
    return gcd(most, channels)


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
    {
        "input",
        "output",
        "sum",
        "cat",
        "gate",
        "se",
        "expand",
        "project",
        "stem",
        "head",
        "classifier",
    }
)
"""Names of other parts of cells and networks, in canonical keys and latency tables."""


def own_operation(name: str, *, cost: OperationCost, symbol: str | None = None) -> Operation:
    """An operation of a user's own, checked but not yet in `OPERATIONS`.

    `autospace.networks.operations.register_operation` adds it together with its module. A program
    without torch can put it into `OPERATIONS` itself, which is enough to read files that use it.

    Args:
        name: an identifier of ASCII letters, digits and `_`, which files and settings will use. It
            is no keyword of Python.
        cost: gives MAdds and params (`Cost`) from channels and output pixels per channel.
        symbol: its name in drawings and in the notation of cells: letters, digits and `_`. By
            default the name itself.

    Raises:
        SpaceError: the name or symbol is not valid or is in use, or the cost is no `Cost` of two
            integers.
    """
    symbol = name if symbol is None else symbol
    check_text("name", name, MAX_NAME)
    if not (name.isascii() and name.isidentifier()) or iskeyword(name):
        allowed = "letters, digits and _, but no digit first and no keyword of Python"
        raise SpaceError("name", f"{shown(name)}; allowed: {allowed}")
    check_text("symbol", symbol, MAX_NAME)
    if not symbol.replace("_", "0").isalnum():
        # Spaces, commas, bars and the like separate the parts of the notation.
        raise SpaceError("symbol", f"{shown(symbol)}; allowed: letters, digits and _")
    taken = RESERVED.union(*((name, other.symbol) for name, other in OPERATIONS.items()))
    for what, word in (("name", name), ("symbol", symbol)):
        if word in taken:
            raise SpaceError(what, f"{shown(word)} is in use; allowed: any other {what}")
    with located(name):
        for channels in (6, 16):
            few, many = _checked_cost(cost, channels, 16), _checked_cost(cost, channels, 49)
            if few.params != many.params:
                problem = f"{few.params} with 16 pixels, {many.params} with 49; allowed: the same"
                raise SpaceError("cost.params", problem)
    return Operation(name, "own", symbol, own_cost=cost)


def _checked_cost(cost: OperationCost, channels: int, pixels: int) -> Cost:
    try:
        found = cost(channels, pixels)
    except Exception as error:
        case = f"with {channels} channels and {pixels} pixels, {raised(error)}"
        raise SpaceError("cost", f"{case}; allowed: Cost(madds, params)") from error
    if not isinstance(found, Cost):
        raise SpaceError("cost", f"{shown(found)}; allowed: Cost(madds, params)")
    for what, value in found._asdict().items():
        check_integer(f"cost.{what}", value, 0, MAX_COUNT)
    return found


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
    return f"unknown operation {shown(name)}; {offered(name, OPERATIONS)}{hint}"
