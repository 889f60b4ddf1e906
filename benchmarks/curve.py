"""Does the learned space hold better networks than the one it was evolved from?

    python benchmarks/curve.py RUN --data folder:PATH --out FILE.json

Trains, from scratch and alike, architectures drawn from the learned space of a finished run, from
random initial populations, and the reference architecture (other seeds); all within 5 % of the same
MAdds. The images are those held out from the run: its test split is not used.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from autospace.budget import layer_shares
from autospace.data import Augment, Batches, Examples, Normaliser, divide, load_data
from autospace.network import Network
from autospace.operations import placed
from autospace.run_folder import RunFolder
from autospace.spaces import Cell, Space, cell_cost, load, network_cost
from autospace.streams import derived_seed, stream
from autospace.training import Recipe, measure, train
from autospace.variation import CellPrior, mutate, random_cell

TOLERANCE = 0.05
MAX_DRAWS = 200_000


def from_space(space: Space, rng: random.Random) -> list[Cell]:
    """One evolved cell a layer."""
    return [
        rng.choice([each for each in layer.candidates if each.origin.kind != "reference"]).cell
        for layer in space.layers
    ]


def from_start(space: Space, rng: random.Random) -> list[Cell]:
    """One cell a layer as the initial population has them: random, or next to a reference."""
    config = space.provenance["config"]["cells"]
    operations = tuple(name for name in config["operations"] if name != "none")
    prior = CellPrior(operations, config["nodes"], config["none_probability"])
    references = [c.cell for c in space.layers[0].candidates if c.origin.kind == "reference"]
    shares = layer_shares(space.skeleton, references, space.budget)
    cells = []
    for shape, share in zip(space.skeleton.shapes, shares, strict=True):
        while True:
            near = rng.random() < 0.5
            cell = mutate(rng.choice(references), prior, rng) if near else random_cell(prior, rng)
            if share.allows(cell_cost(cell, shape)):
                cells.append(cell)
                break
    return cells


def matched(
    draw: Callable[[], list[Cell]], space: Space, target: int, count: int
) -> list[list[Cell]]:
    """So many draws whose MAdds are within the tolerance of the target."""
    found: list[list[Cell]] = []
    for _ in range(MAX_DRAWS):
        cells = draw()
        if abs(network_cost(space.skeleton, cells).madds / target - 1) <= TOLERANCE:
            found.append(cells)
            if len(found) == count:
                return found
    raise SystemExit(f"only {len(found)} of {count} draws within {TOLERANCE:.0%} of {target} MAdds")


def accuracy(
    cells: list[Cell], space: Space, parts: tuple[Examples, Examples], steps: int, seed: int
) -> float:
    """Held-out accuracy after training from scratch."""
    weights, held_out = parts
    norm = Normaliser.from_examples(weights)
    torch.manual_seed(derived_seed(seed, "initialise"))
    network = placed(Network(space.skeleton, cells), "cpu")
    augment = Augment(2, True)
    train(network, Batches(weights, 32, seed, "cpu", norm, augment), Recipe(steps))
    return measure(network, Batches(held_out, 250, 0, "cpu", norm).evaluation_batches()).accuracy


def interval(values: list[float]) -> list[float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    return [round(float(q), 4) for q in np.quantile(means, [0.025, 0.975])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--held-out", type=int, default=10_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space = load(arguments.run)
    data = load_data(arguments.data, resolution=space.skeleton.resolution)
    weights, held_out = divide(data.train, arguments.held_out / len(data.train), seed=99)
    target = space.cost(space.reference).madds
    rng = stream(0, "curve")
    reference = list(space.architecture(space.reference).cells)
    groups = {
        "learned": matched(lambda: from_space(space, rng), space, target, arguments.count),
        "initial": matched(lambda: from_start(space, rng), space, target, arguments.count),
        "reference": [reference] * max(3, arguments.count // 2),
    }
    result: dict[str, object] = {"target_madds": target, "steps": arguments.steps}
    for name, architectures in groups.items():
        started, values = time.perf_counter(), []
        for seed, cells in enumerate(architectures):
            values.append(accuracy(cells, space, (weights, held_out), arguments.steps, seed))
            print(name, seed, values[-1], flush=True)
        result[name] = {
            "accuracy": values,
            "mean": round(float(np.mean(values)), 4),
            "interval": interval(values),
            "madds": [network_cost(space.skeleton, cells).madds for cells in architectures],
            "params": [network_cost(space.skeleton, cells).params for cells in architectures],
            "seconds": round(time.perf_counter() - started),
        }
    events = (RunFolder(arguments.run).path / "events.jsonl").read_text().splitlines()
    rounds = [json.loads(line) for line in events]
    result["rounds"] = [
        {key: each[key] for key in ("round", "phase", "best", "mean", "seconds")} for each in rounds
    ]
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
