"""Calibrated scoring: against its formula written out with another scorer's numbers."""

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from autospace.compute.execution import Microbatches
from autospace.scorers import probe
from autospace.scorers.context import ScoringContext
from autospace.scorers.make import make_scorer
from autospace.scorers.probe import (
    LEAST_WORTH,
    SENSITIVITY_BATCHES,
    Calibrated,
    layer_sensitivities,
)
from autospace.spaces import Cell, cell_cost, cell_key, mbconv
from autospace.spaces.cells.family import FAMILIES
from tests.scorers.conftest import SKELETON, MakeSetting

Table = list[list[float]]
PROJECTION = Cell.from_edges([(0, 3, "skip_connect")], expansion=1)
LEAST = [Cell.from_edges([], expansion=1), PROJECTION, Cell.from_edges([], expansion=1)]
"""The cheapest cells of the three layers, of which the second has no shortcut."""


class Told:
    """A scorer whose fitness is a number of the cell's key, times a factor per layer."""

    def __init__(self, factors: Sequence[float]) -> None:
        self.factors = factors

    def value(self, layer: int, cell: Cell) -> float:
        """Between -1 and 1; 0 for the reference."""
        key = cell_key(cell, SKELETON.shapes[layer])
        if key == cell_key(mbconv(3, 3), SKELETON.shapes[layer]):
            return 0.0
        if key == cell_key(LEAST[layer], SKELETON.shapes[layer]):
            return -self.factors[layer]
        return math.sin(sum(map(ord, key))) * self.factors[layer]

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> Table:
        """The numbers."""
        return [[self.value(i, cell) for cell in row] for i, row in enumerate(candidates)]


def sensitivities(context: ScoringContext) -> list[float]:
    """By hand: the gradient of each image's loss with respect to the output of each layer."""
    found: Table = []
    for step in range(SENSITIVITY_BATCHES):
        images, labels = context.validation.batch(step)
        kept: list[torch.Tensor] = []
        changes: list[torch.Tensor] = []
        x = context.reference.stem(images)
        for layer, shape in enumerate(SKELETON.shapes):
            y = context.reference.cell(layer)(x)
            changes.append(torch.zeros_like(y, requires_grad=True))
            kept.append(y.detach())
            y = y + changes[-1]
            x = x + y if shape.shortcut else y
        logits = context.reference.classify(x)
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        gradients = torch.autograd.grad(loss, changes)
        found.append(
            [
                float(y.square().mean().sqrt() * g.square().mean().sqrt()) * y[0].numel()
                for y, g in zip(kept, gradients, strict=True)
            ]
        )
    return [statistics.fmean(row) for row in zip(*found, strict=True)]


def test_sensitivities_are_those_of_the_outputs_and_their_gradients(
    make_setting: MakeSetting,
) -> None:
    context = make_setting("calibrated")
    torch.testing.assert_close(
        torch.tensor(layer_sensitivities(context)), torch.tensor(sensitivities(context))
    )


def by_hand(context: ScoringContext, told: Told, cells: list[list[Cell]]) -> Table:
    """The formula: S_l (f / f_least + w log(p / p_r) / log(p_least / p_r)), in the mean unit."""
    weights = sensitivities(context)

    def log(layer: int, cell: Cell) -> float:
        shape = SKELETON.shapes[layer]
        params = [cell_cost(each, shape).params for each in (cell, mbconv(3, 3))]
        return math.log1p(params[0]) - math.log1p(params[1])

    worths = [max(LEAST_WORTH, factor) for factor in told.factors]
    unit = statistics.fmean(worths) / statistics.fmean(weights)
    w = context.options.shrinkage
    return [
        [
            unit
            * weights[layer]
            * (
                told.value(layer, cell) / worths[layer]
                - w * log(layer, cell) / log(layer, LEAST[layer])
            )
            for cell in row
        ]
        for layer, row in enumerate(cells)
    ]


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 3.0])
def test_fitness_is_the_formula(
    make_setting: MakeSetting, cells: list[list[Cell]], shrinkage: float
) -> None:
    context = make_setting("calibrated", shrinkage=shrinkage)
    told = Told([1.0, 0.01, 30.0])
    found = Calibrated(told, context).score(cells, 0)
    for row, expected in zip(found, by_hand(context, told, cells), strict=True):
        assert row == pytest.approx(expected, rel=1e-5)


