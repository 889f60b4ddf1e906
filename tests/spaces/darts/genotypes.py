"""Genotypes that were published, as their authors wrote them, and the networks that they make."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autospace.spaces import Architecture, Candidate, LayerSpec, Skeleton, Stem, load_skeleton
from autospace.spaces.cells.darts_cell import DartsCell

Pairs = Sequence[tuple[str, int]]

# Liu et al., "DARTS", ICLR 2019: the cells of the second-order search.
V2_NORMAL: Pairs = (
    ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 0), ("sep_conv_3x3", 1),
    ("sep_conv_3x3", 1), ("skip_connect", 0),
    ("skip_connect", 0), ("dil_conv_3x3", 2),
)  # fmt: skip
V2_REDUCE: Pairs = (
    ("max_pool_3x3", 0), ("max_pool_3x3", 1),
    ("skip_connect", 2), ("max_pool_3x3", 1),
    ("max_pool_3x3", 0), ("skip_connect", 2),
    ("skip_connect", 2), ("max_pool_3x3", 1),
)  # fmt: skip


def written(normal: Pairs, reduce: Pairs, ends: str = "range(2, 6)") -> str:
    """The text of a genotype, as programs of this kind print it."""
    return (
        f"Genotype(normal={list(normal)}, normal_concat={ends}, "
        f"reduce={list(reduce)}, reduce_concat={ends})"
    )


DARTS_V2 = written(V2_NORMAL, V2_REDUCE)


def network(normal: DartsCell, reduce: DartsCell, skeleton: Skeleton) -> Architecture:
    """A network of two whole cells, chosen by the stride of the layer."""
    # Where cells are typed, they are those of family `mobile`.
    one: Any = normal
    other: Any = reduce
    cells = {1: Candidate("normal", one), 2: Candidate("reduce", other)}
    return Architecture(skeleton, tuple(cells[shape.stride] for shape in skeleton.shapes))


def darts_v2(name: str) -> Architecture:
    """DARTS_V2 on a built-in skeleton."""
    whole = replace(load_skeleton(name), nodes=None)
    return network(DartsCell.of(V2_NORMAL), DartsCell.of(V2_REDUCE), whole)


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
)
"""Four layers, of which the second halves an odd resolution; all but that one share a cell."""
