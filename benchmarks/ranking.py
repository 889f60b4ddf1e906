"""Scores the cells of the ground truth with every predictor and writes what each one says.

    python benchmarks/ranking.py --data folder:PATH --out FILE.jsonl [--study second] [--only NAME]

One line per predictor and scoring seed: its value for every cell and the seconds it took. A second
call skips what the file already holds. `ranking_report.py` turns the file into tables and a plot.
"""

import argparse
import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from ranking_setup import FIRST, STUDIES, Images, Study
from zero_cost import ZERO_COST

from autospace.compute.machine import keep_freed_memory
from autospace.data.batches import Batches
from autospace.data.splits import divide
from autospace.networks.network import Network, placed
from autospace.scorers.context import ReferenceSupernet, ScoringContext, freeze
from autospace.scorers.gated import one_shot_losses, train_single_path
from autospace.scorers.make import make_scorer
from autospace.scorers.mixture import MixtureScorer
from autospace.scorers.scorer import ScoringConfig
from autospace.seeds import derived_seed, stream
from autospace.spaces import Cell, cell_cost
from autospace.training.short import Recipe, train

WARM_UP_STEPS = 1000
GROUP = 4
Table = list[list[float]]


def setting(
    images: Images, seed: int, options: ScoringConfig, steps: int, study: Study = FIRST
) -> ScoringContext:
    """The reference, trained on one half of the images, and batches of both halves."""
    weights, fitness = divide(images.train, 0.5, seed=1)
    norm = images.normaliser
    torch.manual_seed(derived_seed(seed, "reference"))
    cells = [study.reference] * len(study.skeleton.layers)
    network = placed(Network(study.skeleton, cells), "cpu")
    source = Batches(weights, 32, derived_seed(seed, "warm-up") % 2**31, "cpu", norm)
    train(network, source, Recipe(steps))
    return ScoringContext(
        freeze(network),
        Batches(weights, options.batch, derived_seed(seed, "train") % 2**31, "cpu", norm),
        Batches(fitness, 128, derived_seed(seed, "validate") % 2**31, "cpu", norm),
        options,
        seed,
    )


def grouped(cells: list[list[Cell]], seed: int) -> Iterator[list[list[int]]]:
    """Random companies of `GROUP` cells per layer, every cell in one."""
    rng = stream(seed, "company")
    orders = [rng.sample(range(len(layer)), len(layer)) for layer in cells]
    for start in range(0, max(map(len, cells)), GROUP):
        yield [order[start : start + GROUP] for order in orders]


def in_groups(
    cells: list[list[Cell]], seed: int, score: Callable[[list[list[Cell]]], Table]
) -> Table:
    values = [[0.0] * len(layer) for layer in cells]
    for group in grouped(cells, seed):
        chosen = [[layer[i] for i in picks] for layer, picks in zip(cells, group, strict=True)]
        for row, picks, found in zip(values, group, score(chosen), strict=True):
            for index, value in zip(picks, found, strict=True):
                row[index] = value
    return values


def predict(name: str, base: ScoringContext, cells: list[list[Cell]]) -> dict[str, Table]:
    """What one training says of every cell, under one name or two; larger is better."""
    method = base.options.method
    if method == "gated":
        return {
            name: in_groups(cells, base.seed, lambda chosen: make_scorer(base).score(chosen, 0)),
            name.replace("gated", "one-shot"): in_groups(
                cells, base.seed, lambda chosen: _one_shot(base, chosen)
            ),
        }
    if method == "mixture":
        gradients: list[Table] = []

        def score(chosen: list[list[Cell]]) -> Table:
            scorer = MixtureScorer(base)
            found = scorer.score(chosen, 0)
            gradients.append(scorer.gradients)
            return found

        odds = in_groups(cells, base.seed, score)
        kept = iter(gradients)
        averaged = in_groups(cells, base.seed, lambda chosen: next(kept))
        return {name: odds, name.replace("mixture", "mixture-gradient"): averaged}
    return {name: make_scorer(base).score(cells, 0)}


