"""What is reported of a sub-space of NAS-Bench-Macro, against the draws of a comparison."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autospace.comparison.matching import draw, match
from autospace.evaluators.tabular import read_table
from autospace.spaces import load
from tests.benchmarks.scripts import script

__all__ = ["script"]


@pytest.mark.parametrize("way", [(0, 0, 0, 0, 2, 2, 2, 2), (2, 0, 2, 0, 0, 2, 0, 2)])
def test_the_gain_at_equal_madds_is_the_mean_of_matched_draws(
    script: Any, way: tuple[int, ...]
) -> None:
    macro, table = script("macro_report"), read_table("nasbench-macro")
    whole = load("nasbench-macro@nasbench-macro")
    layers = tuple(
        replace(layer, candidates=tuple(layer.candidates[index] for index in macro.KEPT[each]))
        for layer, each in zip(whole.layers, way, strict=True)
    )
    pools = [draw(space, 0) for space in (replace(whole, layers=layers), whole)]
    tuples = match([pool.madds for pool in pools], 0).tuples
    of_part = np.array([macro.KEPT[each] for each in way])[np.arange(len(way)), pools[0].choices]
    powers = 3 ** np.arange(len(way) - 1, -1, -1)
    accuracy = table.scores.mean(axis=1)
    found = [accuracy[(each * powers).sum(axis=1)] for each in (of_part, pools[1].choices)]
    differences = 100 * (found[0][tuples[:, 0]] - found[1][tuples[:, 1]])
    error = differences.std() / len(differences) ** 0.5
    assert macro.at_equal_madds(way) == pytest.approx(differences.mean(), abs=4 * error + 0.02)
