"""Probe scoring: every candidate alone on the frozen reference's features, with its own classifier.

A candidate gets the input of its layer in the reference network, and the layer's shortcut if there
is one. A small classifier of its own reads its output: ReLU, average pooling to a few pixels, a
linear layer. Of sentences, it reads the mean over the tokens that are no padding, as the
classifier of the network does. Cell and classifier are trained together on the true labels. Fitness
is the validation loss with the reference's own cell minus that with the candidate. The candidate
need not imitate the reference, and no gradient passes through the network, so a step costs one
cell.

Related methods are linear classifier probes (Alain and Bengio, 2016) and greedy layer-wise training
(Belilovsky et al., ICML 2019); here they measure cells.

Calibrated scoring: the same on one scale for all layers, shrunk towards counting.

A probe does not see what later layers repair, so its fitness means more at one depth than at
another. Calibrated scoring measures a candidate in shares of its layer's worth, which is how much
fitter the reference's cell is than the cheapest cell, and multiplies by the layer's sensitivity:
the product of the root mean squares of its output y and of the gradient g = dL/dy in the trained
reference, times the size of y. Up to a constant, this is how much the loss can change when a cell
of the layer is replaced. It takes no training.

A noisy measurement is improved by shrinking it towards a prediction (James and Stein, 1961). The
prediction is the logarithm of the params, also in shares of the way from the cheapest cell to the
reference's.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

from autospace.compute.execution import Execution, widened
from autospace.networks.cells import CellModule
from autospace.networks.encoder import Tokens, apart, linear
from autospace.networks.features import LayerInput, LayerTrace, Steps, layer_inputs, layer_traces
from autospace.networks.network import joined, placed
from autospace.scorers.context import ScoringContext
from autospace.scorers.independent import IndependentScorer
from autospace.scorers.scorer import Scorer
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import cell_cost, family_of

SENSITIVITY_BATCHES: Final = 4
TRACED_PIXELS: Final = 128 * 64**2
"""Of the images that go through the reference at a time on a CPU, forward and backward."""
LEAST_WORTH: Final = 0.05
"""In units of cross-entropy: a layer that seems worth less is taken to be worth this much."""


class Probe(nn.Module):
    """A candidate and its classifier: layer input [N, C, H, W] -> logits."""

    def __init__(self, module: CellModule, shape: LayerShape, classes: int, pool: int) -> None:
        super().__init__()
        self.module, self.shape = module, shape
        self.pool = min(pool, shape.out_resolution)
        # As before the network's own pooling: a bare cell does not normalise what it passes on.
        self.norm: nn.Module = nn.Identity()
        if not shape.around:
            self.norm = nn.BatchNorm2d(shape.out_channels)
        self.classifier = nn.Linear(shape.out_channels * self.pool**2, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits from the layer's input."""
        features = F.relu(self.norm(joined(self.shape, x, self.module(x))))
        pooled = _pooled(features, self.pool)
        logits: torch.Tensor = self.classifier(pooled.flatten(1))
        return logits


