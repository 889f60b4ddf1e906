"""What a unit of fitness is worth at each depth, and what MAdds are worth.

    python benchmarks/depth.py TRUTH.jsonl PREDICTIONS.jsonl --out benchmarks/results/depth.json

Per layer, accuracy of the ground truth (points, held-out images of the train split) is regressed
on a scorer's fitness, with the logarithm of the network's MAdds held; then on that logarithm
alone. Standard errors are those of least squares over the cells.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from ranking_report import load_truth
from ranking_setup import LAYERS, SKELETON, cells_of

from autospace.spaces import cell_cost, mbconv, network_cost

SCORERS = ("probe", "in-place")
Array = np.ndarray


def slopes(y: Array, *columns: Array) -> list[tuple[float, float]]:
    """Coefficient and standard error of each column, beside a constant."""
    design = np.column_stack([np.ones(len(y)), *columns])
    found, *_ = np.linalg.lstsq(design, y, rcond=None)
    rest = y - design @ found
    variance = rest @ rest / (len(y) - design.shape[1])
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * variance)
    return [(float(a), float(b)) for a, b in zip(found[1:], errors[1:], strict=True)]


def network_madds(layer: int) -> Array:
    """MAdds of the reference network with each of a layer's cells in it."""
    reference = [mbconv(3, 3)] * len(SKELETON.layers)
    shape = SKELETON.shapes[layer]
    whole = network_cost(SKELETON, reference).madds - cell_cost(reference[layer], shape).madds
    return np.array([whole + cell_cost(cell, shape).madds for cell in cells_of(layer)])


def mean_fitness(rows: list[dict[str, object]], scorer: str, layer: int) -> Array:
    """Of every cell, over the scoring seeds."""
    found = [row["values"] for row in rows if row["predictor"] == scorer]
    return np.mean([values[layer] for values in found], axis=0)  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    truth = load_truth(arguments.truth)
    rows = [json.loads(line) for line in arguments.predictions.read_text().splitlines()]
    entries = []
    for name, layer in LAYERS.items():
        points = 100 * truth[name].mean(axis=1)
        cost = np.log(network_madds(layer))
        for scorer in SCORERS:
            fitness = mean_fitness(rows, scorer, layer)
            (worth, error), _ = slopes(points, fitness, cost)
            entry = {"layer": name, "what": scorer, "points": worth, "error": error}
            entries.append(entry | {"fitness_sd": float(fitness.std(ddof=1))})
        ((worth, error),) = slopes(points, cost)
        entries.append({"layer": name, "what": "log MAdds", "points": worth, "error": error})
    shown = [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
        for row in entries
    ]
    arguments.out.write_text(json.dumps(shown, indent=1) + "\n")
    for row in shown:
        print(row)


if __name__ == "__main__":
    main()
