"""Trains a network for a number of steps, and measures it: for warm-up, trials and evaluations.

Optimisers are made here, for full trainings too. The learning rate rises linearly in the warm-up
and then follows a cosine.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import nn

from autospace.compute.execution import PLAIN, Execution
from autospace.compute.ranks import ALONE, Ranks
from autospace.data.batches import Batch, BatchSource
from autospace.training.settings import OptimizerConfig
from autospace.training.task import CLASSIFICATION, Classification, Task


def rate(step: int, steps: int, rise: int, peak: float, final: float = 0.0) -> float:
    """Learning rate of a step, counted from 0.

    Args:
        step: below `steps`.
        steps: of the whole training.
        rise: the first steps, over which the rate rises linearly to its peak; at least 1.
        peak: the largest rate.
        final: the end of the cosine, which is reached after the last step.
    """
    if step < rise:
        return peak * (step + 1) / rise
    progress = (step - rise) / max(1, steps - rise)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))


def make_scheduler(
    optimizer: torch.optim.Optimizer, *, steps: int, rise: int, final: float, start: int = 0
) -> torch.optim.lr_scheduler.LRScheduler:
    """The schedule as one of torch; it is a function of the step, so it has no state to save.

    Args:
        optimizer: its rate is the peak.
        steps: of the whole training.
        rise: steps of the warm-up; at least 1.
        final: share of the peak that is left at the end.
        start: the step that comes next.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    factor = partial(rate, steps=steps, rise=rise, peak=1.0, final=final)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=start - 1)


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
    """SGD with Nesterov momentum, over parameters or groups of them; ready to be recorded."""
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


def optimizer_of(
    network: nn.Module, options: OptimizerConfig, execution: Execution = PLAIN
) -> torch.optim.Optimizer:
    """The optimiser that the settings describe; its rate is the peak of the schedule."""
    groups = decay_groups(network, options.weight_decay)
    if options.method == "sgd":
        return sgd(groups, options.learning_rate, options.momentum, 0.0, execution)
    betas = (options.momentum, ADAM_SECOND_MOMENT)
    if not execution.records:
        return torch.optim.AdamW(groups, options.learning_rate, betas)
    held = torch.tensor(options.learning_rate, device=execution.device)
    return torch.optim.AdamW(groups, held, betas, capturable=True)


RATES: Final[Mapping[str, float]] = {"text": 1.0, "captions": 0.3, "sentences": 0.03}
"""Peak learning rates of networks that read something else than images, which have 0.1."""


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
    stop: int | None = None,
    after_step: Callable[[int, torch.Tensor], None] | None = None,
    execution: Execution = PLAIN,
    task: Task | None = None,
) -> None:
    """Trains a network in place for the steps from `start` to `stop`, or to the end of the recipe.

    `after_step` is called after every step, with its number and its loss, a scalar on the device
    that is valid until the next step. The default task is classification with the label smoothing
    of the recipe.
    """
    optimizer = optimizer or make_optimizer(network, recipe, execution)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    learned = task or Classification(recipe.label_smoothing)
    network.train()

    def loss_of(batch: Batch) -> torch.Tensor:
        images, labels = batch
        return learned.loss(network(images), labels)

    def advance(batch: Batch) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = execution.backward(loss_of, batch, parameters)
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        return loss

    replayed = execution.replayed(advance)
    for step in range(start, recipe.steps if stop is None else stop):
        set_rate(optimizer, recipe.rate(step))
        loss = replayed(batches.batch(step))
        if after_step is not None:
            after_step(step, loss)


@dataclass(frozen=True, slots=True)
class Measured:
    """Accuracy and mean cross-entropy over a number of images."""

    accuracy: float
    loss: float
    images: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return accuracy_interval(self.accuracy, self.images)


def accuracy_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of an accuracy that was measured on a number of images.

    It says how far the accuracy on all images of this kind may be from that on these images; the
    chance of another training is not in it.
    """
    if not count:
        return 0.0, 1.0
    right = round(share * count) / count
    spread = right * (1 - right) + _Z * _Z / (4 * count)
    half = _Z * math.sqrt(spread / count)
    middle, scale = right + _Z * _Z / (2 * count), 1 + _Z * _Z / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


_Z: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution; SciPy, which knows it, takes a second to load."""


@torch.no_grad()
def measure(
    network: nn.Module,
    batches: Iterable[Batch],
    task: Task = CLASSIFICATION,
    ranks: Ranks = ALONE,
) -> Measured:
    """Accuracy and loss of a network in evaluation mode.

    Args:
        network: to measure.
        batches: of several processes, every one measures others.
        task: what the network does.
        ranks: the processes that measure together; the sums do not depend on their number.
    """
    network.eval()
    # Added up where the images are and looked at once: a look is a wait for a GPU.
    sums: list[torch.Tensor] = []
    counts: list[int] = []
    for inputs, labels in batches:
        logits = network(inputs)
        found = (task.right(logits, labels).sum(), task.loss(logits, labels, "sum"))
        sums.append(torch.stack([each.double() for each in found]))
        counts.append(len(labels))
    own = torch.stack(sums).tolist() if sums else []
    rows = ranks.interleaved([[*each, n] for each, n in zip(own, counts, strict=True)])
    right, loss, images = (sum(column) for column in zip(*rows, strict=True))
    return Measured(right / images, loss / images, int(images))
