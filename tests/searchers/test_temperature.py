"""The temperature of every softmax over candidates: T = 1 changes no bit, T -> 0 is the argmax."""

import math
import random
from collections import Counter

import pytest
import torch

from autospace.scorers.mixture import MixtureSearch
from autospace.searchers.gradient.gates import draw
from autospace.searchers.gradient.proxyless import Proxyless, keep_mass
from autospace.searchers.gradient.search import Alphas, CostOptions, GradientSearch
from autospace.searchers.make import make_method
from tests.searchers.problems import make_problem
from tests.searchers.slopes import SMALL, double_method, gate_slopes, slopes

LOWEST = 1e-3


def alphas(temperature: float) -> Alphas:
    return Alphas(make_problem(SMALL), 5.0, 10, (0.5, 0.999), temperature)


@pytest.mark.parametrize("temperature", [0.2, 0.7, 3.0])
def test_probabilities_are_those_of_the_equation(temperature: float) -> None:
    found = alphas(temperature)
    for row, value, logs in zip(
        found.probabilities, found.values, found.log_probabilities, strict=True
    ):
        powers = [math.exp(each / temperature) for each in value.tolist()]
        by_hand = [power / sum(powers) for power in powers]
        assert row.tolist() == pytest.approx(by_hand, rel=1e-12)
        assert [math.exp(each) for each in logs] == pytest.approx(by_hand, rel=1e-12)


def test_at_one_no_bit_is_different() -> None:
    found = alphas(1.0)
    for row, value in zip(found.probabilities, found.values, strict=True):
        assert torch.equal(row, value.softmax(0))
        (ours,) = torch.autograd.grad(row[0], value)
        (plain,) = torch.autograd.grad(value.softmax(0)[0], value)
        assert torch.equal(ours, plain)


def test_towards_zero_all_weight_is_on_the_largest() -> None:
    found = alphas(LOWEST)
    for value in found.values:
        value.detach().copy_(torch.tensor([0.1, 0.5, 0.3], dtype=torch.float64)[: len(value)])
    for row, value in zip(found.probabilities, found.values, strict=True):
        first = torch.nn.functional.one_hot(value.argmax(), len(value)).double()
        assert torch.allclose(row, first, rtol=0, atol=1e-30)
        assert all(math.isfinite(log) for log in found.log_probabilities[0])
        assert torch.autograd.grad(row.max(), value)[0].isfinite().all()
    choices = make_problem(SMALL).choices
    paths = Counter(
        draw(choices, found.log_probabilities, random.Random(seed)).path for seed in range(50)
    )
    assert paths == {tuple(int(value.argmax()) for value in found.values): 50}


def test_darts_gradient_is_the_slope_at_its_temperature() -> None:
    method = double_method("darts", options={"temperature": 0.2})
    images, labels = method.problem.validation.batch(0)
    supernet = method.weights.supernet
    supernet.train()

    @torch.no_grad()
    def loss(rows: list[torch.Tensor]) -> torch.Tensor:
        mixes = [(row / 0.2).softmax(0) for row in rows]
        return torch.nn.functional.cross_entropy(supernet.mixture(images, mixes), labels)

    exact = slopes(loss, method.alphas.values)
    for row, slope in zip(method.gradients(0), exact, strict=True):  # type: ignore[attr-defined]
        assert torch.allclose(row, slope, rtol=1e-4, atol=1e-7)


def test_proxyless_gradient_has_the_factor_one_over_t() -> None:
    method = double_method("proxyless", options={"temperature": 0.5, "gates": "full"})
    assert isinstance(method, Proxyless)
    method._cost._options = replace_weight(method)
    batch, path = method.problem.validation.batch(0), method.problem.choices.draw(random.Random(0))
    seen = tuple(tuple(range(size)) for size in method.problem.choices.sizes)
    found = method.gradients(*batch, path, seen)
    for row, value, gates in zip(
        found, method.alphas.values, gate_slopes(method, batch, path), strict=True
    ):
        if row is None:
            continue
        p = (value.detach() / 0.5).softmax(0)
        assert torch.allclose(row, p * (gates - (gates * p).sum()) / 0.5, rtol=1e-4, atol=1e-7)


def replace_weight(method: Proxyless) -> CostOptions:
    return method._cost._options.model_copy(update={"cost_weight": 0.0})


def test_other_probabilities_stay_when_two_move() -> None:
    before = torch.tensor([0.3, -0.2, 0.9, 0.0], dtype=torch.float64)
    alpha = before.clone()
    alpha[0], alpha[2] = 1.5, 0.1
    keep_mass(alpha, before, torch.tensor((0, 2)), 0.2)
    then, now = (before / 0.2).softmax(0), (alpha / 0.2).softmax(0)
    assert torch.allclose(then[[1, 3]], now[[1, 3]], rtol=1e-12)


@pytest.mark.parametrize("name", ["darts", "proxyless"])
def test_a_search_at_another_temperature_is_another_search(name: str) -> None:
    values = []
    for temperature in (1.0, 0.2):
        options = {"temperature": temperature, "warm_up": 0.0, "alpha_every": 1}
        method = make_method(make_problem(SMALL, method=name, options=options))
        assert isinstance(method, GradientSearch)
        for index in range(method.steps):
            method.step(index)
        values.append(torch.cat(method.alphas.values).detach())
    assert not torch.equal(*values)


def test_the_mixture_scorer_divides_by_it() -> None:
    search = MixtureSearch.__new__(MixtureSearch)
    search._temperature = LOWEST
    assert search._weights(torch.tensor([0.0, 0.4, 0.2])).tolist() == [0.0, 1.0, 0.0]
    search._temperature = 1.0
    alpha = torch.tensor([0.0, 0.4, 0.2])
    assert torch.equal(search._weights(alpha), alpha.softmax(0))
