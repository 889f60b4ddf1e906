"""Stand-alone accuracy of random cells, each trained alone inside the reference network.

    python benchmarks/ground_truth.py --data folder:PATH --out FILE.jsonl --seeds 4 [--study second]

One line of JSON per training; a second call skips what the file already holds.
"""

import argparse
import fcntl
import json
import time
from pathlib import Path

import torch
from ranking_setup import CELLS_PER_LAYER, FIRST, STUDIES, Images, Study

from autospace.compute.machine import keep_freed_memory
from autospace.data.batches import Batches
from autospace.networks.network import Network
from autospace.seeds import derived_seed
from autospace.spaces import Cell, cell_cost
from autospace.training.short import Recipe, measure, train

BATCH = 32


def accuracy(
    cells: list[Cell], images: Images, recipe: Recipe, seed: int, study: Study = FIRST
) -> dict[str, float]:
    """Trains a network from scratch and measures it on held-out and test images."""
    torch.manual_seed(derived_seed(seed, "initialise"))
    network = Network(study.skeleton, cells).to(memory_format=torch.channels_last)
    source = Batches(images.train, BATCH, seed, "cpu", images.normaliser)
    started = time.perf_counter()
    train(network, source, recipe)
    seconds = time.perf_counter() - started
    result = {"train_seconds": round(seconds, 2)}
    for name, part in (("held_out", images.held_out), ("test", images.test)):
        found = measure(
            network, Batches(part, 500, 0, "cpu", images.normaliser).evaluation_batches()
        )
        result[f"{name}_accuracy"] = round(found.accuracy, 5)
        result[f"{name}_loss"] = round(found.loss, 5)
    return result


def tasks(seeds: int, study: Study = FIRST) -> list[tuple[int, int, int]]:
    """(seed, layer, cell index), seed by seed; cell -1 is the reference itself."""
    return [
        (seed, layer, index)
        for seed in range(seeds)
        for layer, index in [
            (0, -1),
            *((layer, i) for i in range(CELLS_PER_LAYER) for layer in study.layers.values()),
        ]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--study", choices=STUDIES, default=FIRST.name)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every process does that trains
    study = STUDIES[arguments.study]
    images = study.load_images(arguments.data)
    recipe = Recipe(arguments.steps)
    done = set()
    if arguments.out.exists():
        lines = [json.loads(line) for line in arguments.out.read_text().splitlines()]
        done = {(line["seed"], line["layer"], line["cell"]) for line in lines}
    for number, (seed, layer, index) in enumerate(tasks(arguments.seeds, study)):
        if number % arguments.workers != arguments.worker or (seed, layer, index) in done:
            continue
        cells = [study.reference] * len(study.skeleton.layers)
        if index >= 0:
            cells[layer] = study.cells_of(layer)[index]
        cost = cell_cost(cells[layer], study.skeleton.shapes[layer])
        row = {"seed": seed, "layer": layer, "cell": index, "steps": arguments.steps}
        row |= {"madds": cost.madds, "params": cost.params}
        row |= accuracy(cells, images, recipe, seed, study)
        with arguments.out.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
