"""Interference: exact cases, a supernet made to interfere, and what is left untouched."""

import itertools
import random

import pytest
import torch

from autospace.spaces import Budget
from autospace.spaces.choices import Choices, limits_of
from autospace.supernets.interference import draw_pair, gradient_cosine, interference
from autospace.supernets.shared_weights import SharedWeights
from autospace.supernets.supernet import fix_scale
from tests.searchers.problems import make_problem
from tests.searchers.slopes import SMALL


@pytest.fixture
def weights() -> SharedWeights:
    return SharedWeights(make_problem(SMALL))


def _gradient(weight: torch.Tensor) -> torch.Tensor:
    assert weight.grad is not None
    return weight.grad.flatten()


def test_identical_paths_agree(weights: SharedWeights) -> None:
    batch = weights.problem.training.batch(0)
    for seed in range(3):
        path = weights.problem.choices.draw(random.Random(seed))
        assert gradient_cosine(weights, path, path, batch) == pytest.approx(1, abs=1e-6)


def test_paths_without_a_common_cell_share_nothing(weights: SharedWeights) -> None:
    batch = weights.problem.training.batch(0)
    assert gradient_cosine(weights, (0, 0, 0), (1, 1, 1), batch) is None


def test_the_cosine_is_that_of_the_gradients_after_two_backward_passes(
    weights: SharedWeights,
) -> None:
    batch = weights.problem.training.batch(0)
    first, second = (0, 1, 0), (0, 1, 1)
    seen = []
    for path in (first, second):
        weights.supernet.zero_grad()
        weights.loss_of(path)(*batch).backward()
        cells = [weights.supernet.choices[layer][index] for layer, index in ((0, 0), (1, 1))]
        seen.append([torch.cat([_gradient(each) for each in cell.parameters()]) for cell in cells])
    exact = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in zip(*seen, strict=True)]
    found = gradient_cosine(weights, first, second, batch)
    assert found == pytest.approx(sum(exact) / 2, abs=1e-5)


@pytest.mark.parametrize("differing", [0, 1, 2, 3])
def test_pairs_differ_in_so_many_layers_and_are_allowed(differing: int) -> None:
    limited = Choices(SMALL, limits_of(SMALL, Budget(max_madds=int(SMALL.madds.mean))))
    for seed in range(50):
        pair = draw_pair(limited, differing, random.Random(seed))
        assert pair is not None
        assert sum(a != b for a, b in zip(*pair, strict=True)) == differing
        assert all(map(limited.allows, pair))
    assert draw_pair(limited, 4, random.Random(0)) is None


def test_agreement_falls_with_every_layer_that_differs(weights: SharedWeights) -> None:
    for modules in weights.supernet.choices:
        # Candidates that want opposite things: what one passes on, the next turns round.
        for sign, module in enumerate(modules):
            if module.project is not None:
                module.project.norm.weight.detach().fill_(1.0 if sign % 2 else -1.0)
    points = interference([weights], 24)
    assert [point.differing for point in points] == [0, 1, 2]
    assert points[0].cosine == pytest.approx(1, abs=1e-6)
    assert points[0].error == pytest.approx(0, abs=1e-6)
    for near, far in itertools.pairwise(points):
        assert near.error is not None
        assert far.error is not None
        assert near.cosine - far.cosine > 2 * (near.error + far.error)


def test_weights_and_statistics_stay_as_they_are(weights: SharedWeights) -> None:
    before = {name: value.clone() for name, value in weights.supernet.state_dict().items()}
    assert interference([weights], 2) == interference([weights], 2)
    for name, value in weights.supernet.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_weights_that_a_method_fixes_are_left_out(weights: SharedWeights) -> None:
    path, batch = (0, 0, 0), weights.problem.training.batch(0)
    fix_scale(weights.supernet)
    assert gradient_cosine(weights, path, path, batch) == pytest.approx(1, abs=1e-6)
    for modules in weights.supernet.choices:
        for module in modules:
            module.requires_grad_(False)
    assert gradient_cosine(weights, path, path, batch) is None
