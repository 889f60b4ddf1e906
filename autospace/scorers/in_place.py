"""In-place scoring: every candidate alone, trained with the true loss inside the frozen reference.

The check on `autospace.scorers.local`, dearer by the layers that its gradients pass through.
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from autospace.cells import CellModule
from autospace.network import Network, joined
from autospace.scorers.setting import Setting
from autospace.spaces.cell import Cell
from autospace.training import Batch

MOMENTUM = 0.9


class InPlaceScorer:
    """Fitness: fall of the validation loss beyond that of the reference's own cell, retrained."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._yardsticks: dict[int, list[float]] = {}

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.loop.Scorer`."""
        if repeat not in self._yardsticks:
            reference = self._setting.reference
            self._yardsticks[repeat] = [
                self._loss(layer, reference.cell(layer).cell, repeat)
                for layer in range(len(candidates))
            ]
        total, done = sum(map(len, candidates)), 0
        fitness: list[list[float]] = [[] for _ in candidates]
        for layer, cells in enumerate(candidates):
            for cell in cells:
                self._setting.tick(done, total)
                gain = self._yardsticks[repeat][layer] - self._loss(layer, cell, repeat)
                fitness[layer].append(gain)
                done += 1
        return fitness

    def _loss(self, layer: int, cell: Cell, repeat: int) -> float:
        """Validation loss of the reference with this cell, trained alone, at this layer."""
        options, reference = self._setting.options, self._setting.reference
        module = self._setting.candidate(layer, cell, repeat)
        optimizer = torch.optim.SGD(
            module.parameters(), options.learning_rate, momentum=MOMENTUM, nesterov=True
        )
        for done, step in enumerate(self._setting.training_steps(repeat, options.steps)):
            rate = options.learning_rate * 0.5 * (1 + math.cos(math.pi * done / options.steps))
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = loss_with(reference, layer, module, self._setting.training.batch(step))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        total, images = 0.0, 0
        with torch.no_grad():
            for step in self._setting.validation_steps(repeat):
                batch = self._setting.validation.batch(step)
                total += float(loss_with(reference, layer, module, batch)) * len(batch[1])
                images += len(batch[1])
        return total / images


def loss_with(reference: Network, layer: int, module: CellModule, batch: Batch) -> torch.Tensor:
    """Cross-entropy of the reference network with another cell at one layer."""
    images, labels = batch
    with torch.no_grad():
        x = reference.before(images, layer)
    shape = reference.skeleton.shapes[layer]
    logits = reference.rest(joined(shape, x, module(x)), layer + 1)
    return F.cross_entropy(logits, labels)
