"""NASP: the gradient at the discrete point, the box, ties, exploration, the complexity term."""

import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.searchers.gradient.nasp import Nasp
from autospace.searchers.make import make_method
from tests.searchers.planted import solved
from tests.searchers.problems import make_problem
from tests.searchers.slopes import Rows, double_method, gate_slopes, one_hot, slopes


def make(**options: Any) -> Nasp:
    method = double_method("nasp", options=options)
    assert isinstance(method, Nasp)
    return method


def fresh(steps: int = 8, **options: Any) -> Nasp:
    method = make_method(make_problem(method="nasp", options=options, supernet={"steps": steps}))
    assert isinstance(method, Nasp)
    return method


def test_the_gradient_is_that_at_the_discrete_point() -> None:
    method = make()
    batch, path = method.problem.validation.batch(0), method.problem.choices.draw(random.Random(0))
    found = method.gradients(*batch, path)
    for row, exact in zip(found, gate_slopes(method, batch, path), strict=True):
        assert torch.allclose(row, exact, rtol=1e-5, atol=1e-8)


def test_the_complexity_term_is_differentiated_at_the_discrete_point() -> None:
    weight = 5.0
    method = make(complexity=weight)
    batch, path = method.problem.validation.batch(0), method.problem.choices.draw(random.Random(1))
    layers = method.problem.choices.space.layers

    @torch.no_grad()
    def loss(gates: Rows) -> torch.Tensor:
        images, labels = batch
        total = F.cross_entropy(method.weights.supernet.mixture(images, gates), labels)
        for row, layer in zip(gates, layers, strict=True):
            params = [cost.params for cost in layer.costs]
            terms = (p / sum(params) * a**2 for p, a in zip(params, row, strict=True))
            total = total + weight * sum(terms)
        return total

    exact = slopes(loss, one_hot(method.problem, path))
    for row, slope in zip(method.gradients(*batch, path), exact, strict=True):
        assert torch.allclose(row, slope, rtol=1e-5, atol=1e-8)


def test_alphas_stay_in_the_box() -> None:
    method = fresh(alpha_travel=50.0, warm_up=0.0)
    for index in range(method.steps):
        method.step(index)
    values = torch.cat(method.alphas.values)
    assert values.min() == 0
    assert values.max() == 1


def test_equals_are_chosen_among_at_random() -> None:
    method = fresh(epsilon=0.0)
    for alpha in method.alphas.values:
        alpha.detach().fill_(0.5)
        alpha.detach()[0] = 0.1
    seen = Counter(method.discrete(index, "weights")[0] for index in range(300))
    size = method.problem.choices.sizes[0]
    assert set(seen) == set(range(1, size))
    assert min(seen.values()) > 300 / size / 3


def test_the_largest_alpha_is_chosen_however_small_its_lead() -> None:
    method = fresh(epsilon=0.0)
    for alpha in method.alphas.values:
        alpha.detach()[2] += 1e-6
    paths = {method.discrete(index, "weights") for index in range(50)}
    assert paths == {(2,) * len(method.problem.choices.sizes)}


def test_exploration_starts_at_epsilon_and_ends_at_none() -> None:
    method = fresh(steps=1001, warm_up=0.0, epsilon=0.8)
    for alpha in method.alphas.values:
        alpha.detach()[0] = 1.0
    size = method.problem.choices.sizes[0]

    def share(steps: range) -> float:
        return sum(method.discrete(step, "weights")[0] != 0 for step in steps) / len(steps)

    # A random candidate is the best one with probability 1 / size.
    assert share(range(200)) == pytest.approx(0.9 * 0.8 * (1 - 1 / size), abs=0.1)
    assert share(range(400, 600)) == pytest.approx(0.5 * 0.8 * (1 - 1 / size), abs=0.1)
    assert method.discrete(1000, "weights")[0] == 0


def test_a_weight_step_runs_one_path() -> None:
    method = fresh(warm_up=0.0)
    runs: list[tuple[int, int]] = []
    for layer, modules in enumerate(method.weights.supernet.choices):
        for index, module in enumerate(modules):
            module.register_forward_hook(lambda *_, place=(layer, index): runs.append(place))
    method.weights.step(0, [method.weight_loss(0)])
    assert runs == list(enumerate(method.discrete(0, "weights")))


@pytest.mark.slow
def test_the_planted_candidates_are_found() -> None:
    found = solved("nasp", 0, 350, warm_up=0.4)
    assert found.share >= 0.8
    assert found.chance < 0.1


@pytest.mark.slow
def test_the_planted_candidates_are_found_by_most_seeds() -> None:
    shares = [solved("nasp", seed, 400, warm_up=0.4).share for seed in range(8)]
    assert sum(shares) / len(shares) >= 0.8
