"""The cost term of scorers that do not train with it."""

from collections.abc import Sequence

import pytest

from autospace.scorers.context import relative_costs
from autospace.scorers.make import SCORERS, CostAware, make_scorer
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell, cell_cost, mbconv
from tests.scorers.conftest import SKELETON, MakeSetting


class Constant:
    """Scores every cell alike."""

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        del repeat
        return [[0.25 for _ in layer] for layer in candidates]


def test_costs_are_shares_of_all_reference_cells() -> None:
    cheap, reference = mbconv(3, 1), mbconv(3, 3)
    costs = relative_costs(SKELETON.shapes, [[cheap, reference]] * 3)
    madds = [
        [cell_cost(cell, shape).madds for cell in (cheap, reference)] for shape in SKELETON.shapes
    ]
    assert sum(row[1] for row in costs) == pytest.approx(1)
    for found, wanted in zip(costs, madds, strict=True):
        assert found[0] / found[1] == pytest.approx(wanted[0] / wanted[1])


def test_a_cell_pays_for_what_it_costs_beyond_the_reference(make_setting: MakeSetting) -> None:
    setting = make_setting(cost_weight=0.1)
    cheap, equal, dear = mbconv(3, 1), mbconv(3, 3), mbconv(7, 6)
    found = CostAware(Constant(), setting).score([[cheap, equal, dear]] * 3, 0)
    whole = sum(cell_cost(equal, shape).madds for shape in SKELETON.shapes)
    for row, shape in zip(found, SKELETON.shapes, strict=True):
        more = [cell_cost(cell, shape).madds for cell in (cheap, equal, dear)]
        wanted = [0.25 - 0.1 * (madds - more[1]) / whole for madds in more]
        assert row == pytest.approx(wanted)
        assert row[0] > row[1] > row[2]


@pytest.mark.parametrize("method", [*SCORERS])
def test_the_weight_turns_every_scorer_towards_the_cheaper_cell(
    make_setting: MakeSetting, method: ScoringMethod
) -> None:
    row = [mbconv(3, 1), mbconv(7, 6)]
    free, charged = (
        make_scorer(make_setting(method, cost_weight=weight, steps=8)).score([row] * 3, 0)
        for weight in (0.0, 1.0)
    )
    for before, after in zip(free, charged, strict=True):
        assert after[0] - after[1] > before[0] - before[1]
