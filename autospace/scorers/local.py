"""Local, in-place and distilled scoring: a candidate is trained alone in the frozen reference.

If the output y of one cell of the reference is replaced by c(x), the loss of an image changes by
about q = <g, c(x) - y> + rho / 2 |c(x) - y|^2 with g = dL/dy. `LocalScorer` trains a candidate to
minimise this local model of the loss. Fitness is the predicted decrease of the loss, -q, on
validation images, minus that of the reference's own cell after the same training. No gradient
passes through the network, so a step costs one cell.

`InPlaceScorer` trains a candidate with the true loss. It is more expensive, because gradients pass
through all later layers, and serves to check the local model.

`DistilledScorer` lies between them: the candidate and the layers behind it in its block, which are
frozen, are to give what the block of the reference gives. This is the rating of blockwise
distillation (DNA, Li et al., CVPR 2020) for one cell, with the reference as the teacher. A block
ends where resolution or width changes.
"""

from functools import partial

import torch
from torch import nn

from autospace.compute.execution import widened
from autospace.networks.features import (
    LayerInput,
    LayerTarget,
    LayerTrace,
    layer_inputs,
    layer_targets,
    layer_traces,
)
from autospace.networks.network import Network
from autospace.scorers.context import ScoringContext
from autospace.scorers.independent import IndependentScorer
from autospace.spaces.cells.cell import Cell
from autospace.supernets.blocks import block_ranges, cl, relative_mse
from autospace.training.task import Task

PROBE_STEP = 0


class LocalScorer(IndependentScorer[LayerTrace]):
    """Fitness in units of cross-entropy per image."""

    TENSORS_SEEN = 3

    def __init__(self, setting: ScoringContext) -> None:
        super().__init__(setting, partial(layer_traces, setting.task.loss))
        first = self._training.at(PROBE_STEP, range(len(setting.reference.skeleton.shapes)))
        sizes = [_positive(t.size) for t in first]
        slopes = [_positive(widened(t.g).square().mean().sqrt()) for t in first]
        pairs = zip(slopes, sizes, strict=True)
        self._rho = [setting.options.rho * slope / size for slope, size in pairs]
        self._scale = [size**2 for size in sizes]

    def learner(self, layer: int, cell: Cell, repeat: int) -> nn.Module:
        """The cell."""
        return self.setting.candidate(layer, cell, repeat)

    def objective(self, layer: int, learner: nn.Module, seen: LayerTrace) -> torch.Tensor:
        """Q up to a constant, over rho * mean(y^2), so that one learning rate fits all layers.

        At a skipped layer, where y = 0, mean(x^2) stands for mean(y^2).
        """
        target = widened(seen.y) - widened(seen.g) / self._rho[layer]
        error: torch.Tensor = (widened(learner(seen.x)) - target).square().mean()
        return error / self._scale[layer]

    def loss(self, layer: int, learner: nn.Module, seen: LayerTrace) -> torch.Tensor:
        """The model q, a mean over the images."""
        return local_model(seen, learner(seen.x), self._rho[layer]) / len(seen.x)


def local_model(seen: LayerTrace, output: torch.Tensor, rho: float) -> torch.Tensor:
    """Q summed over the images: the modelled change of the loss when y becomes `output`."""
    change = widened(output) - widened(seen.y)
    return (widened(seen.g) * change).sum() + 0.5 * rho * change.square().sum()


def _positive(size: torch.Tensor) -> float:
    return max(float(size), 1e-12)


class InPlaceScorer(IndependentScorer[LayerInput]):
    """Fitness in units of cross-entropy per image."""

    def __init__(self, setting: ScoringContext) -> None:
        super().__init__(setting, layer_inputs)

    def learner(self, layer: int, cell: Cell, repeat: int) -> nn.Module:
        """The cell."""
        return self.setting.candidate(layer, cell, repeat)

    def objective(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """The loss itself."""
        return self.loss(layer, learner, seen)

    def loss(self, layer: int, learner: nn.Module, seen: LayerInput) -> torch.Tensor:
        """Loss of the reference network with this cell at the layer."""
        return loss_with(self.setting.reference, self.setting.task, layer, learner, seen)


def loss_with(
    reference: Network, task: Task, layer: int, module: nn.Module, seen: LayerInput
) -> torch.Tensor:
    """The loss of the reference network with another cell at one layer."""
    logits = reference.rest(reference.output(layer, seen.x, module(seen.x)), layer + 1)
    return task.loss(logits, seen.labels)


class DistilledScorer(IndependentScorer[LayerTarget]):
    """Fitness in standard deviations of the block's output."""

    TENSORS_SEEN = 2

    def __init__(self, setting: ScoringContext) -> None:
        skeleton = setting.reference.skeleton
        self._lasts = [block.stop - 1 for block in block_ranges(skeleton) for _ in block]
        super().__init__(setting, partial(layer_targets, self._lasts))

    def learner(self, layer: int, cell: Cell, repeat: int) -> nn.Module:
        """The cell."""
        return self.setting.candidate(layer, cell, repeat)

    def objective(self, layer: int, learner: nn.Module, seen: LayerTarget) -> torch.Tensor:
        """Mean squared error over the variance of the target."""
        return relative_mse(self._output(layer, learner, seen), widened(seen.t))

    def loss(self, layer: int, learner: nn.Module, seen: LayerTarget) -> torch.Tensor:
        """Mean absolute error over the standard deviation of the target."""
        return cl(self._output(layer, learner, seen), widened(seen.t))

    def _output(self, layer: int, learner: nn.Module, seen: LayerTarget) -> torch.Tensor:
        """What the block gives with another cell at one of its layers."""
        reference = self.setting.reference
        x = reference.output(layer, seen.x, learner(seen.x))
        for behind in range(layer + 1, self._lasts[layer] + 1):
            x = reference.output(behind, x, reference.cell(behind)(x))
        return widened(x)
