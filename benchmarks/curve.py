"""Does the learned space hold better networks than the one it was evolved from?

    python benchmarks/curve.py RUN ... --data folder:PATH --out FILE.json

Trains, from scratch and alike, architectures drawn from the learned spaces of finished runs, from
their random initial populations, and from the reference cells; all within 10 % of the same MAdds,
the median of the learned space.
Measured on the test split, which neither the runs nor any choice made here has seen.

`--workers`, `--executor` and `--address` are those of `autospace compare`. Networks that are in the
folder `--work` are not trained again. In results/curve.json, which an earlier version made, images
came in another order.
"""

import argparse
import functools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from work_options import add_work_options, evaluating_pool, executor_of

from autospace.compute.executor import Executor
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluate import EvaluationCache, EvaluationJob, evaluate_all, pooled
from autospace.evaluators.evaluator import EvaluationRequest, EvaluatorConfig
from autospace.evaluators.make import Setup
from autospace.seeds import stream
from autospace.spaces import Architecture, Cell, Space, cell_cost, load, network_cost
from autospace.spaces.cells.variation import CellPrior, mutate, random_cell
from autospace.spaces.cost import layer_shares
from autospace.spaces.space import Candidate

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


def accuracies(
    tasks: Sequence[EvaluationRequest], arguments: argparse.Namespace, executor: Executor
) -> list[float]:
    """Test accuracies of networks after training from scratch."""
    resolution = tasks[0].architecture.skeleton.resolution
    data = DataConfig(source=arguments.data, resolution=resolution)
    config = EvaluatorConfig(steps=arguments.steps, batch=32)
    setup = Setup(config, data, (), 0, "cpu", arguments.work)
    images = setup.images()
    cache = EvaluationCache(arguments.work / "evaluations", setup.conditions(images))
    cache.open()
    with evaluating_pool(executor, arguments.work) as pool:
        found = evaluate_all(tasks, cache, pooled(pool, EvaluationJob(setup, images)))
    return [each.score for each in found]


def architecture(space: Space, cells: Sequence[Cell]) -> Architecture:
    """The network of these cells, which need not be in the space."""
    named = (Candidate(f"cell_{layer:02d}", cell) for layer, cell in enumerate(cells))
    return Architecture(space.skeleton, tuple(named))


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
    run: Path, arguments: argparse.Namespace, executor: Executor
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
        EvaluationRequest(architecture(space, cells), 1000 * seed + number)
        for architectures in groups.values()
        for number, cells in enumerate(architectures)
    ]
    found = accuracies(tasks, arguments, executor)
    count = arguments.count
    by_group = {name: found[i * count : (i + 1) * count] for i, name in enumerate(groups)}
    print(run, by_group, flush=True)
    rounds = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return by_group, {
        "seed": seed,
        "target_madds": target,
        "accuracies": by_group,
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
    parser.add_argument("--work", type=Path, default=Path("runs/curve"))
    add_work_options(parser, workers=2)
    arguments = parser.parse_args()
    executor = executor_of(arguments)
    torch.set_num_threads(1)
    everything: dict[str, list[float]] = {}
    details = []
    for run in arguments.runs:
        found_here, detail = compared(run, arguments, executor)
        details.append(detail)
        for name, values in found_here.items():
            everything.setdefault(name, []).extend(values)
    summary = {
        name: {
            "n": len(values),
            "mean": round(float(np.mean(values)), 4),
            "sd": round(float(np.std(values, ddof=1)), 4),
            "interval": interval(values),
        }
        for name, values in everything.items()
    }
    found = {"summary": summary, "steps": arguments.steps, "runs": details}
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
