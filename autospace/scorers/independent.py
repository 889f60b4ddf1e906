"""Base of the scorers that train every candidate alone with the frozen reference.

Candidates are independent: a loss depends on layer, cell and repeat alone, whatever else is
trained. Memory holds the weights of all candidates, but the activations of one cell only. All
candidates are trained on the same batches. `autospace.scorers.pooled` turns losses into fitness.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import ClassVar, Generic

import torch
from torch import nn

from autospace.compute.execution import Execution
from autospace.compute.narrow_weights import Weights, weights_of
from autospace.networks.features import Look, Seen, Steps
from autospace.scorers.context import ScoringContext
from autospace.spaces.cells.cell import Cell
from autospace.training.short import set_rate, sgd

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
CLIP = 5.0
RISE_STEPS = 5

Learners = list[list[nn.Module]]
"""Per layer, the module that is trained for each of its candidates."""


class IndependentScorer(ABC, Generic[Seen]):
    """Trains candidates in this process, all of them step by step."""

    TENSORS_SEEN: ClassVar[int] = 1
    """Tensors as large as a layer's input that `look` keeps for each layer."""

    def __init__(self, setting: ScoringContext, look: Look[Seen]) -> None:
        self.setting = setting
        self._training, self._validation = (
            Steps(setting.reference, source, look, setting.execution, setting.kept_bytes)
            for source in (setting.training, setting.validation)
        )

    @abstractmethod
    def learner(self, layer: int, cell: Cell, repeat: int) -> nn.Module:
        """The module that is trained for a candidate: its cell, and any classifier on top."""

    @abstractmethod
    def objective(self, layer: int, learner: nn.Module, seen: Seen) -> torch.Tensor:
        """The scalar that training minimises on a batch."""

    @abstractmethod
    def loss(self, layer: int, learner: nn.Module, seen: Seen) -> torch.Tensor:
        """The loss that fitness is computed from: a mean over images, in units of cross-entropy."""

    def losses(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """The validation losses of all candidates of all layers, after the training of a repeat."""
        learners = [
            [self.learner(layer, cell, repeat) for cell in cells]
            for layer, cells in enumerate(candidates)
        ]
        if any(learners):
            self._train(learners, repeat)
        return self._measure(learners, repeat)

    def _train(self, learners: Learners, repeat: int) -> None:
        options = self.setting.options
        execution = self.setting.execution
        trained = [learner for layer in learners for learner in layer]
        if not any(list(learner.parameters()) for learner in trained):
            return  # zero cells only
        if execution.device.type != "cpu":
            _keep_no_statistics(learners)
        weights = weights_of(trained, execution)
        wide = weights.wide(each for learner in trained for each in learner.parameters())
        # One optimiser for all candidates, because a weight's step depends on that weight alone.
        optimizer = sgd(wide, 0.0, MOMENTUM, WEIGHT_DECAY, execution)
        offering = _offering(learners)
        alone = _each_alone(learners, execution)
        advance = execution.replayed(partial(self._advance, learners, alone, weights, optimizer))
        for done, step in enumerate(self.setting.training_steps(repeat, options.steps)):
            self.setting.tick(done, options.steps)
            set_rate(optimizer, _rate(options.learning_rate, done, options.steps))
            advance(self._training.at(step, offering))
        weights.renew()  # for the measurement

    def _advance(
        self,
        learners: Learners,
        alone: list[list[Execution]],
        weights: Weights,
        optimizer: torch.optim.SGD,
        shown: list[Seen],
    ) -> None:
        """One step of every candidate: one after the other on a CPU, to save memory."""
        optimizer.zero_grad(set_to_none=True)
        weights.renew()
        pieces, trained = [], []
        for layer, seen in zip(_offering(learners), shown, strict=True):
            for learner, of_its_own in zip(learners[layer], alone[layer], strict=True):
                own = list(learner.parameters())
                if own:  # those without are zero cells
                    objective = partial(self.objective, layer, learner)
                    pieces.append(partial(of_its_own.backward, objective, seen, own))
                    trained.append(weights.wide(own))
        self.setting.execution.lanes.each(pieces)
        weights.collect()
        clip_each(trained, CLIP)
        optimizer.step()

    @torch.no_grad()
    def _measure(self, learners: Learners, repeat: int) -> list[list[float]]:
        # Batch statistics here, too: the running ones lag behind after so few steps.
        steps = self.setting.validation_steps(repeat)
        execution = self.setting.execution
        sums = [
            torch.zeros(len(layer), dtype=torch.float64, device=self.setting.device)
            for layer in learners
        ]
        offering = _offering(learners)
        alone = _each_alone(learners, execution)
        add_losses = execution.replayed(partial(self._add_losses, learners, alone, sums))
        for step in steps if offering else ():
            add_losses(self._validation.at(step, offering))
        # Numbers are read only at the end: each read would wait for the GPU.
        return [(total / len(steps)).tolist() for total in sums]

    def _add_losses(
        self,
        learners: Learners,
        alone: list[list[Execution]],
        sums: list[torch.Tensor],
        shown: list[Seen],
    ) -> None:
        def add(layer: int, index: int, seen: Seen) -> None:
            loss = partial(self.loss, layer, learners[layer][index])
            sums[layer][index] += alone[layer][index].mean(loss, seen)

        self.setting.execution.lanes.each(
            partial(add, layer, index, seen)
            for layer, seen in zip(_offering(learners), shown, strict=True)
            for index in range(len(learners[layer]))
        )


def _keep_no_statistics(learners: Learners) -> None:
    """Saves kernels: candidates are only ever normalised by the statistics of the batch itself.

    Not for a CPU, where the compiled kernels keep the running statistics at no cost.
    """
    for layer in learners:
        for learner in layer:
            for module in learner.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.track_running_stats = False


def clip_each(groups: Sequence[Sequence[nn.Parameter]], most: float) -> None:
    """Scales the gradients of each group of weights down to a norm of at most `most`.

    Gives what `torch.nn.utils.clip_grad_norm_` gives for one group after the other, in fewer
    operations: a norm is one operation for all weights.
    """
    given = [[each.grad for each in group if each.grad is not None] for group in groups]
    gradients = [group for group in given if group]
    if not gradients:
        return
    norms = iter(torch._foreach_norm([each for group in gradients for each in group]))
    totals = [
        torch.linalg.vector_norm(torch.stack(list(islice(norms, len(group)))))
        for group in gradients
    ]
    factors = (most / (torch.stack(totals) + 1e-6)).clamp(max=1.0)
    for group, factor in zip(gradients, factors.unbind(), strict=True):
        torch._foreach_mul_(group, factor)


def _each_alone(learners: Learners, execution: Execution) -> list[list[Execution]]:
    """How each candidate is trained or measured: as if there were no other."""
    return [[execution.alone() for _ in row] for row in learners]


def _offering(learners: Learners) -> list[int]:
    """Layers that have candidates; only their features are computed and kept."""
    return [layer for layer, row in enumerate(learners) if row]


def _rate(peak: float, done: int, steps: int) -> float:
    rise = min(1.0, (done + 1) / RISE_STEPS)
    return peak * rise * 0.5 * (1 + math.cos(math.pi * done / steps))
