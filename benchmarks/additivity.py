"""Does the sum of the cells' fitness predict a network's accuracy?

    python benchmarks/additivity.py --data npz:PATH --predictions FILE.jsonl --out FILE.json

Draws networks whose three cells all differ from the reference, trains each from scratch as the
ground truth was, and compares held-out accuracy with the sum of what a predictor said of each cell
alone; also with each layer's fitness weighed by what `depth.py` found a unit to be worth. Baselines
are the sums that need no training, MAdds and params; the ceiling is the sum of the accuracies that
the cells had one at a time. Goes on where it stopped.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ground_truth import accuracy
from ranking_report import tau, within_bins
from ranking_setup import LAYERS, SKELETON, cells_of, load_images

from autospace.runs.files import write_atomically
from autospace.seeds import stream
from autospace.spaces import network_cost
from autospace.training.short import Recipe

NETWORKS = 36
STEPS = 1000
RESAMPLES = 2000
Array = np.ndarray


def drawn() -> list[list[int]]:
    """Per network, the index of its cell at each layer; no two networks are the same."""
    rng = stream(0, "additivity")
    sizes = [len(cells_of(layer)) for layer in LAYERS.values()]
    chosen: set[tuple[int, ...]] = set()
    while len(chosen) < NETWORKS:
        chosen.add(tuple(rng.randrange(size) for size in sizes))
    return [list(each) for each in sorted(chosen)]


def summary(value: Array, right: Array, cost: Array) -> dict[str, object]:
    """Tau with accuracy, overall and among networks of about equal MAdds, with intervals."""
    rng = np.random.default_rng(0)
    picks = [rng.integers(len(value), size=len(value)) for _ in range(RESAMPLES)]
    spread = [tau(value[pick], right[pick]) for pick in picks]
    return {
        "tau": round(tau(value, right), 3),
        "interval": [round(float(q), 3) for q in np.nanquantile(spread, [0.025, 0.975])],
        "in_bins": round(float(within_bins(value, right, cost)), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = load_images(arguments.data)
    offered = [cells_of(layer) for layer in LAYERS.values()]
    found = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"networks": []}
    done = {(tuple(each["cells"]), each["seed"]) for each in found["networks"]}
    for seed in range(arguments.seeds):
        for picks in drawn():
            if (tuple(picks), seed) in done:
                continue
            cells = [layer[i] for layer, i in zip(offered, picks, strict=True)]
            measured = accuracy(cells, images, Recipe(STEPS), seed)
            found["networks"].append({"cells": picks, "seed": seed, **measured})
            write_atomically(arguments.out, json.dumps(found, indent=1, sort_keys=True) + "\n")
            print(seed, picks, measured["held_out_accuracy"], flush=True)
    found["predictors"] = predictors(found["networks"], arguments.predictions)
    write_atomically(arguments.out, json.dumps(found, indent=1, sort_keys=True) + "\n")
    print(json.dumps(found["predictors"], indent=1))


def weighed(
    values: Sequence[Sequence[float]], weights: Sequence[float], picks: Sequence[Sequence[int]]
) -> list[float]:
    """Per network the sum of its cells' values, each times the weight of its layer."""
    return [
        sum(weight * row[i] for row, weight, i in zip(values, weights, each, strict=True))
        for each in picks
    ]


def predictors(networks: list[dict[str, object]], predictions: Path) -> dict[str, object]:
    """Every predictor's sums, averaged over its scoring seeds, against the mean accuracy.

    Of the networks that have been trained so far.
    """
    by_cells: dict[tuple[int, ...], list[float]] = {}
    for each in networks:
        by_cells.setdefault(tuple(each["cells"]), []).append(each["held_out_accuracy"])
    picks = [list(each) for each in sorted(by_cells)]
    right = np.array([np.mean(values) for _, values in sorted(by_cells.items())])
    offered = [cells_of(layer) for layer in LAYERS.values()]
    costs = [
        network_cost(SKELETON, [layer[i] for layer, i in zip(offered, each, strict=True)])
        for each in picks
    ]
    cost = np.array([each.madds for each in costs])
    sums: dict[str, list[list[float]]] = {
        "madds": [[float(each.madds) for each in costs]],
        "params": [[float(each.params) for each in costs]],
    }
    lines = predictions.read_text().splitlines()
    for row in map(json.loads, lines):
        if row["predictor"] not in ("madds", "params"):
            total = weighed(row["values"], [1.0] * len(offered), picks)
            sums.setdefault(row["predictor"], []).append(total)
    worth = json.loads((predictions.parent / "depth.json").read_text())
    for name in ("probe", "in-place"):
        points = [row["points"] for row in worth if row["what"] == name]
        rows = [row for row in map(json.loads, lines) if row["predictor"] == name]
        sums[f"{name} by depth"] = [weighed(row["values"], points, picks) for row in rows]
    measured = json.loads((predictions.parent / "ranking.json").read_text())["cells"]
    single = [[np.mean(row["held_out_accuracy"]) for row in measured[layer]] for layer in LAYERS]
    sums["accuracies one at a time"] = [weighed(single, [1.0] * len(single), picks)]
    result: dict[str, object] = {
        name: summary(np.mean(values, axis=0), right, cost) for name, values in sums.items()
    }
    seeds = sorted({each["seed"] for each in networks})
    if len(seeds) > 1:
        by_seed = [
            [
                e["held_out_accuracy"]
                for p in picks
                for e in networks
                if e["cells"] == p and e["seed"] == seed
            ]
            for seed in seeds[:2]
        ]
        result["between_seeds"] = round(tau(np.array(by_seed[0]), np.array(by_seed[1])), 3)
    return result


if __name__ == "__main__":
    main()
