"""Local scoring: every candidate alone, on a local model of the loss around the reference.

With the reference frozen, replacing the output y of one of its cells by c(x) changes an image's
loss by about q = <g, c(x) - y> + rho / 2 |c(x) - y|^2, g = dL/dy. A candidate is trained to
minimise q, and its fitness is the fall of the loss -q that it promises on validation images,
beyond what the reference's own cell promises after the same training. No graph through the
network, no interference between candidates: memory is that of one cell, whatever K.
"""

import math
from collections.abc import Sequence

import torch

from autospace.cells import CellModule
from autospace.scorers.setting import Setting
from autospace.scorers.traces import LayerTrace, Traces
from autospace.spaces.cell import Cell

MOMENTUM = 0.9
PROBE_STEP = 0


class LocalScorer:
    """Fitness in units of cross-entropy per image; a pure function of layer, cell and repeat."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._training = Traces(setting.reference, setting.training)
        self._validation = Traces(setting.reference, setting.validation)
        self._yardsticks: dict[int, list[float]] = {}
        probe = self._training[PROBE_STEP]
        self._rho = [setting.options.rho * _rms(t.g) / _rms(t.y) for t in probe]
        self._scale = [_rms(t.y) ** 2 for t in probe]

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.loop.Scorer`."""
        if repeat not in self._yardsticks:
            reference = self._setting.reference
            references = [[reference.cell(index).cell] for index in range(len(self._rho))]
            self._yardsticks[repeat] = [gain for (gain,) in self._gains(references, repeat)]
        gains = self._gains(candidates, repeat)
        pairs = zip(gains, self._yardsticks[repeat], strict=True)
        return [[gain - yardstick for gain in layer] for layer, yardstick in pairs]

    def _gains(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """-q of every candidate after its training."""
        modules = [
            [self._setting.candidate(layer, cell, repeat) for cell in cells]
            for layer, cells in enumerate(candidates)
        ]
        self._train(modules, repeat)
        return self._measure(modules, repeat)

    def _train(self, modules: list[list[CellModule]], repeat: int) -> None:
        options = self._setting.options
        optimizers = [[_optimizer(m, options.learning_rate) for m in layer] for layer in modules]
        steps = self._setting.training_steps(repeat, options.steps)
        for done, step in enumerate(steps):
            self._setting.tick(done, options.steps)
            rate = options.learning_rate * 0.5 * (1 + math.cos(math.pi * done / options.steps))
            for layer, trace in enumerate(self._training[step]):
                target = trace.y - trace.g / self._rho[layer]
                for module, optimizer in zip(modules[layer], optimizers[layer], strict=True):
                    # q up to a constant, divided by rho * mean square of y: one rate fits all.
                    loss = (module(trace.x) - target).square().mean() / self._scale[layer]
                    for group in optimizer.param_groups:
                        group["lr"] = rate
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()

    @torch.no_grad()
    def _measure(self, modules: list[list[CellModule]], repeat: int) -> list[list[float]]:
        sums = [[0.0] * len(layer) for layer in modules]
        images = 0
        for step in self._setting.validation_steps(repeat):
            traces = self._validation[step]
            images += len(traces[0].x)
            for layer, trace in enumerate(traces):
                for index, module in enumerate(modules[layer]):
                    sums[layer][index] -= local_model(trace, module(trace.x), self._rho[layer])
        return [[value / images for value in layer] for layer in sums]


def local_model(trace: LayerTrace, output: torch.Tensor, rho: float) -> float:
    """Q summed over the images: the modelled change of the loss when y becomes `output`."""
    change = output - trace.y
    return float((trace.g * change).sum() + 0.5 * rho * change.square().sum())


def _optimizer(module: CellModule, rate: float) -> torch.optim.SGD:
    return torch.optim.SGD(module.parameters(), rate, momentum=MOMENTUM, nesterov=True)


def _rms(tensor: torch.Tensor) -> float:
    return max(float(tensor.square().mean().sqrt()), 1e-12)
