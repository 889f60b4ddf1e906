"""The cost term of scorers that do not train with it."""

from collections.abc import Sequence

import pytest

from autospace.evolution.settings import make_config
from autospace.runs.errors import ConfigError
from autospace.scorers.context import relative_costs
from autospace.scorers.make import CostAware, LayerPriced, make_scorer
from autospace.scorers.scorer import SUPERNETS, ScoringMethod
from autospace.spaces import Cell, cell_cost, mbconv
from autospace.spaces.cells.family import FAMILIES
from tests.scorers.conftest import IN_REFERENCE, SKELETON, MakeSetting

mobile = FAMILIES["mobile"]


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


@pytest.mark.parametrize("method", IN_REFERENCE)
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


class ByLayer:
    """Scores the cheapest cell of a layer by what the layer is worth, and any other with 0.25."""

    def __init__(self, worths: Sequence[float]) -> None:
        self.worths, self.calls = worths, 0

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        del repeat
        self.calls += 1
        least = [mobile.least(shape) for shape in SKELETON.shapes]
        return [
            [-worth if cell == cheapest else 0.25 for cell in cells]
            for cells, cheapest, worth in zip(candidates, least, self.worths, strict=True)
        ]


def test_every_layer_pays_in_shares_of_what_it_is_worth(make_setting: MakeSetting) -> None:
    inner = ByLayer([2.0, 0.5, -1.0])  # the last one is better without the reference's cell
    scorer = LayerPriced(inner, make_setting(layer_price=0.2))
    cheap, equal, dear = mbconv(3, 1), mbconv(3, 3), mbconv(7, 6)
    for _ in range(2):
        found = scorer.score([[cheap, equal, dear]] * 3, 0)
    assert inner.calls == 3  # the cheapest cells were scored once
    for row, shape, worth in zip(found, SKELETON.shapes, (2.0, 0.5, 0.0), strict=True):
        madds = [cell_cost(cell, shape).madds for cell in (cheap, equal, dear)]
        wanted = [0.25 - 0.2 * worth * (each / madds[1] - 1) for each in madds]
        assert row == pytest.approx(wanted)


@pytest.mark.parametrize("method", IN_REFERENCE)
def test_the_price_changes_no_more_than_what_it_says(
    make_setting: MakeSetting, method: ScoringMethod
) -> None:
    row = [mbconv(3, 1), mbconv(3, 3), mbconv(7, 6)]
    least = [[mobile.least(shape)] for shape in SKELETON.shapes]
    free = make_scorer(make_setting(method, steps=4))
    worths = [max(0.0, -value) for (value,) in free.score(least, 0)]
    before = free.score([row] * 3, 0)
    after = make_scorer(make_setting(method, steps=4, layer_price=0.5)).score([row] * 3, 0)
    for place, (shape, worth) in enumerate(zip(SKELETON.shapes, worths, strict=True)):
        madds = [cell_cost(cell, shape).madds for cell in row]
        wanted = [0.5 * worth * (each / madds[1] - 1) for each in madds]
        paid = [old - new for old, new in zip(before[place], after[place], strict=True)]
        assert paid == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("method", SUPERNETS)
def test_kept_weights_are_not_trained_for_a_price(method: ScoringMethod) -> None:
    scoring = {"method": method, "weights": "kept"}
    with pytest.raises(
        ConfigError, match=r"scoring\.layer_price: 0\.2, .* the kept weights; allowed"
    ):
        make_config({"scoring": {**scoring, "layer_price": 0.2}})
    assert make_config({"scoring": scoring}).scoring.layer_price == 0


@pytest.mark.parametrize("method", ["mixture", "gated", "probe"])
def test_both_prices_are_paid_once(make_setting: MakeSetting, method: ScoringMethod) -> None:
    row = [mbconv(3, 1), mbconv(7, 6)]
    plain, priced = (
        make_scorer(make_setting(method, steps=3, cost_weight=0.5, layer_price=layer_price)).score(
            [row] * 3, 0
        )
        for layer_price in (0.0, 1e-9)
    )
    assert priced == [pytest.approx(each, abs=1e-6) for each in plain]
