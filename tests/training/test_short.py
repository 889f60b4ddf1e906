"""Training one network."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from autospace.training.short import Recipe, make_optimizer, measure, train


class Noise:
    """Batches as a pure function of the step."""

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(8, 1, 4, 4, generator=generator)
        return images, torch.randint(0, 3, (8,), generator=generator)


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


@given(st.integers(1, 500), st.floats(0.001, 1), st.floats(0, 0.9))
def test_the_rate_rises_linearly_then_falls_as_a_cosine(
    steps: int, peak: float, warm_up: float
) -> None:
    recipe = Recipe(steps, peak, warm_up=warm_up)
    rise = max(1, round(warm_up * steps))
    for step in range(steps):
        if step < rise:
            expected = peak * (step + 1) / rise
        else:
            # cos^2 is the other way to write half of one plus the cosine of twice the angle.
            expected = peak * math.cos(math.pi / 2 * (step - rise) / (steps - rise)) ** 2
        assert recipe.rate(step) == pytest.approx(expected, abs=1e-12)
    assert max(map(recipe.rate, range(steps))) == pytest.approx(peak)


def test_decay_is_for_matrices_and_kernels_only() -> None:
    network = _network()
    weights, others = make_optimizer(network, Recipe(1, weight_decay=0.5)).param_groups
    assert (weights["weight_decay"], others["weight_decay"]) == (0.5, 0.0)
    assert [p.ndim for p in weights["params"]] == [4, 2]
    assert {p.ndim for p in others["params"]} == {1}


def test_a_step_is_nesterov_sgd_with_the_gradient_clipped() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False)).double()
    weight = network[1].weight
    assert isinstance(weight, torch.Tensor)
    before = weight.detach().clone()
    images, labels = Noise().batch(0)

    class Once:
        def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            return images.double(), labels

    recipe = Recipe(1, 0.5, momentum=0.9, weight_decay=0.0, clip=0.1)
    train(network, Once(), recipe)
    # By hand: softmax minus one-hot, times the inputs, over the images; then g + 0.9 g.
    flat = images.double().flatten(1)
    wrong = (flat @ before.T).softmax(1) - nn.functional.one_hot(labels, 3)
    gradient = wrong.T @ flat / len(flat)
    gradient *= min(1.0, 0.1 / (float(gradient.norm()) + 1e-6))
    torch.testing.assert_close(weight.detach(), before - 0.5 * 1.9 * gradient)


def test_training_lowers_the_loss() -> None:
    network = _network()
    batches = [Noise().batch(step) for step in range(4)]

    class Four:
        def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            return batches[step % 4]

    before = measure(network, batches)
    train(network, Four(), Recipe(60, 0.05))
    after = measure(network, batches)
    assert after.loss < 0.7 * before.loss
    assert after.images == before.images == 32


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_training_in_two_parts_gives_the_same_bits(stop: int) -> None:
    recipe = Recipe(7, 0.1)
    whole = _network()
    losses: list[float] = []
    train(whole, Noise(), recipe, after_step=lambda _, loss: losses.append(float(loss)))

    class StopError(Exception):
        pass

    def after_step(step: int, _loss: torch.Tensor) -> None:
        if step + 1 == stop:
            raise StopError

    parted = _network()
    optimizer = make_optimizer(parted, recipe)
    with pytest.raises(StopError):
        train(parted, Noise(), recipe, optimizer=optimizer, after_step=after_step)
    resumed = _network()
    resumed.load_state_dict(parted.state_dict())
    fresh = make_optimizer(resumed, recipe)
    fresh.load_state_dict(optimizer.state_dict())
    rest: list[float] = []
    train(
        resumed,
        Noise(),
        recipe,
        optimizer=fresh,
        start=stop,
        after_step=lambda _, loss: rest.append(float(loss)),
    )
    assert losses[stop:] == rest
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_steps_are_reported_in_order_with_their_losses() -> None:
    seen: list[int] = []
    train(_network(), Noise(), Recipe(4), after_step=lambda step, _: seen.append(step))
    assert seen == [0, 1, 2, 3]


def test_measuring_counts_by_hand_and_changes_nothing() -> None:
    network = _network()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    batches = [Noise().batch(0), Noise().batch(1)]
    found = measure(network, batches)
    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(images) for images, _ in batches])
    labels = torch.cat([each for _, each in batches])
    assert found.accuracy == float((logits.argmax(1) == labels).double().mean())
    picked = logits.log_softmax(1)[torch.arange(16), labels]
    assert found.loss == pytest.approx(-float(picked.mean()), rel=1e-5)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
