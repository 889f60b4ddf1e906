"""Does the learned space hold better networks than the one it was evolved from?

    python benchmarks/curve.py RUN ... --data folder:PATH --out FILE.json

Trains, from scratch and alike, architectures drawn from the learned spaces of finished runs, from
their random initial populations, and from the reference cells; all within 10 % of the same MAdds,
the median of the learned space.
Measured on the test split, which neither the runs nor any choice made here has seen.
"""

import argparse
import functools
import json
import multiprocessing
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch

from autospace.data.batches import Batches, Normaliser
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.networks.network import Network, placed
from autospace.seeds import derived_seed, stream
from autospace.spaces import Cell, Space, cell_cost, load, network_cost
from autospace.spaces.cells.variation import CellPrior, mutate, random_cell
from autospace.spaces.cost import layer_shares
from autospace.training.short import Recipe, measure, train

TOLERANCE = 0.1
MAX_DRAWS = 200_000


def from_space(space: Space, rng: random.Random) -> list[Cell]:
    """One evolved cell a layer."""
    return [
        rng.choice([each for each in layer.candidates if each.origin.kind != "reference"]).cell
        for layer in space.layers
    ]


def from_references(space: Space, rng: random.Random) -> list[Cell]:
    """One reference cell a layer, of any kernel."""
    return [
        rng.choice([each for each in layer.candidates if each.origin.kind == "reference"]).cell
        for layer in space.layers
    ]


def from_start(space: Space, rng: random.Random) -> list[Cell]:
    """One cell a layer as the initial population has them: random, or next to a reference."""
    config = space.provenance["config"]["cells"]
    operations = tuple(name for name in config["operations"] if name != "none")
    prior = CellPrior(operations, config["nodes"], config["none_probability"])
    references = [c.cell for c in space.layers[0].candidates if c.origin.kind == "reference"]
    shares = layer_shares(space.skeleton, references, space.budget).shares
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


def accuracy(task: tuple[Space, list[Cell], str, int, int]) -> float:
    """Test accuracy after training from scratch."""
    space, cells, source, steps, seed = task
    torch.set_num_threads(1)
    data = images(source, space.skeleton.resolution)
    norm = Normaliser.from_examples(data.train)
    torch.manual_seed(derived_seed(seed, "initialise"))
    network = placed(Network(space.skeleton, cells), "cpu")
    train(network, Batches(data.train, 32, seed, "cpu", norm), Recipe(steps))
    return measure(network, Batches(data.test, 250, 0, "cpu", norm).evaluation_batches()).accuracy


@functools.cache
def images(source: str, resolution: int) -> DataSet:
    """The data set, read once per process."""
    return load_data(source, resolution=resolution)


GROUPS = {"learned": from_space, "initial": from_start, "reference": from_references}


def promised(space: Space, cells: list[Cell]) -> float:
    """Sum over the layers of the fitness of an architecture's cells."""
    fitness = [
        {each.cell: each.fitness or 0.0 for each in layer.candidates} for layer in space.layers
    ]
    return round(sum(known[cell] for known, cell in zip(fitness, cells, strict=True)), 5)


def interval(values: list[float]) -> list[float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    return [round(float(q), 4) for q in np.quantile(means, [0.025, 0.975])]


def compared(
    run: Path, workers: ProcessPoolExecutor, arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Accuracies by group for one run, and what is worth keeping beside them."""
    space = load(run)
    seed = space.provenance["config"]["seed"]
    rng = stream(seed, "curve")
    drawn = [network_cost(space.skeleton, from_space(space, rng)).madds for _ in range(501)]
    target = int(np.median(drawn))
    groups = {
        name: matched(functools.partial(draw, space, rng), space, target, arguments.count)
        for name, draw in GROUPS.items()
    }
    tasks = [
        (space, cells, arguments.data, arguments.steps, 1000 * seed + number)
        for architectures in groups.values()
        for number, cells in enumerate(architectures)
    ]
    found = list(workers.map(accuracy, tasks))
    count = arguments.count
    accuracies = {name: found[i * count : (i + 1) * count] for i, name in enumerate(groups)}
    print(run, accuracies, flush=True)
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
        "promised": [promised(space, cells) for cells in groups["learned"]],
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
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    pooled: dict[str, list[float]] = {}
    details = []
    workers = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    for run in arguments.runs:
        accuracies, detail = compared(run, workers, arguments)
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
