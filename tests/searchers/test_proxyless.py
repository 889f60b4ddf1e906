"""ProxylessNAS: equation 4 by hand from finite differences, the two-path rescale, the options."""

import math
import random
from typing import Any

import pytest
import torch

from autospace.searchers.gradient.proxyless import Proxyless, keep_mass
from autospace.searchers.make import make_method
from autospace.spaces.choices import Choice, SearchError
from autospace.spaces.files.families import family_space
from tests.searchers.planted import solved
from tests.searchers.problems import SKELETON, make_problem
from tests.searchers.slopes import double_method, gate_slopes
from tests.slow import slowly

SPACE = family_space("mbconv", SKELETON)


def make(**options: Any) -> Proxyless:
    method = double_method("proxyless", options={"cost_weight": 0.0, **options})
    assert isinstance(method, Proxyless)
    return method


def zero_index(method: Proxyless, layer: int) -> int:
    modules = method.weights.supernet.choices[layer]
    return next(k for k, module in enumerate(modules) if module.project is None)


def path_without_zero(method: Proxyless, seed: int) -> Choice:
    rng = random.Random(seed)
    return tuple(
        rng.choice([k for k, module in enumerate(modules) if module.project is not None])
        for modules in method.weights.supernet.choices
    )


def test_full_gates_give_equation_4() -> None:
    method = make(gates="full")
    batch, path = method.problem.validation.batch(0), path_without_zero(method, 0)
    every = tuple(tuple(range(size)) for size in method.problem.choices.sizes)
    found = method.gradients(*batch, path, every)
    for row, gates, alpha in zip(
        found, gate_slopes(method, batch, path), method.alphas.values, strict=True
    ):
        p = [math.exp(a) / sum(map(math.exp, alpha.tolist())) for a in alpha.tolist()]
        exact = [
            sum(gates[j] * p[j] * ((i == j) - p[i]) for j in range(len(p))) for i in range(len(p))
        ]
        assert row is not None
        assert torch.allclose(row, torch.tensor(exact, dtype=torch.float64), rtol=1e-5, atol=1e-8)


def test_two_gates_give_equation_4_over_the_pair_alone() -> None:
    method = make()
    batch, path = method.problem.validation.batch(1), path_without_zero(method, 1)
    sizes = method.problem.choices.sizes
    seen = tuple(((k + 1) % size, k) for k, size in zip(path, sizes, strict=True))
    found = method.gradients(*batch, path, seen)
    slopes = gate_slopes(method, batch, path)
    for row, gates, alpha, (i, j) in zip(found, slopes, method.alphas.values, seen, strict=True):
        assert row is not None
        q = 1 / (1 + math.exp(float((alpha[j] - alpha[i]).detach())))
        slope = q * (1 - q) * float(gates[i] - gates[j])
        assert float(row[i]) == pytest.approx(slope, rel=1e-4, abs=1e-8)
        assert float(row[j]) == pytest.approx(-slope, rel=1e-4, abs=1e-8)
        others = [k for k in range(len(row)) if k not in (i, j)]
        assert not row[others].any()


def test_layers_whose_active_candidate_is_zero_get_no_gradient() -> None:
    method = make(gates="full")
    path = list(path_without_zero(method, 2))
    path[0] = zero_index(method, 0)
    every = tuple(tuple(range(size)) for size in method.problem.choices.sizes)
    first, *rest = method.gradients(*method.problem.validation.batch(0), tuple(path), every)
    assert first is None
    assert all(row is not None and row.any() for row in rest)


def test_an_alpha_step_over_two_paths_leaves_all_other_probabilities() -> None:
    method = make(alpha_travel=100.0)
    before = [value.detach().softmax(0) for value in method.alphas.values]
    method.alpha_step(1)
    for value, old in zip(method.alphas.values, before, strict=True):
        new = value.detach().softmax(0)
        moved = [k for k in range(len(old)) if abs(float(new[k] - old[k])) > 1e-12]
        assert len(moved) in (0, 2)  # none where Zero was active
        assert float(new[moved].sum()) == pytest.approx(float(old[moved].sum()), rel=1e-12)
    assert any(
        not torch.equal(value.detach().softmax(0), old)
        for value, old in zip(method.alphas.values, before, strict=True)
    )


