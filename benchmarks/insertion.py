"""True insertions: one cell of the trained reference is replaced, and the network learns on.

    python benchmarks/insertion.py --study ranking --data folder:PATH --out FILE.jsonl [--alone 50]

Per layer and cell, the trained reference network gets the cell in place of its own. First the cell
learns alone for some steps, then the whole network does. The value is the validation loss with a
fresh cell of the reference's kind, trained in the same way, minus that with the cell: in units of
the network's own cross-entropy, unlike the loss of a probe. The study `macro` is that of
`macro_fitness.py`. One line of JSON per scoring seed.

`insertion_report.py` compares the values with the accuracies, alone and as the scale of probes.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import macro_fitness as macro
import torch
from ranking import WARM_UP_STEPS, setting, variants
from ranking_setup import STUDIES

from autospace.compute.machine import keep_freed_memory
from autospace.data.batches import Batch
from autospace.networks.network import Network
from autospace.scorers.context import ScoringContext
from autospace.scorers.independent import CLIP, MOMENTUM, RISE_STEPS
from autospace.spaces import Cell
from autospace.training.short import Recipe, set_rate, sgd, train
from autospace.training.task import CLASSIFICATION

RATE: Final = 0.05
DECAY: Final = 1e-4
MACRO: Final = "macro"


@dataclass(frozen=True)
class Later:
    """The batches of another source, from a step on."""

    context: ScoringContext
    start: int

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        return self.context.training.batch(self.start + step)


def context_of(arguments: argparse.Namespace, seed: int) -> tuple[ScoringContext, list[list[Cell]]]:
    """The trained reference, and the cells under test of every layer."""
    if arguments.study == MACRO:
        context = macro.setting(arguments.data, arguments.reference, seed, arguments.warm_up)
        return context, macro.CELLS
    study = STUDIES[arguments.study]
    images = study.load_images(arguments.data)
    context = setting(images, seed, variants()["probe"], WARM_UP_STEPS, study)
    tested = study.layers.values()
    layers = range(len(study.skeleton.layers))
    return context, [study.cells_of(layer) if layer in tested else [] for layer in layers]


def value(context: ScoringContext, layer: int, cell: Cell, alone: int, together: int) -> float:
    """Minus the validation loss of the reference with this cell, after both trainings."""
    network = copy.deepcopy(context.reference)
    module = context.candidate(layer, cell, 0)
    network.layers[layer] = module
    _train_cell(network, list(module.parameters()), context, alone)
    network.requires_grad_(True)
    recipe = Recipe(together, RATE, weight_decay=DECAY)
    train(network, Later(context, alone), recipe)
    return -_loss(network, context)


def _train_cell(
    network: Network, weights: list[torch.nn.Parameter], context: ScoringContext, steps: int
) -> None:
    """Trains the weights of one cell; the frozen rest stays in evaluation mode."""
    if not weights:
        return  # the zero cell
    optimizer = sgd(weights, 0.0, MOMENTUM, DECAY, context.execution)
    for step in range(steps):
        rise = min(1.0, (step + 1) / RISE_STEPS)
        set_rate(optimizer, RATE * rise * 0.5 * (1 + math.cos(math.pi * step / steps)))
        images, labels = context.training.batch(step)
        optimizer.zero_grad(set_to_none=True)
        CLASSIFICATION.loss(network(images), labels).backward()
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()


@torch.no_grad()
def _loss(network: Network, context: ScoringContext) -> float:
    """With batch statistics: the running ones lag behind after so few steps."""
    network.train()
    steps = context.validation_steps(0)
    losses = [CLASSIFICATION.loss(network(x), y) for x, y in map(context.validation.batch, steps)]
    return float(torch.stack(losses).mean())


def gains(
    context: ScoringContext, cells: Sequence[Sequence[Cell]], alone: int, together: int
) -> list[list[float]]:
    """Per layer and cell, how much lower the loss is than with the reference's own cell."""
    found = []
    for layer, row in enumerate(cells):
        own = context.reference.cell(layer).cell
        base = value(context, layer, own, alone, together) if row else 0.0
        # A cell that equals the reference's would get the same weights, and so the same value.
        found.append(
            [
                0.0 if cell == own else value(context, layer, cell, alone, together) - base
                for cell in row
            ]
        )
        print(layer, [round(gain, 4) for gain in found[-1]], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--study", choices=[*STUDIES, MACRO], required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--alone", type=int, default=0, help="steps of the cell alone")
    parser.add_argument("--together", type=int, default=100, help="steps of the whole network")
    parser.add_argument("--reference", type=int, default=1, help="cell of the study macro")
    parser.add_argument("--warm-up", type=int, default=500, help="steps of the study macro")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every process does that trains
    for seed in arguments.seeds:
        row: dict[str, object] = {"study": arguments.study, "seed": seed}
        row |= {"alone": arguments.alone, "together": arguments.together}
        if arguments.study == MACRO:
            row |= {"reference": arguments.reference, "warm_up": arguments.warm_up}
        if macro.known(arguments.out, row):
            continue
        context, cells = context_of(arguments, seed)
        started = time.process_time()
        row["values"] = gains(context, cells, arguments.alone, arguments.together)
        row["seconds"] = round(time.process_time() - started, 1)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
