"""Compares fitness on NAS-Bench-Macro with the accuracies of all its networks.

    python benchmarks/macro_report.py FITNESS.jsonl --out benchmarks/results/macro_fitness.json

Prints the tables of docs/evidence/truth.md. The prediction for a network is the sum of the fitness
of its cells. Correlations are Kendall's tau with the published mean accuracy of three seeds.
"""

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import kendalltau

from autospace.comparison.matching import cost_bins
from autospace.evaluators.tabular import read_table

Array = np.ndarray
GOOD: Final = 0.9
"""Accuracy above which networks are also ranked by themselves."""
BINS: Final = 10
KEPT: Final = ((1, 2), (0, 2), (0, 1))
"""The ways to keep two of three cells, by the index of the one that is dropped."""

TABLE: Final = read_table("nasbench-macro")
LAYERS: Final = len(TABLE.choices.sizes)
NETWORKS: Final = np.array(list(itertools.product(range(3), repeat=LAYERS)))
ACCURACY: Final = TABLE.scores.mean(axis=1)
MADDS: Final = np.array([TABLE.choices.cost(tuple(map(int, row))).madds for row in NETWORKS])


def summed(fitness: Sequence[Sequence[float]]) -> Array:
    """The prediction for every network: the sum over its layers."""
    table = np.asarray(fitness, dtype=float)
    return table[np.arange(LAYERS), NETWORKS].sum(axis=1)


def tau(a: Array, b: Array) -> float:
    """Kendall's tau-b; 0 where one of the two is constant."""
    found = float(kendalltau(a, b)[0])
    return 0.0 if np.isnan(found) else found


def inside_bins(predicted: Array) -> float:
    """The mean over deciles of MAdds of the tau within each."""
    bins = np.argsort(np.argsort(MADDS, kind="stable")) * BINS // len(MADDS)
    return float(np.mean([tau(predicted[bins == b], ACCURACY[bins == b]) for b in range(BINS)]))


def kept_means(values: Array) -> Array:
    """Mean over the networks of each of the 6,561 ways to keep two of three cells per layer.

    Args:
        values: one per network.
    """
    cube = values.reshape((3,) * LAYERS)
    for axis in range(LAYERS):
        cube = np.stack([cube.take(kept, axis).mean(axis) for kept in KEPT], axis)
    return cube.ravel()


ACCURACY_KEPT: Final = kept_means(ACCURACY)
AFFORDABLE: Final = kept_means(MADDS.astype(float)) <= MADDS.mean() * (1 + 1e-12)
"""The ways whose mean MAdds do not exceed those of the whole space."""


WAYS: Final = list(itertools.product(range(3), repeat=LAYERS))
"""Per way to keep two of three cells and layer, the index in `KEPT`."""
_PLACE: Final = np.unique(cost_bins(MADDS), return_inverse=True)[1]


def _by_cost(rows: Array) -> tuple[Array, Array]:
    """Of some networks: how many have about each cost, and the sum of their accuracies."""
    place, most = _PLACE[rows], int(_PLACE.max()) + 1
    return np.bincount(place, minlength=most), np.bincount(place, ACCURACY[rows], most)


def at_equal_madds(way: Sequence[int]) -> float:
    """How much better a sub-space is than the whole space at equal MAdds, in points of accuracy.

    This is the exact mean of what `autospace compare` estimates from a sample: networks whose MAdds
    differ by less than 2 % are compared, each cost with the smaller of its two shares.

    Args:
        way: per layer the index in `KEPT`.
    """
    kept = [np.isin(NETWORKS[:, layer], KEPT[each]) for layer, each in enumerate(way)]
    count, total = _by_cost(np.all(kept, axis=0))
    all_count, all_total = _by_cost(np.ones(len(NETWORKS), bool))
    weights = np.minimum(count / count.sum(), all_count / all_count.sum())
    gains = total / np.maximum(1, count) - all_total / all_count
    return float(100 * (weights * gains).sum() / weights.sum())


def figures(fitness: Sequence[Sequence[float]]) -> dict[str, float]:
    """Everything that is reported about one prediction.

    Returns:
        `all`, `good`, `inside`: tau with all networks, with those above 90 %, and inside deciles of
        MAdds; `space`: mean accuracy of the sub-space that the prediction chooses among the ways to
        keep two of three cells that cost no more than the whole space; `percentile`: the share of
        those ways that are worse, in per cent; `gain`: see `at_equal_madds`; `rank`: of the network
        that it chooses, 1 is best.
    """
    predicted = summed(fitness)
    good = ACCURACY > GOOD
    of_ways = np.where(AFFORDABLE, kept_means(predicted), -np.inf)
    way = int(of_ways.argmax())
    chosen = ACCURACY_KEPT[way]
    best = int(predicted.argmax())
    return {
        "all": tau(predicted, ACCURACY),
        "good": tau(predicted[good], ACCURACY[good]),
        "inside": inside_bins(predicted),
        "space": float(chosen),
        "percentile": 100 * float((ACCURACY_KEPT[AFFORDABLE] < chosen).mean()),
        "gain": at_equal_madds(WAYS[way]),
        "rank": 1 + int((ACCURACY[best] < ACCURACY).sum()),
    }


def main_effects() -> Array:
    """Least squares of the accuracies on the cells: the ceiling of every sum over layers."""
    columns = [(cell == NETWORKS).astype(float) for cell in (1, 2)]
    design = np.concatenate([np.ones((len(NETWORKS), 1)), *columns], axis=1)
    found = np.linalg.lstsq(design, ACCURACY, rcond=None)[0]
    return np.stack([np.zeros(LAYERS), found[1 : LAYERS + 1], found[LAYERS + 1 :]], axis=1)


def report(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per scorer and reference, the figures of all seeds."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        groups[line["scorer"], line["reference"]].append(line)
    rows = []
    for (scorer, reference), found in groups.items():
        each = [figures(line["fitness"]) for line in found]
        rows.append(
            {
                "scorer": scorer,
                "reference": reference,
                "seeds": [line["seed"] for line in found],
                "seconds": [line["seconds"] for line in found],
                **{name: [figure[name] for figure in each] for name in each[0]},
            }
        )
    return rows


def row_of(row: dict[str, Any]) -> str:
    """A line of the table: means over the seeds, and the standard deviation of the first three."""
    cells = [f"`{row['scorer']}`", str(row["reference"]), str(len(row["seeds"]))]
    for name in ("all", "good", "inside"):
        values = row[name]
        spread = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.2f}{spread}")
    cells.append(f"{100 * np.mean(row['space']):.2f}")
    cells.append(", ".join(f"{value:.0f}" for value in row["percentile"]))
    cells.append(", ".join(f"{value:.1f}" for value in row["gain"]))
    cells.append(", ".join(map(str, row["rank"])))
    cells.append(f"{np.mean(row['seconds']):.0f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fitness", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    lines = [json.loads(line) for line in arguments.fitness.read_text().splitlines()]
    rows = report(lines)
    ceiling = {"scorer": "main effects", "reference": 0, "seeds": [0], "seconds": [0.0]}
    ceiling |= {name: [value] for name, value in figures(main_effects().tolist()).items()}
    arguments.out.write_text(json.dumps([ceiling, *rows], indent=1) + "\n")
    for row in [ceiling, *rows]:
        print(row_of(row))
    drawn = np.array([at_equal_madds(WAYS[way]) for way in np.flatnonzero(AFFORDABLE)])
    print(
        f"gain of all such ways: {drawn.mean():.2f} ± {drawn.std():.2f}, at most {drawn.max():.2f}"
    )


if __name__ == "__main__":
    main()
