"""Similarities of candidates against plain backward passes and plain features."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autospace.searchers.few_shot import (
    Similarity,
    dimension_matching,
    gradient_matching,
    local_dimension,
)
from autospace.spaces.choices import Choice
from autospace.supernets.shared_weights import SharedWeights
from tests.searchers.problems import make_problem
from tests.searchers.slopes import SMALL

LAYER = 1
BOTH: list[Similarity] = [gradient_matching, dimension_matching(10)]


@pytest.fixture
def weights() -> SharedWeights:
    return SharedWeights(make_problem(SMALL))


def _paths(weights: SharedWeights, layer: int = LAYER) -> list[Choice]:
    sizes = weights.problem.choices.sizes
    rest = [0] * len(sizes)
    return [(*rest[:layer], k, *rest[layer + 1 :]) for k in range(sizes[layer])]


def test_gradients_are_those_of_all_weights_but_the_layers_own(weights: SharedWeights) -> None:
    paths = _paths(weights)
    found = gradient_matching(weights, LAYER, paths, 3)
    batch = weights.problem.training.batch(3)
    rows = []
    for path in paths:
        weights.supernet.zero_grad()
        weights.loss_of(path)(*batch).backward()
        kept = [
            parameter.grad.flatten()
            for name, parameter in weights.supernet.named_parameters()
            if parameter.grad is not None and not name.startswith(f"candidates.{LAYER}.")
        ]
        rows.append(torch.cat(kept))
    for i, first in enumerate(rows):
        for j, second in enumerate(rows):
            exact = float(torch.cosine_similarity(first, second, dim=0))
            assert float(found[i, j]) == pytest.approx(exact, abs=1e-5)
    assert float(found.min()) < 0.99


def test_profiles_hold_the_dimensions_from_the_layer_on(weights: SharedWeights) -> None:
    paths = _paths(weights)
    found = dimension_matching(10)(weights, LAYER, paths, 2)
    images, _ = weights.problem.validation.batch(2)
    with torch.no_grad():
        features = [weights.supernet.features(images, path) for path in paths]
    for each in features[1:]:
        assert torch.allclose(each[0], features[0][0], atol=1e-5)
    profiles = [[float(local_dimension(x, 10)) for x in (each[1], each[2])] for each in features]
    for i, (a, b) in enumerate(profiles):
        for j, (c, d) in enumerate(profiles):
            exact = 1 / (1 + ((a - c) ** 2 + (b - d) ** 2) ** 0.5)
            assert float(found[i, j]) == pytest.approx(exact, rel=1e-3)
    assert float(found.min()) < 0.99


@pytest.mark.parametrize("similarity", BOTH)
def test_nothing_is_more_alike_than_a_path_and_itself(
    weights: SharedWeights, similarity: Similarity
) -> None:
    found = similarity(weights, LAYER, [_paths(weights)[0]] * 2, 0)
    assert found.flatten().tolist() == pytest.approx([1] * 4, abs=1e-5)


def test_dimensions_need_no_backward_pass(
    weights: SharedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    enabled: list[bool] = []
    original: Callable[..., Any] = weights.supernet.features

    def features(*arguments: Any) -> Any:
        enabled.append(torch.is_grad_enabled())
        return original(*arguments)

    monkeypatch.setattr(weights.supernet, "features", features)
    for similarity, needed in zip(BOTH, (True, False), strict=True):
        enabled.clear()
        similarity(weights, LAYER, _paths(weights), 0)
        assert set(enabled) == {needed}
