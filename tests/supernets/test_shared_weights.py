"""Shared weights: what a step moves, recalibration against the plain network, states."""

import random
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from autospace.networks.network import Network
from autospace.networks.operations import ConvNorm
from autospace.runs.state import load_state, save_state
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream
from autospace.spaces import Budget, load
from autospace.spaces.choices import SearchError
from autospace.supernets.path_training import TRIES, Fair, MaddsUniform
from autospace.supernets.shared_weights import PathEvaluator, SharedWeights, Uniform
from tests.searchers.problems import make_problem


@pytest.fixture
def problem(tmp_path: Path) -> SearchProblem:
    return make_problem()


def _stem(weights: SharedWeights) -> ConvNorm:
    first = weights.supernet.network.stem[0]
    assert isinstance(first, ConvNorm)
    return first


def _alone(weights: SharedWeights, path: tuple[int, ...]) -> Network:
    """The network of a path with the supernet's weights."""
    problem = weights.problem
    architecture = problem.choices.architecture(path)
    network = Network(architecture.skeleton, architecture.cells)
    given = weights.supernet
    for part in ("stem", "head", "classifier"):
        state = getattr(given.network, part).state_dict()
        getattr(network, part).load_state_dict(state)
    for layer, index in enumerate(path):
        network.cell(layer).load_state_dict(given.choices[layer][index].state_dict())
    return network


def test_a_path_of_the_supernet_is_the_network_alone(problem: SearchProblem) -> None:
    weights = SharedWeights(problem)
    weights.supernet.double().eval()
    images = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    for index in range(5):
        path = problem.choices.draw(random.Random(index))
        alone = _alone(weights, path).double().eval()
        assert torch.allclose(weights.supernet.single_path(images, path), alone(images), atol=1e-12)