def _one_shot(base: ScoringContext, chosen: Sequence[Sequence[Cell]]) -> Table:
    supernet = ReferenceSupernet(base, chosen, 0)
    train_single_path(supernet, base, 0)
    return [[-value for value in row] for row in one_shot_losses(supernet, base, 0)]


def closed_form(name: str, cells: list[list[Cell]], seed: int, study: Study = FIRST) -> Table:
    """MAdds, params, or a random order."""
    if name == "random":
        rng = stream(seed, "random")
        return [[rng.random() for _ in layer] for layer in cells]
    return [
        [float(getattr(cell_cost(cell, shape), name)) for cell in layer]
        for layer, shape in zip(cells, study.skeleton.shapes, strict=True)
    ]


def variants() -> dict[str, ScoringConfig]:
    """Every trained predictor under its name, the default scorer first."""

    def options(method: str, **changes: object) -> ScoringConfig:
        given = {"method": method, "steps": 50, "batch": 64, "learning_rate": 0.05, **changes}
        return ScoringConfig(**given)  # type: ignore[arg-type]

    def probe(**changes: object) -> ScoringConfig:
        return options(**{"method": "probe", "learning_rate": 0.15, **changes})  # type: ignore[arg-type]

    return {
        "probe": probe(),
        "calibrated": probe(method="calibrated"),
        "in-place": options("in-place"),
        "local": options("local", steps=25),
        "gated": options("gated", steps=25),
        "mixture": options("mixture", steps=25),
        "probe steps=25": probe(steps=25),
        "probe steps=100": probe(steps=100),
        "probe pool=1": probe(pool=1),
        "probe pool=4": probe(pool=4),
        "probe lr=0.05": probe(learning_rate=0.05),
        "probe inherit": probe(inherit=True),
        "local inherit": options("local", steps=25, inherit=True),
        "in-place inherit": options("in-place", inherit=True),
        "gated inherit": options("gated", steps=25, inherit=True),
        "mixture inherit": options("mixture", steps=25, inherit=True),
        "local steps=50": options("local"),
        "local steps=100": options("local", steps=100),
        "local rho=0.3": options("local", steps=25, rho=0.3),
        "local rho=3": options("local", steps=25, rho=3.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--study", choices=STUDIES, default=FIRST.name)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every process does that trains
    study = STUDIES[arguments.study]
    images = study.load_images(arguments.data)
    tested = study.layers.values()
    cells = [
        study.cells_of(layer) if layer in tested else []
        for layer in range(len(study.skeleton.layers))
    ]
    names = ["madds", "params", "random", *ZERO_COST, *variants()]
    wanted = [name for name in names if not arguments.only or name in arguments.only]
    for seed in arguments.seeds:
        base: ScoringContext | None = None
        for name in wanted:
            if (name, seed) in already(arguments.out):
                continue
            started = time.process_time()
            if name in ZERO_COST:
                tables = {name: ZERO_COST[name](cells, images, seed, study)}
            elif name not in variants():
                tables = {name: closed_form(name, cells, seed, study)}
            else:
                options = variants()[name]
                base = base or setting(images, seed, options, WARM_UP_STEPS, study)
                started = time.process_time()
                tables = predict(name, replace(base, options=options), cells)
            seconds = round(time.process_time() - started, 2)
            write(arguments.out, tables, seed, seconds)
            print(name, seed, seconds, flush=True)


def already(path: Path) -> set[tuple[str, int]]:
    """Predictors and seeds that a file holds."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {(row["predictor"], row["seed"]) for row in map(json.loads, lines)}


def write(path: Path, tables: dict[str, Table], seed: int, seconds: float) -> None:
    """Appends a line per table; safe beside other processes that do the same."""
    with path.open("a") as stream_:
        fcntl.flock(stream_, fcntl.LOCK_EX)
        for name, values in tables.items():
            row = {"predictor": name, "seed": seed, "values": values, "seconds": seconds}
            stream_.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
