"""The page docs/evidence/nasbench201.md against what its scripts measured."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from autospace.evaluators.tabular import read_table
from tests.spaces.dense.nasbench201 import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "evidence" / "nasbench201.md").read_text(encoding="utf-8")


def _result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))


ZERO_COST, SUBSPACES = _result("nasbench201_zero_cost"), _result("nasbench201_subspace")


@pytest.mark.parametrize("score", ["naswot", "synflow", "snip", "grad_norm", "jacob_cov"])
def test_correlations_follow_from_the_scores_and_are_those_of_the_page(score: str) -> None:
    assert len(set(ZERO_COST["strings"])) == ZERO_COST["networks"] == 100
    row = re.search(rf"^\| `{score}` \| ([\d.]+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert row is not None
    for definition, shown in (("ours", row[1]), ("released", row[2])):
        name = f"{score}, {definition}"
        if name not in ZERO_COST["scores"]:
            continue
        values, published = ZERO_COST["scores"][name], ZERO_COST["published"][score]
        found = spearmanr(values, published).statistic
        assert found == pytest.approx(ZERO_COST["spearman"][name], abs=2e-3)
        assert f"{ZERO_COST['spearman'][name]:.3f}" == shown


def test_scores_of_the_published_definition_agree() -> None:
    same = {"naswot, ours", *(name for name in ZERO_COST["spearman"] if "released" in name)}
    assert len(same) == 5
    assert all(ZERO_COST["spearman"][name] >= 0.95 for name in same)


def test_learned_operations_are_those_of_the_page_and_their_truth_is_the_tables() -> None:
    scores = 100 * read_table("nasbench201-200epochs").scores[:, 0].reshape((5,) * 6)
    rows = re.findall(r"^\| (\d) \| ([\d.]+) \| ([\d.]+) \| (\d+) % \|$", PAGE, re.MULTILINE)
    assert len(rows) == len(SUBSPACES) == 3
    for (seed, mean, best, share), found in zip(rows, SUBSPACES, strict=True):
        kept = [[OPERATIONS.index(name) for name in row] for row in found["kept"]]
        part = scores[np.ix_(*kept)]
        assert part.mean() == pytest.approx(found["mean accuracy"], abs=1e-3)
        assert part.max() == pytest.approx(found["best accuracy"], abs=1e-3)
        lower = found["share of sub-spaces with a lower mean"]
        assert (seed, mean, best, share) == (
            str(found["seed"]),
            f"{found['mean accuracy']:.2f}",
            f"{found['best accuracy']:.2f}",
            f"{100 * lower:.0f}",
        )
