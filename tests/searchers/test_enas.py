"""ENAS: REINFORCE against enumeration, the policy within limits, the planted space."""

import copy
import itertools
import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from autospace.searchers.make import make_method
from autospace.searchers.sampling.enas import Controller, Enas, Sampled, surrogate
from autospace.seeds import derived_seed
from autospace.spaces import Budget, Layer, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.choices import Choice, Choices, limits_of
from autospace.spaces.files.families import family_space
from tests.searchers.planted import solved
from tests.searchers.problems import SKELETON, make_problem

ENTROPY = 0.05
MBCONV = family_space("mbconv", SKELETON)


def two_by_two() -> Space:
    """Two layers with two candidates each."""
    skeleton = Skeleton("two", 1, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)), head=8)
    space = family_space("mbconv", skeleton)
    layers = tuple(Layer(layer.shape, layer.candidates[:2]) for layer in space.layers)
    return replace(space, layers=layers, reference={})


def all_paths(choices: Choices) -> list[Choice]:
    return list(itertools.product(*map(range, choices.sizes)))


def controller(choices: Choices, spread: float = 1.0) -> Controller:
    """A controller that is far from uniform."""
    made = Controller(choices, hidden=5, logit_range=2.5, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(spread * noise)
    return made


def gradients(value: torch.Tensor, policy: Controller) -> list[torch.Tensor]:
    """With respect to all weights; the embedding of the last choice leads nowhere."""
    found = torch.autograd.grad(value, list(policy.parameters()), allow_unused=True)
    pairs = zip(found, policy.parameters(), strict=True)
    return [torch.zeros_like(p) if g is None else g for g, p in pairs]


@pytest.mark.parametrize("baseline", [0.0, 0.6])
def test_the_estimator_is_unbiased_for_reward_and_entropy(baseline: float) -> None:
    """The mean of the gradient of every sample, by enumeration, is the gradient of the mean."""
    choices = Choices(two_by_two())
    policy = controller(choices)
    paths = all_paths(choices)
    accuracies = torch.tensor([0.2, 0.9, 0.5, 0.4], dtype=torch.float64)
    log_p = policy.log_prob(paths)
    objective = (log_p.exp() * (accuracies - ENTROPY * log_p)).sum()
    exact = gradients(objective, policy)
    mean = [torch.zeros_like(each) for each in exact]
    for path, accuracy in zip(paths, accuracies, strict=True):
        one = Sampled(torch.tensor([path]), policy.log_prob([path]))
        reward = accuracy - ENTROPY * one.log_p.detach()
        estimate = gradients(-surrogate(one, reward, baseline), policy)
        for total, each in zip(mean, estimate, strict=True):
            total += one.log_p.detach().exp() * each
    assert max(float(each.abs().max()) for each in exact) > 1e-3
    for found, wanted in zip(mean, exact, strict=True):
        assert torch.allclose(found, wanted, atol=1e-12)


def test_samples_are_distributed_as_the_policy_says() -> None:
    choices = Choices(two_by_two())
    policy = controller(choices)
    count = 20_000
    with torch.no_grad():
        sampled = policy.sample(count, seed=3)
        chances = dict(zip(all_paths(choices), policy.log_prob(all_paths(choices)), strict=True))
    assert math.isclose(sum(float(each.exp()) for each in chances.values()), 1)
    drawn = [tuple(path) for path in sampled.paths.tolist()]
    for path, log_p in chances.items():
        chance = float(log_p.exp())
        spread = math.sqrt(chance * (1 - chance) / count)
        assert drawn.count(path) / count == pytest.approx(chance, abs=4.5 * spread)
    assert torch.equal(sampled.log_p, torch.stack([chances[path] for path in drawn]))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_under_one_limit_the_policy_is_one_over_what_is_allowed(share: float) -> None:
    low, high = MBCONV.madds.min, MBCONV.madds.max
    budget = Budget(max_madds=int(low + share * (high - low)))
    choices = Choices(MBCONV, limits_of(MBCONV, budget))
    paths = all_paths(choices)
    with torch.no_grad():
        chances = controller(choices, 0.3).log_prob(paths).exp()
    allowed = torch.tensor([choices.allows(path) for path in paths])
    assert float(chances[allowed].sum()) == pytest.approx(1)
    assert float(chances[~allowed].sum()) == 0
    assert bool((chances[allowed] > 0).all())


def test_of_several_limits_none_is_exceeded_by_what_is_drawn() -> None:
    free = Choices(MBCONV)
    known = [free.cost(free.draw(random.Random(seed))) for seed in range(50)]
    middle = sorted(known, key=lambda cost: cost.madds)[15]
    budget = Budget(max_madds=middle.madds, max_params=middle.params)
    problem = make_problem(MBCONV, budget, method="enas", supernet={"steps": 12})
    method = make_method(problem)
    assert isinstance(method, Enas)
    seen: list[Choice] = []
    features = method.weights.supernet.features

    def watched(images: torch.Tensor, path: Choice) -> list[torch.Tensor]:
        seen.append(path)
        return features(images, path)

    method.weights.supernet.features = watched  # type: ignore[assignment]
    for index in range(method.steps):
        method.step(index)
    assert len(seen) > 40
    assert all(problem.choices.allows(path) for path in seen)


def test_the_controller_learns_to_draw_what_is_rewarded() -> None:
    choices = Choices(MBCONV)
    rng = random.Random(0)
    table = [[rng.gauss(0, 0.02) for _ in range(size)] for size in choices.sizes]

    def worth(paths: torch.Tensor) -> torch.Tensor:
        sums = [sum(row[i] for row, i in zip(table, path, strict=True)) for path in paths.tolist()]
        return torch.tensor(sums, dtype=torch.float64)

    policy = Controller(choices, hidden=32, logit_range=2.5, seed=0)
    optimizer = torch.optim.Adam(policy.parameters(), 0.0035)
    before = float(worth(policy.sample(200, 1).paths).mean())
    for step in range(150):
        sampled = policy.sample(10, 100 + step)
        optimizer.zero_grad()
        surrogate(sampled, worth(sampled.paths), before).backward()
        optimizer.step()
    after = float(worth(policy.sample(200, 2).paths).mean())
    best = sum(map(max, table))
    assert after - before > 0.7 * (best - before)


def test_the_baseline_follows_the_rewards() -> None:
    options = {"samples": 3, "baseline_decay": 0.5, "entropy": 0.0, "warm_up": 0.0}
    method = make_method(make_problem(method="enas", options=options))
    assert isinstance(method, Enas)
    method.controller_step(0)
    first = method.baseline
    assert first is not None
    assert 0 <= first <= 1
    method.baseline = 100.0
    method.controller_step(0)
    # Three halvings of the way from 100 to accuracies, which lie between 0 and 1.
    assert 100 / 8 <= method.baseline <= 100 / 8 + 1


def test_a_step_of_the_controller_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracies are of a validation batch; entropy is rewarded; the baseline is subtracted."""
    options = {"samples": 4, "baseline_decay": 0.8, "entropy": 0.05, "warm_up": 0.0}
    method = make_method(make_problem(method="enas", options=options))
    assert isinstance(method, Enas)
    seen = []

    def accuracies_of(paths: list[Choice], batch: Any) -> list[float]:
        seen.append(batch)
        return [sum(path) / 10 for path in paths]

    monkeypatch.setattr(method.weights, "batch_accuracies", accuracies_of)
    method.baseline = 0.7
    policy = copy.deepcopy(method.controller)
    sampled = policy.sample(4, derived_seed(method.problem.seed, "enas", "controller", 3))
    method.controller_step(3)
    accuracies = sampled.paths.double().sum(1) / 10
    rewards = accuracies - 0.05 * sampled.log_p.detach()
    assert len(set(rewards.tolist())) > 1
    wanted = gradients(-((rewards - 0.7) * sampled.log_p).mean(), policy)
    for parameter, gradient in zip(method.controller.parameters(), wanted, strict=True):
        given = torch.zeros_like(gradient) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(given, gradient)
    baseline = 0.7
    for reward in rewards.tolist():
        baseline = 0.8 * baseline + 0.2 * reward
    assert method.baseline == pytest.approx(baseline)
    inputs, targets = method.problem.validation.batch(3)
    assert seen
    for images, labels in seen:
        assert torch.equal(images, inputs)
        assert torch.equal(labels, targets)


def test_the_planted_candidates_are_found() -> None:
    found = solved("enas", 0, 300, evaluations=4, controller_every=2, learning_rate=0.01)
    assert found.share >= 0.8
    assert found.chance < 0.1


@pytest.mark.slow
def test_the_planted_candidates_are_found_by_most_seeds() -> None:
    options: dict[str, Any] = {"controller_every": 2, "learning_rate": 0.01}
    shares = [solved("enas", seed, 300, evaluations=4, **options).share for seed in range(8)]
    assert sum(shares) / len(shares) >= 0.8