def test_recomputed_cells_are_trained_to_the_same_weights() -> None:
    found = []
    for recompute in (False, True):
        weights = SharedWeights(make_problem(supernet={"recompute": recompute}))
        assert weights.supernet.choices[0][0].recomputes == recompute
        task = weights.loss_of((0,) * len(weights.problem.choices.sizes))
        weights.step(0, [task])
        weights.step(1, [task])
        found.append(weights.supernet.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_a_step_leaves_what_is_off_the_path_as_it_was(problem: SearchProblem) -> None:
    weights = SharedWeights(problem)
    path = (0,) * len(problem.choices.sizes)
    weights.step(0, [weights.loss_of(path)])
    before = {k: v.clone() for k, v in weights.supernet.state_dict().items()}
    weights.step(1, [weights.loss_of(path)])
    for name, value in weights.supernet.state_dict().items():
        on_path = name.startswith("network.") or name.split(".")[2] == "0"
        assert name.startswith("network.layers") or on_path or torch.equal(value, before[name])
    moved = [
        name
        for name, value in weights.supernet.state_dict().items()
        if not torch.equal(value, before[name])
    ]
    assert any(name.startswith("candidates.0.0") for name in moved)


def test_the_judge_measures_what_the_network_alone_would_have(problem: SearchProblem) -> None:
    weights = SharedWeights(problem)
    evaluate = PathEvaluator(problem, weights.supernet)
    path = problem.choices.draw(random.Random(2))
    found = evaluate.accuracy(path)
    alone = _alone(weights, path).eval()
    right = images = 0
    with torch.no_grad():
        for step in range(problem.config.supernet.validation_batches):
            inputs, labels = problem.validation.batch(step)
            right += int((alone(inputs).argmax(1) == labels).sum())
            images += len(labels)
    assert found == right / images
    weights.step(0, [weights.loss_of(path)])
    assert evaluate.accuracy(path) == found  # evaluated once


def test_a_fair_step_trains_every_candidate(problem: SearchProblem) -> None:
    weights = SharedWeights(problem)
    before = {k: v.clone() for k, v in weights.supernet.named_parameters()}
    Fair(weights).step(0)
    for name, value in weights.supernet.named_parameters():
        # Norms start where their gradients are next to nothing.
        assert value.ndim == 1 or not torch.equal(value, before[name]), name


def test_gradients_of_a_fair_step_are_the_mean_over_its_paths(problem: SearchProblem) -> None:
    weights = SharedWeights(problem)
    training = Fair(weights)
    paths = training.paths(0)
    for layer, size in enumerate(problem.choices.sizes):
        assert {path[layer] for path in paths} == set(range(size))
    images, labels = problem.training.batch(0)
    weights.supernet.train()
    stem = _stem(weights).convolution.weight
    total = torch.zeros_like(stem)
    for path in paths:
        loss = F.cross_entropy(weights.supernet.single_path(images, path), labels)
        total += torch.autograd.grad(loss, stem)[0]
    seen: list[torch.Tensor] = []
    stem.register_post_accumulate_grad_hook(lambda p: seen.append(torch.clone(p.grad)))
    training.step(0)
    assert torch.allclose(seen[-1], total / len(paths), atol=1e-5)


def test_madds_uniform_spreads_paths_over_the_whole_range(problem: SearchProblem) -> None:
    weights = SharedWeights(problem)
    space = problem.choices.space

    def spread(training: Uniform) -> float:
        costs = [problem.choices.cost(training.paths(i)[0]).madds for i in range(200)]
        low, high = space.madds.min, space.madds.max
        outer = [c for c in costs if not 0.25 < (c - low) / (high - low) < 0.75]
        return len(outer) / len(costs)

    # Of costs drawn uniformly over the range, half lie in its outer quarters.
    assert spread(MaddsUniform(weights)) > spread(Uniform(weights)) + 0.1


def test_under_a_limit_madds_are_uniform_up_to_it() -> None:
    space = load("mbconv@digits")
    low = space.madds.min
    most = low + (space.madds.max - low) // 3
    weights = SharedWeights(make_problem(space, Budget(max_madds=most)))
    choices = weights.problem.choices
    found = [choices.cost(MaddsUniform(weights).paths(index)[0]).madds for index in range(100)]
    assert max(found) <= most
    # A third of the range: most targets would be above the limit, and the dearest be taken.
    assert sum(cost > low + 0.75 * (most - low) for cost in found) < 50


def test_of_binary_cells_it_takes_paths_by_their_ops() -> None:
    # All have the same MAdds; by those, it would always take the first of its tries.
    weights = SharedWeights(make_problem(load("binary@digits")))
    choices, seed = weights.problem.choices, weights.problem.seed
    low, high = (choices.space.ops.min, choices.space.ops.max)
    for index in range(20):
        rng = stream(seed, "supernet path", index)
        wanted = rng.uniform(low, high)
        gaps = [abs(choices.cost(choices.draw(rng)).ops - wanted) for _ in range(TRIES)]
        (path,) = MaddsUniform(weights).paths(index)
        assert abs(choices.cost(path).ops - wanted) == pytest.approx(min(gaps), abs=2)


def test_training_goes_on_from_a_state_as_if_it_had_never_stopped(
    problem: SearchProblem, tmp_path: Path
) -> None:
    whole = SharedWeights(problem)
    training = Uniform(whole)
    for index in range(4):
        training.step(index)
        if index == 1:
            save_state(tmp_path / "state", whole.state())
    parts = SharedWeights(problem)
    parts.restore(load_state(tmp_path / "state", problem.device))
    for index in (2, 3):
        Uniform(parts).step(index)
    for name, value in whole.supernet.state_dict().items():
        assert torch.equal(value, parts.supernet.state_dict()[name]), name


def test_paths_follow_from_seed_and_step_alone(problem: SearchProblem) -> None:
    weights = SharedWeights(problem)
    again = [Uniform(weights).paths(7) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0] == [problem.choices.draw(stream(problem.seed, "supernet path", 7))]


def test_too_little_memory_for_a_step_is_said_in_a_line(problem: SearchProblem) -> None:
    def full(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    with pytest.raises(SearchError, match=r"supernet.batch: \d+; .* memory on cpu .*; allowed: "):
        SharedWeights(problem).step(0, [full])
