"""Which weights decay, and what one step does."""

import pytest
import torch
from torch import nn

from autospace.networks.cells import CellModule
from autospace.networks.operations import SqueezeExcite
from autospace.runs.settings import make_settings
from autospace.spaces import LayerShape, mbconv
from autospace.training.settings import OptimizerConfig
from autospace.training.short import decay_groups, optimizer_of


def test_kernels_and_matrices_decay_and_nothing_else() -> None:
    cell = CellModule(mbconv(3, 6), LayerShape("layer_00", 4, 4, 1, 8))
    network = nn.Sequential(cell, SqueezeExcite(4, 2), nn.Linear(4, 3))
    decayed, others = decay_groups(network, 0.3)
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    kinds = {
        id(parameter): (type(module), name)
        for module in network.modules()
        for name, parameter in module.named_parameters(recurse=False)
    }
    assert {kinds[id(p)] for p in decayed["params"]} == {
        (nn.Conv2d, "weight"),
        (nn.Linear, "weight"),
    }
    assert {kinds[id(p)] for p in others["params"]} == {
        (nn.BatchNorm2d, "weight"),
        (nn.BatchNorm2d, "bias"),
        (nn.Conv2d, "bias"),
        (nn.Linear, "bias"),
    }
    together = [*decayed["params"], *others["params"]]
    assert sorted(map(id, together)) == sorted(map(id, network.parameters()))


def test_frozen_weights_are_left_alone() -> None:
    network = nn.Linear(2, 2).requires_grad_(False)
    assert [group["params"] for group in decay_groups(network, 0.1)] == [[], []]


def _step(options: dict[str, object]) -> tuple[torch.Tensor, torch.Tensor]:
    network = nn.Linear(3, 2).double()
    with torch.no_grad():
        network.weight.fill_(2.0)
        network.bias.fill_(1.0)
    optimizer = optimizer_of(network, make_settings(OptimizerConfig, options))
    network.weight.grad = torch.full((2, 3), 0.5, dtype=torch.float64)
    network.bias.grad = torch.full((2,), -0.5, dtype=torch.float64)
    optimizer.step()
    return network.weight.detach(), network.bias.detach()


def test_a_step_of_sgd_is_nesterovs_with_decay_in_the_gradient() -> None:
    weight, bias = _step({"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01})
    gradient = 0.5 + 0.01 * 2
    torch.testing.assert_close(weight, torch.full_like(weight, 2 - 0.1 * 1.9 * gradient))
    torch.testing.assert_close(bias, torch.full_like(bias, 1 + 0.1 * 1.9 * 0.5))


def test_a_step_of_adamw_decays_apart_from_the_gradient() -> None:
    weight, bias = _step({"method": "adamw", "learning_rate": 0.1, "weight_decay": 0.01})
    # Bias correction makes the first step the sign of the gradient.
    torch.testing.assert_close(weight, torch.full_like(weight, 2 * (1 - 0.1 * 0.01) - 0.1))
    torch.testing.assert_close(bias, torch.full_like(bias, 1 + 0.1))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (0.1, 5e-4)),
        ({"method": "adamw"}, (0.002, 0.05)),
        ({"method": "adamw", "learning_rate": 0.01}, (0.01, 0.05)),
        ({"weight_decay": 0.0}, (0.1, 0.0)),
    ],
)
def test_rate_and_decay_go_with_the_method_unless_given(
    options: dict[str, object], expected: tuple[float, float]
) -> None:
    found = make_settings(OptimizerConfig, options)
    assert (found.learning_rate, found.weight_decay) == expected
