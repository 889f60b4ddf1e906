"""In-place scoring: every candidate alone, trained with the true loss inside the frozen reference.

Dearer than `autospace.scorers.local` by the layers that its gradients pass through, and the check
on it.
"""

import torch
from torch import nn
from torch.nn import functional as F

from autospace.compute.execution import widened
from autospace.networks.features import LayerInput, layer_inputs
from autospace.networks.network import Network, joined
from autospace.scorers.alone import LoneScorer
from autospace.scorers.context import Setting
from autospace.spaces.cells.cell import Cell


class InPlaceScorer(LoneScorer[LayerInput]):
    """Fitness in units of cross-entropy per image."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting, layer_inputs)

    def learner(self, layer: int, cell: Cell, repeat: int) -> nn.Module:
        """The cell."""
        return self.setting.candidate(layer, cell, repeat)

    def objective(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """The loss itself."""
        return self.loss(layer, learner, seen)

    def loss(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """Cross-entropy of the reference network with this cell at the layer."""
        return loss_with(self.setting.reference, layer, learner, seen)


def loss_with(reference: Network, layer: int, module: nn.Module, seen: LayerInput) -> torch.Tensor:
    """Cross-entropy of the reference network with another cell at one layer."""
    shape = reference.skeleton.shapes[layer]
    logits = reference.rest(joined(shape, seen.x, module(seen.x)), layer + 1)
    return F.cross_entropy(widened(logits), seen.labels)
