"""Passes through some layers only, and steps that train those on given features."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.spaces.choices import Choice
from autospace.supernets.shared_weights import SharedWeights, feature_distance
from autospace.training.task import Classification
from tests.searchers.problems import make_problem

PATH: Choice = (0, 1, 2)


def _weights(**changes: Any) -> SharedWeights:
    return SharedWeights(make_problem(**changes))


@pytest.mark.parametrize(("first", "last"), [(0, 3), (0, 1), (1, 3), (1, 2), (2, 3)])
def test_some_layers_alone_give_what_they_give_within_the_network(first: int, last: int) -> None:
    weights = _weights()
    supernet = weights.supernet.double().eval()
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    entering = [supernet.enter(images), *supernet.features(images, PATH)[:-1]]
    cells = supernet.active(PATH)[first:last]
    outputs = supernet.through(entering[first], cells, first)
    assert len(outputs) == last - first
    for ours, theirs in zip(outputs, entering[first + 1 : last + 1], strict=True):
        assert torch.equal(ours, theirs)
    if last == 3:
        logits = supernet.single_path(images, PATH)
        assert torch.equal(supernet.leave(outputs[-1]), logits)


@pytest.mark.parametrize("layers", [range(1), range(1, 3), range(2, 3)])
def test_a_step_of_some_layers_trains_their_cells_on_the_path_and_nothing_else(
    layers: range,
) -> None:
    weights = _weights()
    supernet = weights.supernet
    images, _ = weights.problem.training.batch(0)
    with torch.no_grad():
        entering = [supernet.enter(images), *supernet.features(images, PATH)[:-1]]
    wanted = torch.randn_like(entering[layers.stop])
    before = {name: value.clone() for name, value in supernet.named_parameters()}

    def imitation(outputs: Sequence[torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        return feature_distance(outputs[-1:], [targets])

    loss = weights.path_loss(PATH, imitation, layers)
    weights.step(0, [loss], batch=(entering[layers.start], wanted))
    moved = {
        name for name, value in supernet.named_parameters() if not torch.equal(value, before[name])
    }
    own = tuple(f"candidates.{layer}.{PATH[layer]}." for layer in layers)
    assert moved
    assert all(name.startswith(own) for name in moved)
    assert {name.split(".")[1] for name in moved} == {str(layer) for layer in layers}


def test_a_block_learns_to_imitate_a_teacher_as_its_cells_alone_do() -> None:
    """Block-wise distillation by hand: the cells in a row, an optimiser of their own."""
    weights, twin = _weights(supernet={"steps": 8}), _weights(supernet={"steps": 8})
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(8, 4, 8, 8, generator=generator)
    targets = torch.randn(8, 6, 4, 4, generator=generator)
    losses = []

    def imitation(outputs: Sequence[torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
        loss = F.mse_loss(outputs[-1], wanted)
        losses.append(loss.item())
        return loss

    for index in range(8):
        loss = weights.path_loss(PATH, imitation, range(2))
        weights.step(index, [loss], batch=(inputs, targets))
        x = inputs
        twin.supernet.train()
        twin.optimizer.zero_grad()
        for layer in range(2):
            y = twin.supernet.choices[layer][PATH[layer]](x)
            x = x + y if twin.supernet.shapes[layer].shortcut else y
        ((x - targets) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(twin.supernet.parameters(), twin.recipe.clip)
        for group in twin.optimizer.param_groups:
            group["lr"] = twin.recipe.rate(index)
        twin.optimizer.step()
    assert losses[-1] < 0.9 * losses[0]
    for ours, theirs in zip(weights.supernet.parameters(), twin.supernet.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_mixture_of_the_last_layers_goes_on_from_the_first_ones() -> None:
    supernet = _weights().supernet.double().eval()
    images = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    rng = random.Random(0)
    mixes = [torch.tensor([rng.random() for _ in row]).double() for row in supernet.choices]
    cells = supernet.mixed(mixes)
    ahead = supernet.through(supernet.enter(images), cells[:2])
    behind = supernet.through(ahead[-1], cells[2:], 2)
    assert torch.equal(supernet.leave(behind[-1]), supernet.mixture(images, mixes))
    x = supernet.enter(images)
    for shape, modules, mix in zip(supernet.shapes, supernet.choices, mixes, strict=True):
        y = sum(float(share) * module(x) for share, module in zip(mix, modules, strict=True))
        x = x + y if shape.shortcut else y
    assert torch.allclose(supernet.leave(x), supernet.mixture(images, mixes), atol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_task_is_what_a_path_is_trained_by(smoothing: float) -> None:
    problem = make_problem()

    weights = SharedWeights(problem, task=Classification(smoothing))
    images, labels = problem.training.batch(0)
    log_p = weights.supernet.single_path(images, PATH).log_softmax(1)
    right = log_p.gather(1, labels[:, None]).mean()
    exact = -(1 - smoothing) * right - smoothing * log_p.mean()
    assert weights.loss_of(PATH)(images, labels).item() == pytest.approx(exact.item(), rel=1e-5)
