"""Trains binary networks in two stages, the second from the weights of the first.

As in BATS (Bulat et al., ECCV 2020) a network is first trained with signs for inputs and real
weights, and then with signs for both. Each stage takes half of the training and has a whole
schedule of its own. Networks without binary operations have no stages.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch
from torch import nn

from autospace.compute.execution import PLAIN, Execution
from autospace.data.batches import Batch, BatchSource
from autospace.networks.binary import (
    BinaryConvolution,
    PrecisionStage,
    has_signs,
    set_precision,
)
from autospace.spaces.errors import AutospaceError
from autospace.training.short import Recipe, train
from autospace.training.task import Task

FIRST: Final[PrecisionStage] = "binary_inputs"


class StageError(AutospaceError):
    """A stage that a network does not have."""


def first_stage(network: nn.Module, asked: PrecisionStage | None) -> PrecisionStage | None:
    """The stage in which a training begins; None for a network that has no stages.

    Raises:
        StageError: one is asked for, but the network has no binary operations.
    """
    if has_signs(network):
        return asked or FIRST
    if asked is not None:
        problem = f"{asked}, but the network has no binary operations"
        raise StageError(f"precision_stage: {problem}; allowed: leave it out")
    return None


def in_stage(network: nn.Module, stage: PrecisionStage) -> None:
    """Says which stage the weights of a network belong to; they stay as they are."""
    for part in network.modules():
        if isinstance(part, BinaryConvolution):
            part.precision = stage


@dataclass(frozen=True, slots=True)
class _Later:
    """The batches from a step on."""

    batches: BatchSource
    start: int

    def batch(self, step: int) -> Batch:
        return self.batches.batch(self.start + step)


def train_in_stages(
    network: nn.Module,
    batches: BatchSource,
    recipe: Recipe,
    asked: PrecisionStage | None = None,
    *,
    execution: Execution = PLAIN,
    task: Task | None = None,
    after_step: Callable[[int, torch.Tensor], None] | None = None,
) -> None:
    """Trains a network in place for the steps of a recipe, in stages if it has some.

    Args:
        network: in stage `binary` if it is binary; it ends there.
        batches: all stages together see those of the recipe's steps.
        recipe: its steps are divided between the stages.
        asked: the first stage; `binary` for no other one.
        execution: how the steps are computed.
        task: what the network is trained to do; see `train`.
        after_step: is called after every step of a stage; see `train`.

    Raises:
        StageError: see `first_stage`.
    """
    stage = first_stage(network, asked)
    learn = partial(train, execution=execution, task=task, after_step=after_step)
    if stage is None:
        learn(network, batches, recipe)
        return
    first = 0 if stage == "binary" else recipe.steps // 2
    if first:
        set_precision(network, stage)
        learn(network, batches, replace(recipe, steps=first))
    set_precision(network, "binary")
    rest = replace(recipe, steps=recipe.steps - first)
    learn(network, _Later(batches, first), rest)
