"""Gated scoring: single-path training, then the gradients of gates at the reference.

For a gate g_k on candidate k, ProxylessNAS (Cai et al., ICLR 2019) computes
dL/dg_k = <dL/dy, c_k(x)>. While the reference r is active, moving the gate from it to candidate k
changes the loss by <dL/dy, c_k(x) - r(x)> to first order. Fitness is the negative of this change.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from autospace.compute.execution import widened
from autospace.data.batches import Batch
from autospace.networks.features import LayerTrace, layer_traces
from autospace.scorers.context import REFERENCE, ReferenceSupernet, ScoringContext
from autospace.seeds import stream
from autospace.spaces.cells.cell import Cell
from autospace.training.short import Recipe, make_optimizer, set_rate
from autospace.training.task import Task


class GatedScorer:
    """Fitness in units of cross-entropy per image, to first order."""

    def __init__(self, setting: ScoringContext) -> None:
        self._setting = setting

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        self._setting.execution.parts.begin_again()
        supernet = ReferenceSupernet(self._setting, candidates, repeat)
        steps = train_single_path(supernet, self._setting, repeat)
        found = self._gate_gradients(supernet, repeat)
        self._setting.keep(supernet, steps)
        return found

    def _gate_gradients(self, supernet: ReferenceSupernet, repeat: int) -> list[list[float]]:
        supernet.network.requires_grad_(False)
        device = self._setting.device
        sums = [
            torch.zeros(len(supernet.cells(layer)), dtype=torch.float64, device=device)
            for layer in range(len(supernet.choices))
        ]
        images = 0
        for step in self._setting.validation_steps(repeat):
            batch = self._setting.validation.batch(step)
            images += len(batch[1])
            for gradients in self._batch_gradients(supernet, batch):
                for total, gradient in zip(sums, gradients, strict=True):
                    total += gradient
        return [(total / images).tolist() for total in sums]

    def _batch_gradients(
        self, supernet: ReferenceSupernet, batch: Batch
    ) -> list[list[torch.Tensor]]:
        """The `_layer_gradients` of all layers, for every part of the batch."""
        found: list[list[torch.Tensor]] = []

        def work(part: Batch, share: float) -> None:
            with self._setting.execution.autocast():
                traces = layer_traces(self._setting.task.loss, supernet.network, *part)
                pairs = zip(traces, supernet.candidates, strict=True)
                found.append(
                    [_layer_gradients(trace, list(row.children())) for trace, row in pairs]
                )

        self._setting.execution.parts.each(work, batch, found.clear)
        return found


@torch.no_grad()
def _layer_gradients(trace: LayerTrace, modules: Sequence[nn.Module]) -> torch.Tensor:
    """-<g, c_k(x) - y> of every candidate k of a layer, summed over the images."""
    found = trace.g.new_zeros(len(modules), dtype=torch.float64)
    for index, module in enumerate(modules):
        change = widened(module(trace.x)) - widened(trace.y)
        found[index] -= (widened(trace.g) * change).sum()
    return found


def train_single_path(supernet: ReferenceSupernet, setting: ScoringContext, repeat: int) -> int:
    """Trains all weights with one choice per layer active, every choice equally often.

    Returns how many steps it trained them.
    """
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
        optimizer.zero_grad(set_to_none=True)
        loss = partial(_path_loss, supernet, setting.task, path)
        setting.execution.backward(loss, setting.training.batch(step), supernet.parameters())
        nn.utils.clip_grad_norm_(supernet.parameters(), recipe.clip)
        optimizer.step()
    return recipe.steps


def _path_loss(
    supernet: ReferenceSupernet, task: Task, path: Sequence[int], batch: Batch
) -> torch.Tensor:
    images, labels = batch
    return task.loss(supernet.single_path(images, path), labels)


def one_shot_losses(
    supernet: ReferenceSupernet, setting: ScoringContext, repeat: int
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
                values = [setting.task.loss(supernet.single_path(x, path), t) for x, t in batches]
                row.append(float(torch.stack(values).mean()))
            losses.append(row)
    return losses
