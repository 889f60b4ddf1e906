"""DARTS's second order: the gradient of alpha through one step of the weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from autospace.supernets.supernet import Supernet, frozen

SMALL = 0.01

Scalar = Callable[[], torch.Tensor]


def unrolled_gradients(
    supernet: Supernet,
    optimizer: torch.optim.SGD,
    rate: float,
    alphas: Sequence[torch.Tensor],
    training: Scalar,
    validation: Scalar,
) -> list[torch.Tensor]:
    """Gradient of validation(w', alpha) with w' = w - rate * step(d training(w, alpha) / dw).

    DARTS (Liu et al., ICLR 2019), equations 7 and 8: the second-order term is a finite difference
    along v = d validation / dw', with epsilon = 0.01 / |v|. w' is what the optimiser's own next
    step would give, momentum and decay included; only its clipping is left out. Weights and
    running statistics come out bit by bit as they went in.

    Args:
        supernet: whose weights both losses depend on.
        optimizer: of those weights; gives momentum and decay.
        rate: learning rate of the step.
        alphas: what the gradient is taken for.
        training: the loss on a training batch, differentiable in weights and alphas.
        validation: the loss on a validation batch, likewise.
    """
    with snapshot(supernet):
        reach = _step(optimizer, rate, training)
        weights = [p for p in supernet.parameters() if p.requires_grad]
        found = torch.autograd.grad(validation(), [*alphas, *weights], allow_unused=True)
    direct = [torch.zeros_like(a) if g is None else g for a, g in zip(alphas, found, strict=False)]
    pairs = zip(weights, found[len(alphas) :], strict=True)
    moves = [(weight, v) for weight, v in pairs if v is not None]
    norm = float(nn.utils.get_total_norm([v for _, v in moves]))
    if norm == 0:
        return direct
    epsilon = SMALL / norm
    with snapshot(supernet), frozen(supernet):
        plus = _moved_gradients(moves, epsilon, alphas, training)
        minus = _moved_gradients(moves, -2 * epsilon, alphas, training)
    return [
        first - reach * (up - down) / (2 * epsilon)
        for first, up, down in zip(direct, plus, minus, strict=True)
    ]


@contextmanager
def snapshot(module: nn.Module) -> Iterator[None]:
    """Gives weights and buffers back, bit by bit, what they held at the start."""
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in module.state_dict().items():
                value.copy_(kept[name])


def _step(optimizer: torch.optim.SGD, rate: float, training: Scalar) -> float:
    """Does the optimiser's next step, leaving its state alone; returns -dw'/dgradient."""
    groups = optimizer.param_groups
    weights = [p for group in groups for p in group["params"] if p.requires_grad]
    gradients = torch.autograd.grad(training(), weights, allow_unused=True)
    slopes = dict(zip(weights, gradients, strict=True))
    reach = rate
    for group in groups:
        momentum, nesterov = group["momentum"], group["nesterov"]
        reach = rate * (1 + momentum) if nesterov else rate
        for weight in group["params"]:
            gradient = slopes.get(weight)
            if gradient is None:
                continue
            slope = gradient + group["weight_decay"] * weight.detach()
            buffer = optimizer.state[weight].get("momentum_buffer")
            average = slope if buffer is None else momentum * buffer + slope
            step = slope + momentum * average if nesterov else average
            weight.detach().sub_(step, alpha=rate)
    return reach


def _moved_gradients(
    moves: Sequence[tuple[torch.Tensor, torch.Tensor]],
    distance: float,
    alphas: Sequence[torch.Tensor],
    training: Scalar,
) -> list[torch.Tensor]:
    """Gradient of the training loss after the weights have moved along v, where they stay."""
    with torch.no_grad():
        for weight, v in moves:
            weight += distance * v
    return list(torch.autograd.grad(training(), alphas))
