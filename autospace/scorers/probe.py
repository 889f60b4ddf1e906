"""Probe scoring: every candidate alone on the frozen reference's features, with its own classifier.

A candidate gets the input of its layer in the reference network, and the layer's shortcut if there
is one. A small classifier of its own reads its output: ReLU, average pooling to a few pixels, a
linear layer. Cell and classifier are trained together on the true labels. Fitness is the validation
loss with the reference's own cell minus that with the candidate. The candidate need not imitate the
reference, and no gradient passes through the network, so a step costs one cell.

Related methods are linear classifier probes (Alain and Bengio, 2016) and greedy layer-wise training
(Belilovsky et al., ICML 2019); here they measure cells.
"""

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import CellModule
from autospace.networks.features import LayerInput, layer_inputs
from autospace.networks.network import joined, placed
from autospace.scorers.context import ScoringContext
from autospace.scorers.independent import IndependentScorer
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell, LayerShape


class Probe(nn.Module):
    """A candidate and its classifier: layer input [N, C, H, W] -> logits."""

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
            pool = self.setting.options.pool
            probe = Probe(module, skeleton.shapes[layer], skeleton.classes, pool)
        return placed(probe, self.setting.device).train()

    def objective(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """The loss itself."""
        return self.loss(layer, learner, seen)

    def loss(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """Mean loss of the probe."""
        return self.setting.task.loss(learner(seen.x), seen.labels)
