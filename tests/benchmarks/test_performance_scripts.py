"""The scripts behind docs/evidence/performance.md: what they count, and how they fit."""

from typing import Any

import pytest

from autospace.spaces import Cell, LayerShape, mbconv
from tests.benchmarks.scripts import script

__all__ = ["script"]

SHAPE = LayerShape("layer", 2, 2, 1, 4)


def test_passes_over_memory_are_those_of_a_count_by_hand(script: Any) -> None:
    floor = script("floor")
    # 32 numbers enter, 96 are inside: expansion, convolution, projection, and the last norm, whose
    # output is written.
    by_hand = (3 * 32 + 3 * 96) + (3 * 96 + 3 * 96) + (3 * 96 + 3 * 32) + 4 * 32
    assert floor.passes(mbconv(3, 3).pruned(), SHAPE) == by_hand
    gated = Cell.from_edges([(0, 3, "dw_conv_3x3")], mix=("sum", "sum", "gate"), expansion=3)
    assert floor.passes(gated.pruned(), SHAPE) == by_hand + 6 * 96
    pooled = Cell.from_edges([(0, 3, "max_pool_3x3")], expansion=1)
    assert floor.passes(pooled.pruned(), SHAPE) == 2 * (32 + 32) + (3 * 32 + 3 * 32) + 4 * 32
    two = [(0, 1, "dw_conv_3x3"), (0, 3, "skip_connect"), (1, 3, "dw_conv_3x3")]
    met = Cell.from_edges(two, expansion=1)
    # Two convolutions; the sum, of two terms, whose one norm reads its slope for itself.
    by_hand = 2 * (6 * 32) + (1 + 2 + 2) * 32 + 6 * 32 + 4 * 32
    assert floor.passes(met.pruned(), SHAPE) == by_hand


def test_exponents_are_those_of_power_laws(script: Any) -> None:
    generations = script("generations")
    for power in (0, 1, 2):
        points = [(size, 0.3 * size**power) for size in (1, 2, 4, 8)]
        assert generations.exponent(points) == pytest.approx(power)


def test_sizes_grow_one_at_a_time(script: Any) -> None:
    generations = script("generations")
    base = generations.BASE
    for what, value, size in generations.grown():
        unlike = [name for name in size.__slots__ if getattr(size, name) != getattr(base, name)]
        assert len(unlike) <= 1, what
        counts = {
            "layers": len(size.skeleton.layers),
            "candidates": size.candidates,
            "batch": size.batch,
            "pixels": size.resolution**2,
        }
        assert counts[what] == value
