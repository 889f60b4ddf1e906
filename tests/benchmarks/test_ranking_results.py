"""The ranking study that the repository ships: its cells are cells, its costs are right."""

import json
from pathlib import Path
from typing import Any

import pytest

from autospace.scorers.scorer import ScoringConfig
from autospace.spaces import LayerShape, cell_cost
from autospace.spaces.cells.mobile import CellDocument, cell_from

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "ranking.json"
SHAPES = {
    "early": LayerShape("layer_00", 16, 16, 1, 16),
    "stride 2": LayerShape("layer_01", 16, 32, 2, 16),
    "late": LayerShape("layer_02", 32, 32, 1, 8),
}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return dict(json.loads(RESULTS.read_text()))


@pytest.mark.parametrize("layer", SHAPES)
def test_cells_and_costs_of_the_ground_truth_are_those_of_today(
    found: dict[str, Any], layer: str
) -> None:
    assert len(found["cells"][layer]) >= 24
    for row in found["cells"][layer]:
        cell = cell_from(CellDocument.model_validate(row["cell"]))
        assert cell_cost(cell, SHAPES[layer]) == (row["madds"], row["params"], 0)


def test_a_probe_ranks_better_than_counting_and_than_the_other_scorers(
    found: dict[str, Any],
) -> None:
    """The default scorer shrinks what a probe measures; this study had no part in that."""
    tau = {row["predictor"]: row["tau"] for row in found["predictors"]}
    others = ("madds", "params", "random", "local", "in-place", "gated", "mixture")
    assert tau["probe"] > max(tau[name] for name in others)


def test_the_default_scorer_ranks_best_where_nothing_was_chosen() -> None:
    found = json.loads((RESULTS.parent / "nasbench201_fitness.json").read_text())
    mean = {
        name: sum(sum(row[kind]) / len(row[kind]) for kind in ("tau", "inside"))
        for name, row in found.items()
    }
    others = ("MAdds", "params", "probe", "local")
    assert mean[ScoringConfig().method] > max(mean[name] for name in others)