def _pooled(x: torch.Tensor, side: int) -> torch.Tensor:
    """The averages of side x side equal parts of x [N, C, H, W], where there are such parts."""
    height, width = x.shape[2:]
    if x.device.type != "cuda" or height % side or width % side:
        return F.adaptive_avg_pool2d(x, side)
    # The same numbers; its kernel took five times as long as a mean on a GPU.
    parts = x.reshape(*x.shape[:2], side, height // side, side, width // side)
    return parts.mean((3, 5))


class TokenProbe(nn.Module):
    """A candidate and its classifier: tokens side by side with their presence -> logits."""

    def __init__(self, module: CellModule, shape: LayerShape, classes: int) -> None:
        super().__init__()
        self.module = module
        self.classifier = linear(shape.out_channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits from the layer's input [N, T, W + 1]."""
        logits: torch.Tensor = self.classifier(Tokens(self.module(x), apart(x).present).mean)
        return logits


class ProbeScorer(IndependentScorer[LayerInput]):
    """Fitness in units of cross-entropy per image."""

    def __init__(self, setting: ScoringContext) -> None:
        super().__init__(setting, layer_inputs)

    def learner(self, layer: int, cell: Cell, repeat: int) -> nn.Module:
        """The cell, and a classifier with equal initial weights for all candidates of a layer."""
        skeleton = self.setting.reference.skeleton
        module = self.setting.candidate(layer, cell, repeat)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.setting.seed, "probe", layer, repeat))
            shape, classes = skeleton.shapes[layer], skeleton.classes
            probe: nn.Module
            if skeleton.reads == "sentences":
                probe = TokenProbe(module, shape, classes)
            else:
                probe = Probe(module, shape, classes, self.setting.options.pool)
        return placed(probe, self.setting.device).train()

    def objective(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """The loss itself."""
        return self.loss(layer, learner, seen)

    def loss(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """Mean loss of the probe."""
        return self.setting.task.loss(learner(seen.x), seen.labels)


class Calibrated:
    """Fitness in units of cross-entropy per image, of an average layer."""

    def __init__(self, scorer: Scorer, context: ScoringContext) -> None:
        self._scorer, self._context = scorer, context
        reference = context.reference
        self._shapes = reference.skeleton.shapes
        self._reference = context.own_cells
        self._factors: list[tuple[float, float]] | None = None

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        if self._factors is None:
            self._factors = self._calibrated()
        measured = self._scorer.score(candidates, repeat)
        return [
            [scale * value + prior * guess for value, guess in zip(values, guesses, strict=True)]
            for (scale, prior), values, guesses in zip(
                self._factors, measured, self._predicted(candidates), strict=True
            )
        ]

    def _calibrated(self) -> list[tuple[float, float]]:
        """Per layer, the factors of the measured fitness and of the predicted one."""
        pairs = zip(self._reference, self._shapes, strict=True)
        least = [[family_of(cell).least(shape)] for cell, shape in pairs]
        worths = [max(LEAST_WORTH, -value) for (value,) in self._scorer.score(least, 0)]
        # A reference that is the cheapest cell itself has nothing to be shrunk by.
        spans = [-value or math.inf for (value,) in self._predicted(least)]
        sensitivities = layer_sensitivities(self._context)
        # The average layer keeps its unit.
        unit = sum(worths) / (sum(sensitivities) or 1.0)
        return [
            (unit * each / worth, self._context.options.shrinkage * unit * each / span)
            for each, worth, span in zip(sensitivities, worths, spans, strict=True)
        ]

    def _predicted(self, candidates: Sequence[Sequence[Cell]]) -> list[list[float]]:
        """The logarithm of the params of every candidate over those of the reference's cell."""
        return [
            [_log_params(cell, shape) - _log_params(own, shape) for cell in row]
            for row, shape, own in zip(candidates, self._shapes, self._reference, strict=True)
        ]


def _log_params(cell: Cell, shape: LayerShape) -> float:
    return math.log1p(cell_cost(cell, shape).params)


def layer_sensitivities(context: ScoringContext) -> list[float]:
    """Per layer of the reference, rms(y) rms(g) times the numbers in y of one image.

    At a skipped layer, where y = 0, rms(x) stands for rms(y).
    """
    look = partial(layer_traces, context.task.loss)
    steps = Steps(context.reference, context.validation, look, _in_parts(context), 0)
    layers = range(len(context.reference.skeleton.shapes))
    found = torch.stack(
        [
            torch.stack([_sensitivity(trace) for trace in steps.at(step, layers)])
            for step in range(SENSITIVITY_BATCHES)
        ]
    )
    # Only now are numbers looked at: a GPU would have to be waited for.
    sensitivities: list[float] = found.mean(0).tolist()
    return sensitivities


def _in_parts(context: ScoringContext) -> Execution:
    """Batches of large images go through the network in parts, whose gradients add up.

    A whole network keeps far more for its gradients than a candidate does. On a GPU batches are
    divided once memory runs out; on a CPU the system would end the process.
    """
    execution, skeleton = context.execution, context.reference.skeleton
    if execution.device.type == "cuda" or skeleton.reads != "images":
        return execution
    images = 2 * context.options.batch  # as many as a batch of validation has
    count = -(-images * skeleton.resolution**2 // TRACED_PIXELS)
    return replace(execution, parts=execution.parts.at_least(count))


def _sensitivity(trace: LayerTrace) -> torch.Tensor:
    return trace.size * widened(trace.g).square().mean().sqrt() * trace.y[0].numel()
