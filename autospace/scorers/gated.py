"""Gated scoring: single-path training, then the gate gradient at the reference.

ProxylessNAS (Cai et al., ICLR 2019) reads dL/dg_k = <dL/dy, c_k(x)> for a gate g_k on candidate k.
With the reference active, moving the gate from it to candidate k changes the loss by
<dL/dy, c_k(x) - r(x)> to first order; fitness is the negative of that.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from autospace.execution import widened
from autospace.scorers.setting import Setting
from autospace.scorers.steps import LayerTrace, layer_traces
from autospace.scorers.supernet import REFERENCE, ReferenceSupernet
from autospace.spaces.cell import Cell
from autospace.streams import stream
from autospace.training import Recipe, make_optimizer, set_rate


class GatedScorer:
    """Fitness in units of cross-entropy per image, to first order."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.fitness.Scorer`."""
        supernet = ReferenceSupernet(self._setting, candidates, repeat)
        train_single_path(supernet, self._setting, repeat)
        return self._gate_gradients(supernet, repeat)

    def _gate_gradients(self, supernet: ReferenceSupernet, repeat: int) -> list[list[float]]:
        network = supernet.network.requires_grad_(False)
        execution = self._setting.execution
        sums = [
            torch.zeros(len(supernet.cells(layer)), dtype=torch.float64, device=execution.device)
            for layer in range(len(supernet.choices))
        ]
        images = 0
        for step in self._setting.validation_steps(repeat):
            batch = self._setting.validation.batch(step)
            images += len(batch[1])
            with execution.autocast():
                traces = layer_traces(network, *batch)
                for total, trace, modules in zip(sums, traces, supernet.candidates, strict=True):
                    _add_slopes(total, trace, list(modules.children()))
        return [(total / images).tolist() for total in sums]


@torch.no_grad()
def _add_slopes(total: torch.Tensor, trace: LayerTrace, modules: Sequence[nn.Module]) -> None:
    for index, module in enumerate(modules):
        change = widened(module(trace.x)) - widened(trace.y)
        total[index] -= (widened(trace.g) * change).sum()


def train_single_path(supernet: ReferenceSupernet, setting: Setting, repeat: int) -> None:
    """Trains all weights with one choice per layer active, every choice equally often."""
    options = setting.options
    sizes = [len(modules) for modules in supernet.choices]
    recipe = Recipe(options.steps * max(sizes), options.learning_rate, weight_decay=4e-5)
    optimizer = make_optimizer(supernet, recipe)
    rng = stream(setting.seed, "paths", repeat)
    queues: list[list[int]] = [[] for _ in sizes]
    for done, step in enumerate(setting.training_steps(repeat, recipe.steps)):
        setting.tick(done, recipe.steps)
        for queue, size in zip(queues, sizes, strict=True):
            if not queue:
                queue.extend(rng.sample(range(size), size))
        path = [queue.pop() for queue in queues]
        set_rate(optimizer, recipe.rate(done))
        images, labels = setting.training.batch(step)
        with setting.execution.autocast():
            logits = supernet.single_path(images, path)
        loss = F.cross_entropy(widened(logits), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(supernet.parameters(), recipe.clip)
        optimizer.step()


def one_shot_losses(
    supernet: ReferenceSupernet, setting: Setting, repeat: int
) -> list[list[float]]:
    """Validation loss of each candidate alone among reference cells, with shared weights."""
    losses = []
    with torch.no_grad():
        for layer, modules in enumerate(supernet.choices):
            row = []
            for choice in range(len(modules) - 1):
                path = [REFERENCE] * len(supernet.choices)
                path[layer] = choice
                batches = [setting.validation.batch(s) for s in setting.validation_steps(repeat)]
                values = [F.cross_entropy(supernet.single_path(x, path), t) for x, t in batches]
                row.append(float(torch.stack(values).mean()))
            losses.append(row)
    return losses
