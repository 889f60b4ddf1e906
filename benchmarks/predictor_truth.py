"""Compares scores, and what the predictor of fitness makes of them, with trained cells.

    python benchmarks/predictor_truth.py TRUTH.jsonl PREDICTIONS.jsonl

It trains nothing: cells, their scores and their accuracies are those of the ranking study. Per
scorer and scoring seed, the predictor is fitted to one score of each of the 24 cells of every
layer. The table gives Kendall's tau with accuracy of the scores, of the posterior means, and of
what the predictor says of every cell from all others, averaged over layers and scoring seeds. The
last column counts layers and seeds in which the posterior means order better than the scores, and
worse.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from ranking_setup import LAYERS, SKELETON, cells_of
from scipy.stats import kendalltau

from autospace.evolution.predictor import Measured, fit
from autospace.spaces import cell_cost
from autospace.spaces.features import features

SCORERS = ("probe", "calibrated", "local", "in-place", "gated", "mixture")
SHAPES = [SKELETON.shapes[layer] for layer in LAYERS.values()]
CELLS = [cells_of(layer) for layer in LAYERS.values()]


def accuracies(rows: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Per layer and cell, the mean accuracy on held-out images over the complete seeds."""
    found = []
    for layer, cells in zip(LAYERS.values(), CELLS, strict=True):
        found.append(
            [
                fmean(
                    row["held_out_accuracy"]
                    for row in rows
                    if (row["layer"], row["cell"]) == (layer, place)
                )
                for place in range(len(cells))
            ]
        )
    return found


def guesses(scores: Sequence[Sequence[float]]) -> list[dict[str, Sequence[float]]]:
    """Per layer, three orders of its cells."""
    layers = [
        Measured(
            tuple(features(cell, cell_cost(cell, shape)) for cell in cells),
            tuple(row),
            (1.0,) * len(row),
        )
        for row, cells, shape in zip(scores, CELLS, SHAPES, strict=True)
    ]
    found = fit(layers)
    guessed: list[dict[str, Sequence[float]]] = []
    for index, (row, data) in enumerate(zip(scores, found.layers, strict=True)):
        known = found.known(index)
        if data is None or known is None:
            raise ValueError("all scores of a layer are equal")
        alone = sum(
            (w * data.left_out(point)[0] for point, w in found.weights[index].items()),
            np.zeros(len(row)),
        )
        posterior = [each.mean for each in known]
        guessed.append({"scores": row, "posterior": posterior, "left out": alone.tolist()})
    return guessed


def taus(
    scores: Sequence[Sequence[float]], truth: Sequence[Sequence[float]]
) -> list[dict[str, float]]:
    """Per layer, Kendall's tau of the three orders with the truth."""
    return [
        {name: float(kendalltau(guess, own)[0]) for name, guess in row.items()}
        for row, own in zip(guesses(scores), truth, strict=True)
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("predictions", type=Path)
    arguments = parser.parse_args()
    truth, rows = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (arguments.truth, arguments.predictions)
    )
    known = accuracies(truth)
    print("| scorer | scores | posterior means | from other cells alone | better, worse |")
    print("|---|---|---|---|---|")
    for scorer in SCORERS:
        chosen = [row["values"] for row in rows if row["predictor"] == scorer]
        found = [each for values in chosen for each in taus(values, known)]
        means = " | ".join(f"{fmean(each[name] for each in found):.3f}" for name in found[0])
        gains = [round(each["posterior"] - each["scores"], 9) for each in found]
        better, worse = sum(each > 0 for each in gains), sum(each < 0 for each in gains)
        print(f"| `{scorer}` | {means} | {better}, {worse} of {len(gains)} |")


if __name__ == "__main__":
    main()
