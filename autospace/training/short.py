"""Training a network for some steps, and measuring it: for warm-up, ground truth, comparison."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

from autospace.compute.execution import PLAIN, Execution, widened
from autospace.training.optimizers import decay_groups, set_rate, sgd
from autospace.training.schedule import rate

Batch = tuple[torch.Tensor, torch.Tensor]


class BatchSource(Protocol):
    """Training batches as a pure function of the step, so that a resumed run sees the same."""

    def batch(self, step: int) -> Batch:
        """Images [N, C, H, W] and labels [N] of a step."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """SGD with Nesterov momentum, a linear warm-up and a cosine to zero.

    Attributes:
        steps: optimiser steps.
        learning_rate: peak of the schedule.
        weight_decay: on convolution and linear weights only, not on norms and biases.
        warm_up: share of the steps over which the rate rises.
        clip: largest gradient norm.
    """

    steps: int
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warm_up: float = 0.1
    label_smoothing: float = 0.0
    clip: float = 5.0

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        rise = max(1, round(self.warm_up * self.steps))
        return rate(step, self.steps, rise, self.learning_rate)


def make_optimizer(
    network: nn.Module, recipe: Recipe, execution: Execution = PLAIN
) -> torch.optim.SGD:
    """SGD over a network's weights, decay on matrices and kernels only."""
    groups = decay_groups(network, recipe.weight_decay)
    return sgd(groups, recipe.learning_rate, recipe.momentum, 0.0, execution)


def train(
    network: nn.Module,
    batches: BatchSource,
    recipe: Recipe,
    *,
    optimizer: torch.optim.SGD | None = None,
    start: int = 0,
    after_step: Callable[[int, torch.Tensor], None] | None = None,
    execution: Execution = PLAIN,
) -> None:
    """Trains a network in place for the steps from `start` to the end of the recipe.

    `after_step` is called with the step just done and its loss, a scalar on the device that holds
    until the next step.
    """
    optimizer = optimizer or make_optimizer(network, recipe, execution)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    network.train()

    def loss_of(batch: Batch) -> torch.Tensor:
        images, labels = batch
        smoothing = recipe.label_smoothing
        return F.cross_entropy(widened(network(images)), labels, label_smoothing=smoothing)

    def advance(batch: Batch) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = execution.backward(loss_of, batch, parameters)
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        return loss

    replayed = execution.replayed(advance)
    for step in range(start, recipe.steps):
        set_rate(optimizer, recipe.rate(step))
        loss = replayed(batches.batch(step))
        if after_step is not None:
            after_step(step, loss)


@dataclass(frozen=True, slots=True)
class Measured:
    """Accuracy and mean cross-entropy over so many images."""

    accuracy: float
    loss: float
    images: int


@torch.no_grad()
def measure(network: nn.Module, batches: Iterable[Batch]) -> Measured:
    """Accuracy and loss of a network in evaluation mode."""
    network.eval()
    right, loss, images = 0, 0.0, 0
    for inputs, labels in batches:
        logits = network(inputs)
        right += int((logits.argmax(1) == labels).sum())
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        images += len(labels)
    return Measured(right / images, loss / images, images)
