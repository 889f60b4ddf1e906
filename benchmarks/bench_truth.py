"""Makes the ground truth that `autospace bench --suite ranking` ships with: small, on made images.

    python benchmarks/bench_truth.py --out autospace/bench/data/ranking.json

Every cell is trained alone inside the reference network, once per seed, on generated images, so
that nobody needs a data file to ask whether fitness still ranks. About five minutes on one core.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from autospace.data.batches import Batches, Normaliser
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.networks.network import Network, placed
from autospace.seeds import derived_seed, stream
from autospace.spaces import Cell, LayerSpec, Skeleton, Stem, canonical_key, mbconv
from autospace.spaces.cells.mobile import cell_out
from autospace.spaces.cells.operations import DEFAULT_OPERATIONS
from autospace.spaces.cells.variation import CellPrior, random_cell
from autospace.spaces.files.codec import canonical_json, to_json
from autospace.training.short import Recipe, measure, train

SOURCE = "synthetic:kind=wide,classes=4,train=2000,test=2000,distance=4,resolution=12"
SKELETON = Skeleton("bench", 1, 12, 4, Stem(8, 1), (LayerSpec(8), LayerSpec(16, 2)))
REFERENCE = mbconv(3, 3)
PRIOR = CellPrior(tuple(name for name in DEFAULT_OPERATIONS if name != "none"))
CELLS_PER_LAYER = 16
BATCH = 32
RECIPE = Recipe(150)
WARM_UP_STEPS = 300
"""For the reference of the scorers that are measured against this."""


def cells_of(layer: int) -> list[Cell]:
    """Random cells of a layer, no two of which compute the same function."""
    rng = stream(0, "bench", "cells", layer)
    stride = SKELETON.layers[layer].stride
    chosen: dict[str, Cell] = {}
    while len(chosen) < CELLS_PER_LAYER:
        cell = random_cell(PRIOR, rng)
        chosen.setdefault(canonical_key(cell, stride), cell)
    return list(chosen.values())


def accuracy(cells: list[Cell], data: DataSet, seed: int) -> float:
    """Test accuracy of a network trained from scratch."""
    torch.manual_seed(derived_seed(seed, "initialise"))
    network = placed(Network(SKELETON, cells), "cpu")
    normaliser = Normaliser.from_examples(data.train)
    train(network, Batches(data.train, BATCH, seed, "cpu", normaliser), RECIPE)
    images = Batches(data.test, 500, 0, "cpu", normaliser).evaluation_batches()
    return round(measure(network, images).accuracy, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(SOURCE)
    layers = []
    started = time.process_time()
    for layer in range(len(SKELETON.layers)):
        rows = []
        for cell in cells_of(layer):
            cells = [REFERENCE] * len(SKELETON.layers)
            cells[layer] = cell
            found = [accuracy(cells, data, seed) for seed in range(arguments.seeds)]
            rows.append({**cell_out(cell), "accuracies": found})
            print(layer, len(rows), found, round(time.process_time() - started), flush=True)
        layers.append({"layer": layer, "cells": rows})
    text = canonical_json(
        {
            "data": SOURCE,
            "held_out": 0.0,
            "warm_up_steps": WARM_UP_STEPS,
            "skeleton": json.loads(to_json(SKELETON)),
            "reference": cell_out(REFERENCE),
            "layers": layers,
        }
    )
    arguments.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
