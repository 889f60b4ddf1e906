"""Optimisers over a network's weights."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from autospace.compute.execution import Execution
from autospace.training.settings import OptimizerConfig

ADAM_SECOND_MOMENT = 0.999


def decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: kernels and matrices decay, biases and normalisation do not."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def sgd(
    weights: Iterable[Any], rate: float, momentum: float, decay: float, execution: Execution
) -> torch.optim.SGD:
    """SGD with Nesterov momentum, over parameters or groups of them; fit for being recorded."""
    kept: dict[str, Any] = {
        "momentum": momentum,
        "nesterov": momentum > 0,
        "weight_decay": decay,
    }
    if not execution.records:
        return torch.optim.SGD(weights, rate, **kept)
    # A number would be recorded as it is, whatever the schedule says later.
    held = torch.tensor(rate, device=execution.device)
    return torch.optim.SGD(weights, held, fused=True, **kept)


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Sets the learning rate of all weights, in place where a tensor holds it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def optimizer_of(network: nn.Module, options: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser that the settings describe; its rate is the peak of the schedule."""
    groups = decay_groups(network, options.weight_decay)
    if options.method == "adamw":
        betas = (options.momentum, ADAM_SECOND_MOMENT)
        return torch.optim.AdamW(groups, options.learning_rate, betas)
    momentum = options.momentum
    return torch.optim.SGD(groups, options.learning_rate, momentum=momentum, nesterov=momentum > 0)
