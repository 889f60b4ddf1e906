"""Gates: a path's own output, and the gradient of every gate against finite differences."""

import random

import pytest
import torch
from torch.nn import functional as F

from autospace.searchers.gradient.gates import gated_path
from autospace.searchers.problem import SearchProblem
from autospace.supernets.supernet import Supernet, frozen, space_supernet
from tests.searchers.problems import make_problem
from tests.searchers.slopes import one_hot, slopes


@pytest.fixture(scope="module")
def problem() -> SearchProblem:
    return make_problem()


@pytest.fixture(scope="module")
def supernet(problem: SearchProblem) -> Supernet:
    return space_supernet(problem.choices.space, 3, "cpu").double()


@pytest.fixture(scope="module")
def batch(problem: SearchProblem) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = problem.validation.batch(0)
    return images[:24].double(), labels[:24]


@pytest.mark.parametrize("seed", range(2))
def test_gate_gradients_are_those_of_the_mixture_at_its_corner(
    problem: SearchProblem, supernet: Supernet, batch: tuple[torch.Tensor, torch.Tensor], seed: int
) -> None:
    images, labels = batch
    path = problem.choices.draw(random.Random(seed))
    weights = [row.requires_grad_() for row in one_hot(problem, path)]
    seen = [range(size) for size in problem.choices.sizes]
    with frozen(supernet):
        logits = gated_path(supernet, images, path, weights, seen)
        found = torch.autograd.grad(F.cross_entropy(logits, labels), weights)

    def loss(rows: list[torch.Tensor]) -> torch.Tensor:
        return F.cross_entropy(supernet.mixture(images, rows), labels)

    exact = slopes(loss, one_hot(problem, path))
    for ours, theirs in zip(found, exact, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-8)
        assert theirs.abs().max() > 1e-6


def test_the_logits_and_gradients_of_the_weights_are_those_of_the_lone_path(
    problem: SearchProblem, supernet: Supernet, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    path = problem.choices.draw(random.Random(5))
    weights = [row.requires_grad_() for row in one_hot(problem, path)]
    seen = [range(size) for size in problem.choices.sizes]
    parameters = list(supernet.parameters())
    results = []
    for logits in (
        gated_path(supernet, images, path, weights, seen),
        supernet.single_path(images, path),
    ):
        loss = F.cross_entropy(logits, labels)
        results.append((logits, torch.autograd.grad(loss, parameters, allow_unused=True)))
    (logits, gradients), (alone, expected) = results
    assert torch.equal(logits, alone)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or theirs is None or torch.equal(ours, theirs)


def test_candidates_that_are_not_active_run_once_and_without_a_graph(
    problem: SearchProblem, supernet: Supernet, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    images, labels = batch
    path = (0,) * len(problem.choices.sizes)
    seen = [(0, 1, 2)] * len(path)
    runs: list[tuple[int, int, bool]] = []
    hooks = [
        module.register_forward_hook(
            lambda *_, place=(layer, index): runs.append((*place, torch.is_grad_enabled()))
        )
        for layer, modules in enumerate(supernet.choices)
        for index, module in enumerate(modules)
    ]
    weights = [row.requires_grad_() for row in one_hot(problem, path)]
    logits = gated_path(supernet, images, path, weights, seen)
    gradients = torch.autograd.grad(F.cross_entropy(logits, labels), weights)
    for hook in hooks:
        hook.remove()
    layers = range(len(path))
    assert sorted(runs) == sorted((layer, k, k == 0) for layer in layers for k in (0, 1, 2))
    for row in gradients:
        assert row[:3].abs().min() > 0
        assert row[3:].abs().max() == 0
