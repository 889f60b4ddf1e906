"""Does the learned space hold better networks than the one it was evolved from?

    python benchmarks/curve.py RUN ... --data folder:PATH --out FILE.json

Trains, from scratch and alike, architectures drawn from the learned spaces of finished runs, from
their random initial populations, and the reference architecture; all within 5 % of the same MAdds.
Measured on the test split, which neither the runs nor any choice made here has seen.
"""

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from autospace.budget import layer_shares
from autospace.data import Batches, DataSet, Normaliser, load_data
from autospace.network import Network
from autospace.operations import placed
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


def accuracy(cells: list[Cell], space: Space, data: DataSet, steps: int, seed: int) -> float:
    """Test accuracy after training from scratch."""
    norm = Normaliser.from_examples(data.train)
    torch.manual_seed(derived_seed(seed, "initialise"))
    network = placed(Network(space.skeleton, cells), "cpu")
    train(network, Batches(data.train, 32, seed, "cpu", norm), Recipe(steps))
    return measure(network, Batches(data.test, 250, 0, "cpu", norm).evaluation_batches()).accuracy


def interval(values: list[float]) -> list[float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    return [round(float(q), 4) for q in np.quantile(means, [0.025, 0.975])]


def compared(
    run: Path, data: DataSet, arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Accuracies by group for one run, and what is worth keeping beside them."""
    space = load(run)
    seed = space.provenance["config"]["seed"]
    target = space.cost(space.reference).madds
    rng = stream(seed, "curve")
    count = arguments.count
    groups = {
        "learned": matched(lambda: from_space(space, rng), space, target, count),
        "initial": matched(lambda: from_start(space, rng), space, target, count),
        "reference": [list(space.architecture(space.reference).cells)] * max(2, count // 3),
    }
    accuracies: dict[str, list[float]] = {}
    for name, architectures in groups.items():
        accuracies[name] = []
        for number, cells in enumerate(architectures):
            trained = 1000 * seed + number
            accuracies[name].append(accuracy(cells, space, data, arguments.steps, trained))
            print(run, name, number, accuracies[name][-1], flush=True)
    rounds = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return accuracies, {
        "seed": seed,
        "target_madds": target,
        "accuracies": accuracies,
        "madds": {
            name: [network_cost(space.skeleton, cells).madds for cells in architectures]
            for name, architectures in groups.items()
        },
        "params": {
            name: [network_cost(space.skeleton, cells).params for cells in architectures]
            for name, architectures in groups.items()
        },
        "rounds": [
            {key: each[key] for key in ("round", "phase", "best", "mean", "seconds")}
            for each in rounds
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    resolution = load(arguments.runs[0]).skeleton.resolution
    data = load_data(arguments.data, resolution=resolution)
    pooled: dict[str, list[float]] = {}
    details = []
    for run in arguments.runs:
        accuracies, detail = compared(run, data, arguments)
        details.append(detail)
        for name, values in accuracies.items():
            pooled.setdefault(name, []).extend(values)
    summary = {
        name: {
            "n": len(values),
            "mean": round(float(np.mean(values)), 4),
            "sd": round(float(np.std(values, ddof=1)), 4),
            "interval": interval(values),
        }
        for name, values in pooled.items()
    }
    found = {"summary": summary, "steps": arguments.steps, "runs": details}
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
