"""Chooses the better candidates of a space by a few dozen short trainings of whole networks.

    python benchmarks/preset_shrink.py --data folder:PATH --out FILE.jsonl     # trains, adds lines
    python benchmarks/preset_shrink.py --rows FILE.jsonl --space FILE.json     # chooses, writes

Random networks of `mbconv` on the skeleton `cifar` at 16x16 are trained for 1,000 steps, and
measured on held-out training images. A Bayesian linear model of their errors says what each
candidate is worth at equal MAdds. It sees the features of cells (`autospace.spaces.features`),
added up over the network and over its stages, and each candidate by itself. The variance of each of
these groups is averaged over a grid by marginal likelihood. The best of each layer make a smaller
space.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
import torch

from autospace.compute.machine import keep_freed_memory
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig
from autospace.evaluators.make import Setup, make_evaluator
from autospace.seeds import derived_seed, stream
from autospace.spaces import Space, load, to_json
from autospace.spaces.choices import Choice, Choices
from autospace.spaces.features import features

RESULTS: Final = Path(__file__).parent / "results"
SOURCE: Final = f"mbconv@{RESULTS / 'preset_limit' / 'limit-24.json'}"
RESOLUTION: Final = 16
NETWORKS: Final = 24
KEPT: Final = 3
VARIANCES: Final = (0.01, 0.1, 1.0)
NOISES: Final = (0.1, 0.3, 1.0)
Array = np.ndarray


def drawn(space: Space) -> list[Choice]:
    """The networks that are trained, in order."""
    choices, found = Choices(space), list[Choice]()
    for index in range(NETWORKS):
        found.append(choices.draw_new(stream(0, "shrink", index), found))
    return found


def measure(data: str, out: Path) -> None:
    """Trains the networks and adds a line for each."""
    torch.set_num_threads(1)
    keep_freed_memory()
    space = load(SOURCE)
    lines = out.read_text().splitlines() if out.exists() else []
    done = {tuple(json.loads(line)["path"]) for line in lines}
    config = DataConfig(source=data, resolution=RESOLUTION)
    setup = Setup(EvaluatorConfig(split="validation"), config, (), 0, "cpu", out.parent)
    evaluator = make_evaluator(setup, setup.basis())
    for index, path in enumerate(drawn(space)):
        if path in done:
            continue
        network = Choices(space).architecture(path)
        found = evaluator.evaluate(network, derived_seed(0, "shrink", "training", index))
        row = {"path": path, "error": round(1 - found.score, 8)}
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def groups(space: Space, paths: Sequence[Choice]) -> list[Array]:
    """Standardised columns [N, p] of each group: whole network, stages, candidates.

    Layers of one resolution are a stage.
    """
    sides = [layer.shape.out_resolution for layer in space.layers]
    rows = []
    for path in paths:
        whole, stages, own = dict[str, float](), dict[str, float](), dict[str, float]()
        for layer, index in enumerate(path):
            cell, cost = (
                space.layers[layer].candidates[index].cell,
                space.layers[layer].costs[index],
            )
            for name, value in features(cell, cost).items():
                whole[name] = whole.get(name, 0.0) + value
                stage = f"{sides[layer]} {name}"
                stages[stage] = stages.get(stage, 0.0) + value
            own[f"{layer} {index}"] = 1.0
        rows.append((whole, stages, own))
    found = []
    for group in range(3):
        names = sorted({name for row in rows for name in row[group]})
        found.append(np.array([[row[group].get(name, 0.0) for name in names] for row in rows]))
    return found


def worths(space: Space, paths: Sequence[Choice], errors: Sequence[float]) -> list[list[float]]:
    """Points of error that each candidate is better at equal MAdds than the first of its layer."""
    choices = Choices(space)
    first = tuple(0 for _ in space.layers)
    swaps = [
        (*first[:layer], index, *first[layer + 1 :])
        for layer, each in enumerate(space.layers)
        for index in range(len(each.candidates))
    ]
    # One table for all, so that columns agree; only the trained ones set their scale.
    columns = groups(space, [*paths, *swaps, first])
    count = len(paths)
    scaled = []
    for group in columns:
        location, scale = group[:count].mean(0), group[:count].std(0)
        varies = scale > 1e-9
        scaled.append(((group - location)[:, varies] / scale[varies]) / math.sqrt(varies.sum()))
    logs = np.log([choices.cost(path).madds for path in paths])
    flat = np.c_[np.ones(count), logs - logs.mean()]
    y = 100 * np.asarray(errors)
    unit = y.std()
    y = (y - y.mean()) / unit
    total, weight = np.zeros(len(swaps)), 0.0
    best = -math.inf
    found = []
    for *variances, noise in product(VARIANCES, VARIANCES, VARIANCES, NOISES):
        seen = [math.sqrt(v) * each for v, each in zip(variances, scaled, strict=True)]
        design = np.hstack(seen)
        kernel = design[:count] @ design[:count].T + noise * np.eye(count)
        inverse = np.linalg.inv(kernel)
        inner = flat.T @ inverse @ flat
        projected = inverse - inverse @ flat @ np.linalg.solve(inner, flat.T @ inverse)
        log = -0.5 * (
            np.linalg.slogdet(kernel)[1] + np.linalg.slogdet(inner)[1] + y @ projected @ y
        )
        slopes = design[:count].T @ projected @ y
        change = (design[count:-1] - design[-1]) @ slopes
        found.append((float(log), change))
        best = max(best, float(log))
    for log, change in found:
        share = math.exp(log - best)
        total += share * change
        weight += share
    gains = iter(-unit * total / weight)
    return [[float(next(gains)) for _ in layer.candidates] for layer in space.layers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rows", type=Path, default=RESULTS / "preset_shrink.jsonl")
    parser.add_argument("--space", type=Path)
    arguments = parser.parse_args()
    if arguments.out:
        measure(arguments.data, arguments.out)
        return
    space = load(SOURCE)
    rows = [json.loads(line) for line in arguments.rows.read_text().splitlines()]
    paths = [tuple(row["path"]) for row in rows]
    layers = []
    for layer, gains in zip(
        space.layers, worths(space, paths, [row["error"] for row in rows]), strict=True
    ):
        order = sorted(range(len(gains)), key=lambda index: -gains[index])[:KEPT]
        print(layer.shape.name, {layer.candidates[i].id: round(gains[i], 2) for i in order})
        layers.append(replace(layer, candidates=tuple(layer.candidates[i] for i in sorted(order))))
    if arguments.space:
        smaller = replace(space, name="shrunk", layers=tuple(layers), reference={})
        arguments.space.write_text(to_json(smaller))


if __name__ == "__main__":
    main()
