"""Insertion: the path is not disturbed; candidates and alphas get the gradients of the formula."""

import pytest
import torch
from torch.nn import functional as F

from autospace.searchers.petridish import path_with_insertions
from autospace.searchers.problem import SearchProblem
from autospace.spaces.choices import Choice
from autospace.supernets.supernet import Supernet, space_supernet
from tests.searchers.problems import make_problem
from tests.searchers.slopes import SMALL, gate_slopes_of, smoothen

PATH: Choice = (0, 1, 0)
Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def problem() -> SearchProblem:
    return make_problem(SMALL)


@pytest.fixture
def supernet(problem: SearchProblem) -> Supernet:
    found = space_supernet(problem.choices.space, 3, "cpu").double()
    smoothen(found)
    return found


@pytest.fixture(scope="module")
def batch(problem: SearchProblem) -> Batch:
    images, labels = problem.training.batch(0)
    return images.double(), labels


def _alphas(problem: SearchProblem) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [
        torch.rand(size, generator=generator, dtype=torch.float64).requires_grad_()
        for size in problem.choices.sizes
    ]


def _on_path(name: str) -> bool:
    starts = (f"candidates.{layer}.{index}." for layer, index in enumerate(PATH))
    return name.startswith(("network.", *starts))


def test_the_path_is_not_disturbed(
    problem: SearchProblem, supernet: Supernet, batch: Batch
) -> None:
    images, labels = batch
    results = []
    for logits in (
        supernet.single_path(images, PATH),
        path_with_insertions(supernet, images, PATH, _alphas(problem)),
    ):
        supernet.zero_grad(set_to_none=True)
        F.cross_entropy(logits, labels).backward()
        own = {
            name: weight.grad
            for name, weight in supernet.named_parameters()
            if _on_path(name) and weight.grad is not None
        }
        results.append((logits, own))
    (alone, expected), (logits, found) = results
    assert torch.equal(logits, alone)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert torch.equal(gradient, expected[name]), name


def test_what_is_new_gets_a_gradient(
    problem: SearchProblem, supernet: Supernet, batch: Batch
) -> None:
    images, labels = batch
    alphas = _alphas(problem)
    F.cross_entropy(path_with_insertions(supernet, images, PATH, alphas), labels).backward()
    for name, weight in supernet.named_parameters():
        if weight.ndim > 1 and not _on_path(name):
            assert weight.grad is not None, name
            assert weight.grad.abs().max() > 0, name
    for alpha, active in zip(alphas, PATH, strict=True):
        assert alpha.grad is not None
        others = [index for index in range(len(alpha)) if index != active]
        assert alpha.grad[active] == 0
        assert alpha.grad[others].abs().min() > 0


def test_alphas_get_the_slope_of_the_loss_towards_their_candidate(
    problem: SearchProblem, supernet: Supernet, batch: Batch
) -> None:
    images, labels = batch
    alphas = _alphas(problem)
    F.cross_entropy(path_with_insertions(supernet, images, PATH, alphas), labels).backward()
    exact = gate_slopes_of(supernet, problem, batch, PATH)
    for alpha, slopes, active in zip(alphas, exact, PATH, strict=True):
        assert alpha.grad is not None
        towards = slopes - slopes[active]
        assert torch.allclose(alpha.grad, towards, rtol=1e-5, atol=1e-8)


def test_candidates_get_their_share_of_the_gradient_at_the_output(
    problem: SearchProblem, supernet: Supernet, batch: Batch
) -> None:
    images, labels = batch
    alphas = _alphas(problem)
    F.cross_entropy(path_with_insertions(supernet, images, PATH, alphas), labels).backward()
    layer, other = 2, 1
    *features, _ = supernet.features(images, PATH)
    before = features[layer - 1].detach()
    output = features[layer].detach().requires_grad_()
    loss = F.cross_entropy(supernet.network.classify(output), labels)
    (g,) = torch.autograd.grad(loss, output)
    candidate = supernet.choices[layer][other]
    found = [weight.grad for weight in candidate.parameters()]
    expected = torch.autograd.grad(
        candidate(before), list(candidate.parameters()), alphas[layer][other].detach() * g
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is not None
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)
