"""Scores the cells of NAS-Bench-Macro with every scorer, for comparison with its accuracies.

    python benchmarks/macro_fitness.py --data folder:PATH --out FILE.jsonl [--only NAME ...]

The reference network holds one of the benchmark's cells in all eight layers, and is warmed up on
half of the training images of CIFAR-10 at 32x32. One line per reference, scoring seed and scorer:
the fitness of the three cells of every layer, and the processor seconds that it took. A second call
skips what the file already holds. `macro_report.py` compares the file with the table.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from autospace.compute.machine import keep_freed_memory
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.data.splits import divide
from autospace.evaluators.zero_cost import ZERO_COST, Score
from autospace.evolution.reference import new_reference
from autospace.evolution.settings import EvolutionConfig
from autospace.networks.network import Network
from autospace.scorers.context import KeptWeights, ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.seeds import derived_seed, stream
from autospace.spaces import Cell, cell_cost, load
from autospace.training.short import Recipe, train

SPACE = load("nasbench-macro@nasbench-macro")
SKELETON = SPACE.skeleton
CELLS = [[candidate.cell for candidate in layer.candidates] for layer in SPACE.layers]
REFERENCES = (1, 2)
"""Index of the reference's cell among the candidates of every layer."""
CPU = torch.device("cpu")
BATCH = 64
ZERO_COST_IMAGES = 128
ROUNDS = 8
"""With kept weights; the others score once."""
WRITE_BACK = EvolutionConfig().write_back
Table = list[list[float]]


@cache
def halves(source: str, seed: int) -> tuple[DataSet, Batches, Batches, Batches]:
    """The data, and the batches that warm up, train and measure, from two halves of the images."""
    data = load_data(source, resolution=SKELETON.resolution, channels=SKELETON.in_channels)
    weights, fitness = divide(data.train, 0.5, seed)
    norm = Normaliser.from_examples(weights)
    parts = (
        ("warm-up", weights, BATCH, Augment()),
        ("train", weights, BATCH, Augment()),
        ("validate", fitness, 2 * BATCH, None),
    )
    warm_up, training, validation = (
        Batches(part, size, derived_seed(seed, name), CPU, norm, augment)
        for name, part, size, augment in parts
    )
    return data, warm_up, training, validation


def setting(source: str, reference: int, seed: int, steps: int) -> ScoringContext:
    """The trained reference network, and the batches of a scoring seed."""
    _, warm_up, training, validation = halves(source, seed)
    network = new_reference(SKELETON, [row[reference] for row in CELLS], seed, CPU)
    train(network, warm_up, Recipe(steps))
    return ScoringContext(freeze(network), training, validation, ScoringConfig(), seed)


def scorers() -> dict[str, ScoringConfig]:
    """Every scorer with the rate of the first study; `local` trains for 50 steps, there for 25."""

    def options(method: str, **changes: object) -> ScoringConfig:
        return ScoringConfig(**{"method": method, "learning_rate": 0.05, **changes})  # type: ignore[arg-type]

    return {
        "local": options("local"),
        "probe": options("probe", learning_rate=0.15),
        "calibrated": options("calibrated", learning_rate=0.15),
        "in-place": options("in-place"),
        "gated": options("gated", steps=25),
        "mixture": options("mixture", steps=25),
        "mixture kept": options("mixture", steps=25, weights="kept"),
    }


def fitness(context: ScoringContext, options: ScoringConfig) -> Table:
    """What a scorer says of the cells; with kept weights, the moving average over rounds."""
    if options.weights == "fresh":
        return make_scorer(replace(context, options=options)).score(CELLS, 0)
    scorer = make_scorer(replace(context, options=options, kept=KeptWeights()))
    average = np.array(scorer.score(CELLS, 0))
    for repeat in range(1, ROUNDS):
        average += WRITE_BACK * (np.array(scorer.score(CELLS, repeat)) - average)
        print(repeat, average.round(3).tolist(), flush=True)
    return [[float(each) for each in row] for row in average]


def untrained(source: str, reference: int, seed: int, score: Score) -> Table:
    """The score of the untrained reference network with each cell in turn."""
    _, _, training, _ = halves(source, seed)
    images, labels = (part[:ZERO_COST_IMAGES] for part in _joined(training, ZERO_COST_IMAGES))
    return [
        [score(network, images, labels) for network in _networks(reference, layer, row, seed)]
        for layer, row in enumerate(CELLS)
    ]


def _joined(source: Batches, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    batches = [source.batch(step) for step in range(-(-count // BATCH))]
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def _networks(reference: int, layer: int, row: Sequence[Cell], seed: int) -> Iterator[Network]:
    for cell in row:
        cells = [each[reference] for each in CELLS]
        cells[layer] = cell
        yield new_reference(SKELETON, cells, derived_seed(seed, "zero-cost"), CPU)


def counted(name: str, seed: int) -> Table:
    """MAdds, params, or a random order."""
    if name == "random":
        rng = stream(seed, "random")
        return [[rng.random() for _ in row] for row in CELLS]
    return [
        [float(getattr(cell_cost(cell, shape), name)) for cell in row]
        for row, shape in zip(CELLS, SKELETON.shapes, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--references", type=int, nargs="+", default=list(REFERENCES))
    parser.add_argument("--warm-up", type=int, default=500)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every process does that trains
    names = ["madds", "params", "random", *scorers(), *ZERO_COST]
    wanted = [name for name in names if not arguments.only or name in arguments.only]
    for seed in arguments.seeds:
        for reference in arguments.references:
            base: ScoringContext | None = None
            for name in wanted:
                row = {"reference": reference, "seed": seed, "scorer": name}
                row |= {"warm_up": arguments.warm_up}
                if known(arguments.out, row):
                    continue
                started = time.process_time()
                if name in ZERO_COST:
                    row["fitness"] = untrained(arguments.data, reference, seed, ZERO_COST[name])
                elif name not in scorers():
                    row["fitness"] = counted(name, seed)
                else:
                    base = base or setting(arguments.data, reference, seed, arguments.warm_up)
                    row["warm_up_seconds"] = round(time.process_time() - started, 1)
                    started = time.process_time()
                    row["fitness"] = fitness(base, scorers()[name])
                row["seconds"] = round(time.process_time() - started, 1)
                with arguments.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(reference, seed, name, row["seconds"], flush=True)


def known(path: Path, wanted: dict[str, object]) -> bool:
    """Whether a file holds a line with these values."""
    lines = path.read_text().splitlines() if path.exists() else []
    return any(wanted.items() <= json.loads(line).items() for line in lines)


if __name__ == "__main__":
    main()