def test_the_rescale_undoes_what_moves_both_alike() -> None:
    before = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64)
    alpha = before + torch.tensor([0.5, 0.0, 0.5], dtype=torch.float64)
    keep_mass(alpha, before, torch.tensor((2, 0)))
    assert torch.allclose(alpha, before, atol=1e-15)


@pytest.mark.parametrize("gates", ["two", "full"])
def test_the_cost_term_moves_alpha_to_cheaper_candidates(gates: str) -> None:
    problem = make_problem(
        method="proxyless",
        options={
            "gates": gates,
            "cost_form": "additive",
            "cost_weight": 1000.0,
            "alpha_every": 1,
            "alpha_travel": 30.0,
        },
        supernet={"steps": 40},
    )
    method = make_method(problem)
    for index in range(method.steps):
        method.step(index)
    cost, space = problem.choices.cost(method.ranked()[0].path), problem.choices.space
    assert cost.madds < space.madds.min + 0.1 * (space.madds.max - space.madds.min)


def test_the_cost_term_of_a_pair_is_that_of_its_share() -> None:
    method = make(cost_form="additive", cost_weight=2.0)
    free = make()
    sizes = method.problem.choices.sizes
    path = path_without_zero(method, 3)
    seen = tuple((k, (k + 1) % size) for k, size in zip(path, sizes, strict=True))
    batch = method.problem.validation.batch(0)
    target = method.problem.choices.space.madds.mean
    for row, base, alpha, layer, (i, j) in zip(
        method.gradients(*batch, path, seen),
        free.gradients(*batch, path, seen),
        method.alphas.values,
        method.problem.choices.space.layers,
        seen,
        strict=True,
    ):
        assert row is not None
        assert base is not None
        p = alpha.detach().softmax(0)
        difference = layer.costs[i].madds - layer.costs[j].madds
        slope = float(p[i] * p[j] / (p[i] + p[j])) * difference * 2.0 / target
        assert float((row - base)[i]) == pytest.approx(slope, rel=1e-6)
        assert float((row - base)[j]) == pytest.approx(-slope, rel=1e-6)


def test_alpha_moves_every_so_many_steps_after_the_warm_up() -> None:
    problem = make_problem(
        method="proxyless", options={"alpha_every": 3, "warm_up": 0.5}, supernet={"steps": 12}
    )
    method = make_method(problem)
    assert isinstance(method, Proxyless)
    moved = []
    for index in range(12):
        before = [value.detach().clone() for value in method.alphas.values]
        method.step(index)
        pairs = zip(before, method.alphas.values, strict=True)
        if not all(torch.equal(old, new.detach()) for old, new in pairs):
            moved.append(index)
    assert moved == [6, 9]


@pytest.mark.parametrize("gates", slowly("two", "full"))
def test_the_planted_candidates_are_found(gates: str) -> None:
    found = solved("proxyless", 0, 300, warm_up=0.4, gates=gates)
    assert found.share >= 0.8
    assert found.chance < 0.1


@pytest.mark.slow
def test_the_planted_candidates_are_found_by_most_seeds() -> None:
    shares = [solved("proxyless", seed, 400, warm_up=0.4).share for seed in range(8)]
    assert sum(shares) / len(shares) >= 0.8


@pytest.mark.parametrize("gates", ["two", "full"])
def test_weights_that_diverged_end_the_search_in_one_line(gates: str) -> None:
    method = make(gates=gates)
    method.alphas.values[0].data.fill_(math.nan)
    with pytest.raises(
        SearchError, match=r"supernet\.learning_rate: .* diverged at this rate; try"
    ):
        method.alpha_step(0)
