"""Scorers train for the task of their context, whatever it is."""

from dataclasses import replace

import pytest

from autospace.scorers.make import SCORERS, make_scorer
from autospace.scorers.pooled import INDEPENDENT
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces.cells.cell import Cell
from tests.scorers.conftest import MakeSetting
from tests.training.test_task import Opposite


# `distilled` has no labels: it imitates the features of the reference.
@pytest.mark.parametrize("method", [method for method in SCORERS if method != "distilled"])
def test_every_scorer_asks_the_task_for_its_loss(
    method: ScoringMethod, make_setting: MakeSetting, cells: list[list[Cell]]
) -> None:
    task = Opposite()
    plain = make_setting(method=method)
    found = make_scorer(replace(plain, task=task)).score(cells, 0)
    assert task.asked > 0
    if method in INDEPENDENT:
        assert found != make_scorer(plain).score(cells, 0)
