"""Chooses the better candidates of a space by a few dozen short trainings of whole networks.

    python benchmarks/preset_shrink.py --data folder:PATH --out FILE.jsonl     # trains, adds lines
    python benchmarks/preset_shrink.py --rows FILE.jsonl --space FILE.json     # chooses, writes

Random networks of `mbconv` on the skeleton `cifar` at 16x16 are trained for 1,000 steps, and
measured on held-out training images. The model of the scorer `predicted` says what each candidate
is worth at equal MAdds. The best of each layer make a smaller space.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from autospace.compute.machine import keep_freed_memory
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig
from autospace.evaluators.make import Setup, make_evaluator
from autospace.scorers.predicted import Example, Worths
from autospace.seeds import derived_seed, stream
from autospace.spaces import Space, load, to_json
from autospace.spaces.choices import Choice, Choices

RESULTS: Final = Path(__file__).parent / "results"
SOURCE: Final = f"mbconv@{RESULTS / 'preset_limit' / 'limit-24.json'}"
RESOLUTION: Final = 16
NETWORKS: Final = 24
KEPT: Final = 3


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


def worths(space: Space, paths: Sequence[Choice], errors: Sequence[float]) -> list[list[float]]:
    """Points of error that each candidate gains over the first of its layer, at equal MAdds."""
    choices = Choices(space)
    examples = [
        Example(choices.architecture(path).cells, 100 * error)
        for path, error in zip(paths, errors, strict=True)
    ]
    model = Worths(space.skeleton, examples)
    return [
        [model.gain(place, each.cell, layer.candidates[0].cell) for each in layer.candidates]
        for place, layer in enumerate(space.layers)
    ]


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
