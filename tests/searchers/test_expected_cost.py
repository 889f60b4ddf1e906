"""Expected cost against enumeration of all architectures, and its two losses by hand."""

import itertools
import math
import random

import pytest
import torch

from autospace.searchers.gradient.search import CostOptions, CostUnit, ExpectedCost
from autospace.spaces import Budget, Space
from autospace.spaces.choices import Choices, Limit, SearchError, limits_of
from autospace.spaces.files.families import family_space
from tests.searchers.problems import SKELETON

SPACE: Space = family_space("mbconv", SKELETON)
CPU = torch.device("cpu")
UNITS: tuple[CostUnit, ...] = ("madds", "ops")
LOSS = torch.tensor(1.25, dtype=torch.float64)


def latency(choices: Choices, most: float) -> Choices:
    rng = random.Random(0)
    table = tuple(tuple(rng.uniform(1, 3) for _ in range(size)) for size in choices.sizes)
    return Choices(choices.space, (Limit("max_latency_ms", most, 0.5, table),))


def probabilities(choices: Choices, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(size, generator=generator, dtype=torch.float64).softmax(0)
        for size in choices.sizes
    ]


@pytest.mark.parametrize("unit", ["madds", "params", "ops", "latency"])
def test_the_expected_cost_is_the_mean_over_all_architectures(unit: CostUnit) -> None:
    choices = Choices(family_space("binary", SKELETON) if unit == "ops" else SPACE)
    if unit == "latency":
        choices = latency(choices, 100)
    rows = probabilities(choices, 0)
    mean = 0.0
    for path in itertools.product(*map(range, choices.sizes)):
        p = math.prod(float(row[index]) for row, index in zip(rows, path, strict=True))
        if unit == "latency":
            (limit,) = choices.limits
            cost = limit.fixed + sum(row[k] for row, k in zip(limit.table, path, strict=True))
        else:
            cost = getattr(choices.cost(path), unit)
        mean += p * cost
    expected = ExpectedCost(choices, CostOptions(cost=unit), CPU).expected(rows)
    assert float(expected) == pytest.approx(mean, rel=1e-12)


def test_madds_of_binary_cells_are_their_ops() -> None:
    # They have the same MAdds, so that a term of MAdds would weigh nothing.
    space = family_space("binary", SKELETON)
    most = (space.ops.min + space.ops.max) // 2
    choices = Choices(space, limits_of(space, Budget(max_ops=most)))
    rows = probabilities(choices, 0)
    costs = [ExpectedCost(choices, CostOptions(cost=unit), CPU) for unit in UNITS]
    assert float(costs[0].expected(rows)) == float(costs[1].expected(rows))
    options = CostOptions(cost_form="additive", cost_weight=1.0)
    excess = float(costs[1].expected(rows)) / min(most, _mean(choices)) - 1
    assert float(ExpectedCost(choices, options, CPU).joined(LOSS, rows)) == pytest.approx(
        1.25 + excess
    )


def _mean(choices: Choices) -> float:
    even = [torch.full((size,), 1 / size, dtype=torch.float64) for size in choices.sizes]
    return float(ExpectedCost(choices, CostOptions(cost="ops"), CPU).expected(even))


def test_the_additive_loss_is_the_relative_excess_over_the_target() -> None:
    choices = Choices(SPACE)
    rows = probabilities(choices, 1)
    options = CostOptions(cost_form="additive", cost_weight=0.3, cost_target=50_000.0)
    cost = ExpectedCost(choices, options, CPU)
    expected = 1.25 + 0.3 * (float(cost.expected(rows)) - 50_000) / 50_000
    assert float(cost.joined(LOSS, rows)) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_the_excess_costs_above_the_target_and_nothing_below(share: float) -> None:
    choices = Choices(SPACE)
    rows = [row.requires_grad_() for row in probabilities(choices, 1)]
    expected = ExpectedCost(choices, CostOptions(), CPU).expected(rows).detach()
    target = float(share * expected)
    options = CostOptions(cost_weight=0.3, cost_target=target)
    loss = ExpectedCost(choices, options, CPU).joined(LOSS, rows)
    above = max(0.0, 1 / share - 1)
    assert float(loss.detach()) == pytest.approx(1.25 + 0.3 * above)
    slopes = torch.autograd.grad(loss, rows)
    for slope, layer in zip(slopes, SPACE.layers, strict=True):
        madds = slope.new_tensor([cost.madds for cost in layer.costs])
        assert torch.allclose(slope, 0.3 * madds / target if above else 0.0 * slope)


def test_the_multiplicative_loss_is_a_power_of_the_ratio_of_logarithms() -> None:
    choices = Choices(SPACE)
    rows = probabilities(choices, 2)
    options = CostOptions(
        cost_form="multiplicative", cost_weight=0.2, cost_exponent=0.7, cost_target=50_000.0
    )
    cost = ExpectedCost(choices, options, CPU)
    ratio = math.log(float(cost.expected(rows))) / math.log(50_000)
    assert float(cost.joined(LOSS, rows)) == pytest.approx(0.2 * 1.25 * ratio**0.7)


def test_without_a_weight_the_loss_is_left_alone() -> None:
    choices = Choices(SPACE)
    cost = ExpectedCost(choices, CostOptions(), CPU)
    assert cost.joined(LOSS, probabilities(choices, 3)) is LOSS


def test_the_target_is_the_limit_or_the_mean_of_the_space() -> None:
    options = CostOptions(cost_form="additive", cost_weight=1.0)
    limit = int(SPACE.madds.min + 1000)
    for choices, target in (
        (Choices(SPACE, limits_of(SPACE, Budget(max_madds=limit))), limit),
        (Choices(SPACE), SPACE.madds.mean),
    ):
        cost = ExpectedCost(choices, options, CPU)
        rows = probabilities(choices, 4)
        excess = float(cost.joined(LOSS, rows)) - 1.25
        assert excess == pytest.approx((float(cost.expected(rows)) - target) / target)


def test_latency_without_a_table_is_refused() -> None:
    with pytest.raises(SearchError, match=r"there is no latency table; allowed: madds"):
        ExpectedCost(Choices(SPACE), CostOptions(cost="latency"), CPU)


def test_multiplicative_is_refused_where_logarithms_turn_negative() -> None:
    choices = Choices(SPACE)
    table = tuple((0.1,) * size for size in choices.sizes)
    fast = Choices(SPACE, (Limit("max_latency_ms", 0.9, 0.1, table),))
    options = CostOptions(cost="latency", cost_form="multiplicative", cost_weight=0.1)
    with pytest.raises(SearchError, match=r"the lowest latency or target is 0\.4"):
        ExpectedCost(fast, options, CPU)
