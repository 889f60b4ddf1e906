"""The script behind docs/evidence/predictor.md: what it counts as quality, and its table."""

from typing import Any

import pytest

from tests.benchmarks.scripts import script

__all__ = ["script"]


def row(seed: int, variant: str, fresh: float, sd: float | None = None) -> dict[str, Any]:
    """Two layers of two and one cells; the space states 0.5 of each, fresh scores differ."""
    first = [["a", 0.5, sd, [fresh, fresh + 0.2]], ["b", 0.5, sd, [fresh, fresh]]]
    second = [["c", 0.5, sd, [fresh - 0.1, fresh + 0.1]]]
    told = {"r2": 0.25, "tau": 0.5} if sd is not None else None
    return {"seed": seed, "variant": variant, "layers": [first, second], "predictor": told}


def test_quality_is_the_mean_over_cells_and_then_over_layers(script: Any) -> None:
    predictor = script("predictor")
    some = row(0, "default", 0.3)
    # The layers have means of (0.4 + 0.3) / 2 and 0.3.
    assert predictor.quality_of(some) == pytest.approx((0.35 + 0.3) / 2)
    assert predictor.stated_of(some) == pytest.approx(0.5)
    assert predictor.coverage_of(some) is None


def test_an_interval_holds_fresh_scores_with_their_own_error(script: Any) -> None:
    predictor = script("predictor")
    # Fresh means 0.4 +- 0.1, 0.3 +- 0 and 0.3 +- 0.1, against 0.5 +- 0.01: 0.1, 0.2 and 0.2 off.
    assert predictor.coverage_of(row(0, "shrink", 0.3, 0.01)) == pytest.approx(1 / 3)
    assert predictor.coverage_of(row(0, "shrink", 0.3, 0.2)) == 1


def test_the_table_holds_seeds_that_have_all_variants(script: Any) -> None:
    predictor = script("predictor")
    rows = [
        row(seed, name, 0.1 * (place == 1) + 0.01 * seed * place, 0.1 if place else None)
        for seed in (1, 2, 3)
        for place, name in enumerate(predictor.VARIANTS)
    ]
    head, _, _, _, default, second, *_ = predictor.report([*rows, row(9, "default", 0.5)]).split(
        "\n"
    )
    assert head == "3 seeds: 1, 2, 3"
    assert default.startswith("| default | 0.0250 | 0.0000 |  |  | +0.4750 |  |  |  |")
    # Gains of 0.11, 0.12 and 0.13; t is 4.303 with two degrees of freedom.
    assert second.startswith("| screen 4 | 0.1450 | 0.0100 | +0.1200 ± 0.0248 | 3 of 3 |")
    assert second.endswith("| 0.25 | 0.50 |")