def test_the_scale_of_a_layer_does_not_matter_but_for_the_common_unit(
    make_setting: MakeSetting, cells: list[list[Cell]]
) -> None:
    context = make_setting("calibrated")
    plain, skewed = (
        Calibrated(Told(factors), context).score(cells, 0)
        for factors in ([1.0, 1.0, 1.0], [1.0, 100.0, 0.06])
    )
    ratios = {
        round(a / b, 6)
        for one, two in zip(plain, skewed, strict=True)
        for a, b in zip(one, two, strict=True)
        if b
    }
    assert len(ratios) == 1


def test_the_references_own_cell_has_fitness_zero(make_setting: MakeSetting) -> None:
    found = make_scorer(make_setting("calibrated")).score([[mbconv(3, 3)]] * 3, 0)
    assert [value for (value,) in found] == pytest.approx([0.0] * 3, abs=1e-6)


def test_within_a_layer_it_orders_as_a_probe_where_nothing_is_shrunk(
    make_setting: MakeSetting, cells: list[list[Cell]]
) -> None:
    probe = make_scorer(make_setting("probe")).score(cells, 0)
    found = make_scorer(make_setting("calibrated", shrinkage=0.0)).score(cells, 0)
    for row, plain in zip(found, probe, strict=True):
        factors = {round(a / b, 4) for a, b in zip(row, plain, strict=True)}
        assert len(factors) == 1
        assert factors.pop() > 0


def test_the_cheapest_cells_have_minus_the_sensitivity_where_nothing_is_shrunk(
    make_setting: MakeSetting,
) -> None:
    context = make_setting("calibrated", shrinkage=0.0)
    found = Calibrated(Told([2.0, 0.3, 5.0]), context).score([[cell] for cell in LEAST], 0)
    weights = sensitivities(context)
    total = sum(value for (value,) in found)
    assert [value / total for (value,) in found] == pytest.approx(
        [weight / sum(weights) for weight in weights], rel=1e-5
    )
    # The average layer keeps its unit: the three were worth 2, 0.3 and 5.
    assert -total == pytest.approx(7.3)


def test_no_cell_is_cheaper_than_the_least_of_its_layer() -> None:
    rng = random.Random(0)
    prior = FAMILIES["mobile"].prior(FAMILIES["mobile"].usual)
    for shape, least in zip(SKELETON.shapes, LEAST, strict=True):
        assert FAMILIES["mobile"].least(shape) == least
        FAMILIES["mobile"].check(least, shape)
        cheapest = cell_cost(least, shape)
        for _ in range(200):
            cost = cell_cost(FAMILIES["mobile"].random_cell(prior, rng), shape)
            assert cost.madds >= cheapest.madds
            assert cost.params >= cheapest.params


@pytest.mark.parametrize("method", ["calibrated", "probe", "local", "in-place"])
def test_the_zero_cell_can_be_scored_and_is_worse_than_the_reference(
    make_setting: MakeSetting, method: str
) -> None:
    zero = Cell.from_edges([], expansion=1)
    found = make_scorer(make_setting(method, steps=20)).score([[zero], [], [zero]], 0)
    assert found[1] == []
    assert found[0][0] < 0
    assert math.isfinite(found[2][0])


def test_large_images_give_the_same_sensitivities_in_parts(
    make_setting: MakeSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_setting("calibrated")
    whole = layer_sensitivities(context)
    sizes: list[int] = []
    trace = context.reference.trace

    def counted(images: torch.Tensor) -> object:
        sizes.append(len(images))
        return trace(images)

    monkeypatch.setattr(context.reference, "trace", counted)
    monkeypatch.setattr(probe, "TRACED_PIXELS", 4 * context.reference.skeleton.resolution**2)
    assert layer_sensitivities(context) == pytest.approx(whole, rel=1e-5)
    assert max(sizes) <= 4


def test_a_lack_of_memory_divides_parts_further(
    make_setting: MakeSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    context = make_setting("calibrated")
    whole = layer_sensitivities(context)
    parts = Microbatches(said.append)
    context = replace(context, execution=replace(context.execution, parts=parts))
    trace = context.reference.trace

    def short(images: torch.Tensor) -> object:
        if len(images) > 4:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return trace(images)

    monkeypatch.setattr(context.reference, "trace", short)
    assert layer_sensitivities(context) == pytest.approx(whole, rel=1e-5)
    assert said
