"""Do the same layers matter after a short training as after a full one?

    python benchmarks/macro_short.py --data folder:PATH --out FILE.jsonl [--steps 500]

Trains the reference network of NAS-Bench-Macro, and the networks that differ from it in one layer,
from scratch for some steps of 64 images, and measures them on images that are not trained on. The
published accuracies of the same networks are those of full trainings. One line of JSON per network
and seed; a second call skips what the file already holds. At the end, prints per layer what its
cell costs in accuracy, short and full, and tau between the two.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from macro_fitness import CELLS, CPU, SKELETON, halves, known
from macro_report import ACCURACY, tau

from autospace.compute.machine import keep_freed_memory
from autospace.evolution.reference import new_reference
from autospace.training.short import Recipe, measure, train

REFERENCE: Final = 1
MEASURED: Final = 100
"""Batches of 128 images."""


def networks(others: list[int]) -> Iterator[list[int]]:
    """The cell of every layer: the reference, and each layer with each of the other cells."""
    base = [REFERENCE] * len(CELLS)
    yield base
    for layer in range(len(CELLS)):
        for other in others:
            yield [*base[:layer], other, *base[layer + 1 :]]


def trained(source: str, cells: list[int], seed: int, steps: int) -> dict[str, float]:
    """Accuracy and loss after a short training from scratch."""
    _, warm_up, _, validation = halves(source, seed)
    chosen = [row[cell] for row, cell in zip(CELLS, cells, strict=True)]
    network = new_reference(SKELETON, chosen, seed, CPU)
    train(network, warm_up, Recipe(steps))
    found = measure(network, (validation.batch(step) for step in range(MEASURED)))
    return {"accuracy": found.accuracy, "loss": found.loss}


def published(cells: list[int]) -> float:
    """Accuracy of a network in the table."""
    return float(ACCURACY[int("".join(map(str, cells)), 3)])


def compare(rows: list[dict[str, Any]]) -> None:
    """Prints the change of accuracy per layer and cell, in points, short and full."""
    accuracies: dict[tuple[int, ...], list[float]] = {}
    for row in rows:
        accuracies.setdefault(tuple(row["cells"]), []).append(row["accuracy"])
    base = (REFERENCE,) * len(CELLS)
    short, full = [], []
    for cells, found in sorted(accuracies.items()):
        if cells != base:
            short.append(100 * (np.mean(found) - np.mean(accuracies[base])))
            full.append(100 * (published(list(cells)) - published(list(base))))
            print("".join(map(str, cells)), f"short {short[-1]:.2f}", f"full {full[-1]:.2f}")
    print("tau", round(tau(np.array(short), np.array(full)), 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--others", type=int, nargs="+", default=[0], help="cells to put in")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every process does that trains
    for seed in arguments.seeds:
        for cells in networks(arguments.others):
            row: dict[str, Any] = {"cells": cells, "seed": seed, "steps": arguments.steps}
            if known(arguments.out, row):
                continue
            started = time.process_time()
            row |= trained(arguments.data, cells, seed, arguments.steps)
            row["seconds"] = round(time.process_time() - started, 1)
            with arguments.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
    rows = [json.loads(line) for line in arguments.out.read_text().splitlines()]
    compare([row for row in rows if row["steps"] == arguments.steps])


if __name__ == "__main__":
    main()
