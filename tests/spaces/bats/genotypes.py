"""The cells of BATS, as a third party transcribed them from the paper, and networks of them."""

from dataclasses import replace

from autospace.spaces import Architecture, LayerSpec, Skeleton, Stem, load_skeleton
from autospace.spaces.cells.bats import GROUPED, SEPARABLE, BatsCell
from tests.spaces.darts.genotypes import Pairs, network, written

GC3, GC5, DGC5 = "sep_conv_3x3", "sep_conv_5x5", "dil_conv_5x5"
MAX, AVG = "max_pool_3x3", "avg_pool_3x3"
NORMAL: Pairs = (
    (GC5, 0), (DGC5, 1),
    (MAX, 0), (MAX, 2),
    (GC5, 0), (DGC5, 2),
    (GC3, 0), (DGC5, 1),
)  # fmt: skip
REDUCE: Pairs = (
    (MAX, 0), (GC3, 1),
    (GC5, 0), (AVG, 1),
    (GC5, 1), (MAX, 3),
    (GC5, 0), (GC5, 1),
)  # fmt: skip
BATS = written(NORMAL, REDUCE)


def cells(names: dict[str, str]) -> tuple[BatsCell, BatsCell]:
    """Both cells, with these operations in the place of those of DARTS."""
    normal, reduce = (
        BatsCell.of([(names[name], source) for name, source in pairs]) for pairs in (NORMAL, REDUCE)
    )
    return normal, reduce


def bats(name: str) -> Architecture:
    """The cells of BATS on a built-in skeleton."""
    return network(*cells(dict(GROUPED)), replace(load_skeleton(name), nodes=None))


def separable(name: str) -> Architecture:
    """The same graph with separable convolutions."""
    return network(*cells(dict(SEPARABLE)), replace(load_skeleton(name), nodes=None))


TINY = Skeleton(
    "tiny",
    2,
    9,
    3,
    Stem(6, 1),
    (LayerSpec(4), LayerSpec(6, 2), LayerSpec(6), LayerSpec(6)),
    ties=(0, 1, 0, 0),
    chain=2,
    concat=4,
    binary_groups=2,
)
