"""Probe scoring: every candidate alone on the frozen reference's features, with its own classifier.

A candidate reads what its layer reads in the reference network, is joined as there, and feeds a
small classifier of its own: ReLU, average pooling to a few pixels, a linear layer. Cell and
classifier are trained together on the true labels; fitness is how much lower the validation loss
gets than with the reference's own cell, trained the same way from scratch. Nothing downstream has
to be imitated, nothing is shared between candidates, and no gradient passes through the network:
a step costs one cell.

Kin: linear classifier probes (Alain and Bengio, 2016) and greedy layer-wise training (Belilovsky
et al., ICML 2019), here as a yardstick for cells.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from autospace.cells import CellModule
from autospace.network import joined
from autospace.operations import placed
from autospace.scorers.inputs import Inputs, LayerInput
from autospace.scorers.setting import Setting
from autospace.spaces.cell import Cell
from autospace.spaces.skeleton import LayerShape
from autospace.streams import derived_seed

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
CLIP = 5.0
RISE_STEPS = 5


class ProbeScorer:
    """Fitness in units of cross-entropy per image; a pure function of layer, cell and repeat."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._training = Inputs(setting.reference, setting.training)
        self._validation = Inputs(setting.reference, setting.validation)
        self._yardsticks: dict[int, list[float]] = {}

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.fitness.Scorer`."""
        if repeat not in self._yardsticks:
            reference = self._setting.reference
            cells = [[reference.cell(layer).cell] for layer in range(len(candidates))]
            self._yardsticks[repeat] = [loss for (loss,) in self._losses(cells, repeat)]
        losses = self._losses(candidates, repeat)
        pairs = zip(losses, self._yardsticks[repeat], strict=True)
        return [[yardstick - loss for loss in layer] for layer, yardstick in pairs]

    def _losses(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Validation loss of every candidate after its training."""
        probes = [
            [self._probe(layer, cell, repeat) for cell in cells]
            for layer, cells in enumerate(candidates)
        ]
        self._train(probes, repeat)
        return self._measure(probes, repeat)

    def _probe(self, layer: int, cell: Cell, repeat: int) -> "Probe":
        skeleton = self._setting.reference.skeleton
        module = self._setting.candidate(layer, cell, repeat)
        with torch.random.fork_rng(devices=[]):
            # One classifier for all candidates of a layer: they differ by their cells alone.
            torch.manual_seed(derived_seed(self._setting.seed, "probe", layer, repeat))
            options = self._setting.options
            probe = Probe(module, skeleton.shapes[layer], skeleton.classes, options.pool)
        return placed(probe, next(module.parameters()).device).train()

    def _train(self, probes: list[list["Probe"]], repeat: int) -> None:
        options = self._setting.options
        optimizers = [[_optimizer(probe) for probe in layer] for layer in probes]
        for done, step in enumerate(self._setting.training_steps(repeat, options.steps)):
            self._setting.tick(done, options.steps)
            rate = _rate(options.learning_rate, done, options.steps)
            for layer, given in enumerate(self._training[step]):
                for probe, optimizer in zip(probes[layer], optimizers[layer], strict=True):
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    optimizer.zero_grad(set_to_none=True)
                    probe.loss(given).backward()
                    nn.utils.clip_grad_norm_(probe.parameters(), CLIP)
                    optimizer.step()

    @torch.no_grad()
    def _measure(self, probes: list[list["Probe"]], repeat: int) -> list[list[float]]:
        # Batch statistics here too: the running ones lag behind after so few steps.
        steps = self._setting.validation_steps(repeat)
        sums = [[0.0] * len(layer) for layer in probes]
        for step in steps:
            for layer, given in enumerate(self._validation[step]):
                for index, probe in enumerate(probes[layer]):
                    sums[layer][index] += float(probe.loss(given))
        return [[value / len(steps) for value in layer] for layer in sums]


class Probe(nn.Module):
    """A candidate and the classifier that reads it: layer input [N, C, H, W] -> logits."""

    def __init__(self, module: CellModule, shape: LayerShape, classes: int, pool: int) -> None:
        super().__init__()
        self.module, self.shape = module, shape
        self.pool = min(pool, shape.out_resolution)
        self.classifier = nn.Linear(shape.out_channels * self.pool**2, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits from the layer's input."""
        features = F.relu(joined(self.shape, x, self.module(x)))
        pooled = F.adaptive_avg_pool2d(features, self.pool)
        logits: torch.Tensor = self.classifier(pooled.flatten(1))
        return logits

    def loss(self, given: LayerInput) -> torch.Tensor:
        """Mean cross-entropy."""
        return F.cross_entropy(self(given.x), given.labels)


def _optimizer(probe: Probe) -> torch.optim.SGD:
    return torch.optim.SGD(
        probe.parameters(), 0.0, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
    )


def _rate(peak: float, done: int, steps: int) -> float:
    rise = min(1.0, (done + 1) / RISE_STEPS)
    return peak * rise * 0.5 * (1 + math.cos(math.pi * done / steps))
