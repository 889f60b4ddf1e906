"""Freezes the CIFAR-10 ground truth for `autospace bench --suite ranking --data SOURCE`.

    python benchmarks/freeze_truth.py benchmarks/results/truth.jsonl \\
        --out autospace/bench/data/cifar10.json

Complete seeds only. `bench_truth.py` makes the ground truth that needs no data file.
"""

import argparse
import json
from pathlib import Path

from ranking_report import load_truth
from ranking_setup import LAYERS, REFERENCE, SKELETON, cells_of

from autospace.spaces.cells.mobile import cell_out
from autospace.spaces.files.codec import canonical_json, to_json

WARM_UP_STEPS = 1000
HELD_OUT = 0.4
"""Share of the train split on which accuracies were measured; see `ranking_setup.load_images`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    truth = load_truth(arguments.truth)
    layers = [
        {
            "layer": layer,
            "cells": [
                {**cell_out(cell), "accuracies": accuracies}
                for cell, accuracies in zip(cells_of(layer), truth[name].tolist(), strict=True)
            ],
        }
        for name, layer in LAYERS.items()
    ]
    plain = {
        "data": None,
        "held_out": HELD_OUT,
        "warm_up_steps": WARM_UP_STEPS,
        "skeleton": json.loads(to_json(SKELETON)),
        "reference": cell_out(REFERENCE),
        "layers": layers,
    }
    arguments.out.write_text(canonical_json(plain), "utf-8")


if __name__ == "__main__":
    main()
