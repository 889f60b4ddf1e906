"""GDAS: draws against enumeration, soft weights, the straight-through gradient."""

import itertools
import math
import random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.searchers.gradient.gates import draw
from autospace.searchers.gradient.gdas import Gdas, relaxed
from autospace.searchers.make import make_method
from tests.searchers.planted import LAYERS, planted_problem, solved
from tests.searchers.problems import make_problem
from tests.searchers.slopes import double_method, gate_slopes, slopes


def make(**options: Any) -> Gdas:
    method = double_method("gdas", options=options)
    assert isinstance(method, Gdas)
    return method


def test_the_loss_of_sampled_paths_has_the_mean_of_enumeration() -> None:
    method = make()
    images, labels = method.problem.validation.batch(0)
    sizes = method.problem.choices.sizes
    fixed = (0,) * (len(sizes) - 2)  # two layers are enough: the others stay at one candidate
    log_p = [row if layer < 2 else [0.0] for layer, row in enumerate(method.scores)]
    losses = {}
    with torch.no_grad():
        for pair in itertools.product(range(sizes[0]), range(sizes[1])):
            logits = method.weights.supernet.single_path(images, (*pair, *fixed))
            losses[pair] = float(F.cross_entropy(logits, labels))
    exact = sum(
        math.exp(log_p[0][i] + log_p[1][j]) * losses[i, j]
        for i, j in itertools.product(range(sizes[0]), range(sizes[1]))
    )
    rng, choices = random.Random(0), method.problem.choices
    paths = [draw(choices, log_p, rng).path for _ in range(20_000)]
    drawn = [losses[path[0], path[1]] for path in paths]
    mean = sum(drawn) / len(drawn)
    spread = math.sqrt(sum((x - mean) ** 2 for x in drawn) / len(drawn))
    assert mean == pytest.approx(exact, abs=4.5 * spread / math.sqrt(len(drawn)))


@pytest.mark.parametrize("gates", ["full", "active"])
@pytest.mark.parametrize("temperature", [10.0, 0.5])
def test_the_gradient_goes_straight_through_to_the_soft_weights(
    gates: str, temperature: float
) -> None:
    method = make(gates=gates)
    batch = method.problem.validation.batch(0)
    drawn = draw(method.problem.choices, method.scores, random.Random(3))
    found = method.gradients(*batch, drawn, temperature)
    at_gates = gate_slopes(method, batch, drawn.path)
    alphas = method.alphas.values
    for layer, row in enumerate(found):
        slope = at_gates[layer]
        if gates == "active":
            only = torch.zeros_like(slope)
            only[drawn.path[layer]] = slope[drawn.path[layer]]
            slope = only

        def weighed(rows: list[torch.Tensor], slope: torch.Tensor = slope) -> torch.Tensor:
            (alpha,) = rows
            noise = torch.tensor(drawn.noise[layer], dtype=torch.float64)  # noqa: B023
            return torch.softmax((alpha + noise) / temperature, 0) @ slope

        (exact,) = slopes(weighed, [alphas[layer]])
        assert torch.allclose(row, exact, rtol=1e-4, atol=1e-9)


def test_an_active_gate_alone_learns_nothing_ahead_of_batch_normalisation() -> None:
    """Why all gates have a gradient by default; no layer of the planted skeleton has a shortcut."""
    problem = planted_problem(0, method="gdas")
    method = make_method(problem)
    assert isinstance(method, Gdas)
    images, labels = problem.validation.batch(0)
    method.weights.supernet.double()
    path = (0,) * LAYERS
    *inner, _ = gate_slopes(method, (images[:24].double(), labels[:24]), path)
    for row in inner:
        assert abs(float(row[0])) < 1e-3 * float(row.abs().max())


def test_the_soft_weights_lean_to_the_sampled_candidate() -> None:
    method = make()
    for seed in range(20):
        drawn = draw(method.problem.choices, method.scores, random.Random(seed))
        for temperature, least in ((10.0, 0.0), (1e-3, 0.99)):
            soft = relaxed(method.alphas.values, drawn.noise, temperature)
            for row, index in zip(soft, drawn.path, strict=True):
                assert int(row.argmax()) == index
                assert float(row.sum().detach()) == pytest.approx(1)
                assert float(row[index].detach()) > least


def test_the_temperature_falls_from_its_first_to_its_last_value() -> None:
    options = {"warm_up": 0.5, "temperature": 8.0, "last_temperature": 2.0}
    problem = make_problem(method="gdas", options=options, supernet={"steps": 26})
    method = make_method(problem)
    assert isinstance(method, Gdas)
    found = [method.temperature(index) for index in range(13, 26)]
    assert found == pytest.approx([8 - 0.5 * step for step in range(13)])


@pytest.mark.slow
def test_the_planted_candidates_are_found() -> None:
    found = solved("gdas", 0, 300, warm_up=0.4)
    assert found.share >= 0.8
    assert found.chance < 0.1


@pytest.mark.slow
def test_the_planted_candidates_are_found_by_most_seeds() -> None:
    shares = [solved("gdas", seed, 400, warm_up=0.4).share for seed in range(8)]
    assert sum(shares) / len(shares) >= 0.8
