"""What the gradient-based methods share: the derived architecture, judgements, limits, state."""

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.runs.state import load_state, save_state
from autospace.searchers.gradient.search import Alphas, GradientSearch, Rows
from autospace.searchers.make import make_method
from autospace.spaces import Budget
from autospace.spaces.choices import Choice, Choices, limits_of
from autospace.spaces.files.families import family_space
from autospace.supernets.shared_weights import PathEvaluator
from autospace.supernets.supernet import Supernet
from tests.searchers.problems import SKELETON, make_problem

SPACE = family_space("mbconv", SKELETON)
METHODS = ("proxyless", "darts", "nasp", "gdas")
SINGLE_PATH = ("proxyless", "nasp", "gdas")


def make(name: str, budget: Budget = Budget(), **changes: Any) -> GradientSearch:  # noqa: B008
    method = make_method(make_problem(budget=budget, method=name, **changes))
    assert isinstance(method, GradientSearch)
    return method


@pytest.fixture(scope="module")
def proxyless() -> GradientSearch:
    return make("proxyless")


@given(seed=st.integers(0, 10**6), tightness=st.floats(0, 1))
def test_the_derived_architecture_is_the_most_probable_that_is_allowed(
    proxyless: GradientSearch, seed: int, tightness: float
) -> None:
    rng = random.Random(seed)
    most = int(SPACE.madds.min + tightness * (SPACE.madds.max - SPACE.madds.min))
    choices = Choices(SPACE, limits_of(SPACE, Budget(max_madds=most)))
    object.__setattr__(proxyless.problem, "choices", choices)
    for alpha in proxyless.alphas.values:
        alpha.detach().copy_(torch.tensor([rng.gauss(0, 3) for _ in alpha]))
    rows: Rows = [alpha.detach().softmax(0).tolist() for alpha in proxyless.alphas.values]

    def probability(path: Choice) -> float:
        return math.prod(row[index] for row, index in zip(rows, path, strict=True))

    every = itertools.product(*map(range, choices.sizes))
    best = max((path for path in every if choices.allows(path)), key=probability)
    ranked = proxyless.ranked()
    assert probability(ranked[0].path) == pytest.approx(probability(best))
    assert all(choices.allows(each.path) for each in ranked)
    assert len({each.path for each in ranked}) == len(ranked)
    scores = [each.score for each in ranked]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([math.log(probability(each.path)) for each in ranked])


@pytest.mark.parametrize("name", SINGLE_PATH)
def test_no_path_over_a_limit_is_ever_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    most = int(SPACE.madds.min + 0.1 * (SPACE.madds.max - SPACE.madds.min))
    run: list[Choice] = []
    original = Supernet.features

    def recorded(self: Supernet, images: torch.Tensor, path: Choice) -> list[torch.Tensor]:
        run.append(tuple(path))
        return original(self, images, path)

    monkeypatch.setattr(Supernet, "features", recorded)
    method = make(name, Budget(max_madds=most), supernet={"steps": 10})
    for index in range(method.steps):
        method.step(index)
    assert len(run) > 10
    assert all(method.problem.choices.allows(path) for path in run)


@pytest.mark.parametrize(
    ("judgements", "evaluations", "after"),
    [(1, None, [11]), (3, None, [5, 8, 11]), (3, 2, [7, 11]), (100, None, list(range(3, 12)))],
)
def test_the_derived_architecture_is_evaluated_evenly_and_at_the_end(
    judgements: int, evaluations: int | None, after: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[int] = []
    step = -1
    original = PathEvaluator.accuracy

    def noted(self: PathEvaluator, path: Choice) -> float:
        evaluated.append(step)
        return original(self, path)

    monkeypatch.setattr(PathEvaluator, "accuracy", noted)
    method = make(
        "darts",
        evaluations=evaluations,
        supernet={"steps": 12},
        options={"warm_up": 0.25, "judgements": judgements},
    )
    for step in range(method.steps):
        method.step(step)
    assert evaluated == after
    assert method.evaluations <= len(after)
    assert method.ranked()[0].accuracy is not None


def test_the_same_architecture_is_evaluated_anew_when_weights_have_moved() -> None:
    method = make("darts", supernet={"steps": 6})
    method.evaluate_derived()
    first = method.ranked()[0]
    torch.manual_seed(0)
    for parameter in method.weights.supernet.parameters():
        parameter.detach().copy_(torch.randn_like(parameter))
    method.evaluate_derived()
    second = method.ranked()[0]
    assert first.path == second.path
    assert first.accuracy != second.accuracy
    assert method.evaluations == 1


@pytest.mark.parametrize("name", METHODS)
def test_a_state_holds_all_that_later_steps_depend_on(name: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"warm_up": 0.0}
    if name == "darts":
        options |= {"order": 2, "selection": "perturbation", "tuning": 1}
    changes: dict[str, Any] = {"supernet": {"steps": 4}, "options": options}
    whole, parts = make(name, **changes), make(name, **changes)
    stop = whole.steps - 2
    for index in range(whole.steps):
        whole.step(index)
        if index == stop:
            save_state(tmp_path / "state", whole.state())
    parts.restore(load_state(tmp_path / "state", parts.problem.device))
    for index in range(stop + 1, parts.steps):
        parts.step(index)
    for ours, theirs in zip(parts.alphas.values, whole.alphas.values, strict=True):
        assert torch.equal(ours, theirs)
    assert parts.ranked() == whole.ranked()
    assert parts.incumbent == whole.incumbent
    assert parts.evaluations == whole.evaluations


def test_adam_moves_each_alpha_by_about_the_travel_if_its_gradient_keeps_its_sign() -> None:
    problem = make_problem()
    alphas = Alphas(problem, travel=5.0, steps=100, betas=(0.0, 0.999))
    start = [value.detach().clone() for value in alphas.values]
    for _ in range(100):
        alphas.step([torch.full_like(value, 1e-3) for value in alphas.values])
    for value, first in zip(alphas.values, start, strict=True):
        assert torch.allclose(first - value.detach(), torch.full_like(first, 5.0), rtol=1e-3)


def test_a_layer_without_a_gradient_keeps_alpha_and_averages() -> None:
    alphas = Alphas(make_problem(), travel=5.0, steps=10, betas=(0.5, 0.999))
    some = [torch.ones_like(value) for value in alphas.values]
    alphas.step(some)
    before = {name: value.clone() for name, value in alphas.state().tensors.items()}
    alphas.step([None, *some[1:]])
    after = alphas.state().tensors
    for name, value in before.items():
        assert torch.equal(value, after[name]) == ("0" in name.split(".")), name
