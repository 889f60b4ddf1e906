"""Tables and a plot from ground truth and predictions.

    python benchmarks/ranking_report.py TRUTH.jsonl PREDICTIONS.jsonl --out benchmarks/results

Writes `ranking.json` (cells, accuracies, every figure), `ranking.md` (the tables of
docs/evidence/ranking.md) and `ranking.svg`; with `--study second`, the same of the second study.
Correlations are Kendall's tau within a layer, averaged over the layers; intervals are from a
bootstrap over cells, within layers.
"""

import argparse
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import matplotlib
import numpy as np
from ranking_setup import FIRST, STUDIES, Study
from scipy.stats import kendalltau

from autospace.spaces import cell_cost
from autospace.spaces.cells.family import notation
from autospace.spaces.cells.mobile import cell_out

BINS = 3
VARIED = ("probe", "local", "in-place", "gated", "one-shot", "mixture")
LABEL_HEIGHT = 0.035
RESAMPLES = 2000
Array = np.ndarray


def load_truth(path: Path, study: Study = FIRST) -> dict[str, Array]:
    """Per layer name, accuracies [cells, seeds] on held-out images; complete seeds only."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [row for row in rows if row["cell"] >= 0]
    counts = Counter(row["seed"] for row in rows)
    whole = sum(len(study.cells_of(layer)) for layer in study.layers.values())
    seeds = sum(counts[seed] == whole for seed in sorted(counts))
    rows = [row for row in rows if row["seed"] < seeds]
    truth = {}
    for name, layer in study.layers.items():
        table = np.full((len(study.cells_of(layer)), seeds), np.nan)
        for row in rows:
            if row["layer"] == layer:
                table[row["cell"], row["seed"]] = row["held_out_accuracy"]
        truth[name] = table
    return truth


def tau(a: Array, b: Array) -> float:
    """Kendall's tau-b."""
    return float(kendalltau(a, b)[0])


def ceiling(truth: dict[str, Array]) -> dict[str, float]:
    """Tau between single seeds, and the tau of a perfect predictor with the mean over the seeds.

    By Greiner's relation tau becomes a correlation, which is corrected for the number of seeds
    (Spearman and Brown) and turned back.
    """
    between, best = [], []
    for table in truth.values():
        seeds = range(table.shape[1])
        pairs = [tau(table[:, a], table[:, b]) for a in seeds for b in seeds if a < b]
        between.append(np.mean(pairs))
        single = math.sin(math.pi / 2 * float(np.mean(pairs)))
        reliable = len(seeds) * single / (1 + (len(seeds) - 1) * single)
        best.append(2 / math.pi * math.asin(math.sqrt(reliable)))
    return {"between_seeds": float(np.mean(between)), "perfect": float(np.mean(best))}


def within_bins(value: Array, accuracy: Array, cost: Array) -> float:
    """Tau among pairs of cells of the same cost bin (terciles of MAdds)."""
    bins = np.argsort(np.argsort(cost)) * BINS // len(cost)
    agree = total = 0.0
    for i in range(len(cost)):
        for j in range(i):
            if bins[i] == bins[j]:
                agree += np.sign(value[i] - value[j]) * np.sign(accuracy[i] - accuracy[j])
                total += 1
    return agree / max(1.0, total)


def bootstrap(
    values: list[Array], accuracy: list[Array], costs: list[Array], rng: np.random.Generator
) -> dict[str, list[float]]:
    """95 % intervals of both correlations over resampled cells."""
    tables = []
    for value, right, cost in zip(values, accuracy, costs, strict=True):
        bins = np.argsort(np.argsort(cost)) * BINS // len(cost)
        tables.append((_signs(value), _signs(right), bins[:, None] == bins[None, :]))
    overall, binned = [], []
    for _ in range(RESAMPLES):
        both = []
        for of_value, of_right, same in tables:
            pick = rng.integers(len(same), size=len(same))
            grid = np.ix_(pick, pick)
            both.append(_resampled(of_value[grid], of_right[grid], same[grid]))
        overall.append(np.mean([pair[0] for pair in both]))
        binned.append(np.mean([pair[1] for pair in both]))
    return {
        "overall": [round(float(q), 3) for q in np.nanquantile(overall, [0.025, 0.975])],
        "in_bins": [round(float(q), 3) for q in np.nanquantile(binned, [0.025, 0.975])],
    }


def _signs(values: Array) -> Array:
    return np.sign(values[:, None] - values[None, :])


def _resampled(of_value: Array, of_right: Array, same: Array) -> tuple[float, float]:
    """Tau-b from the signs of all pairs, and the same among pairs of one cost bin."""
    agree = of_value * of_right
    ties = np.sqrt(np.abs(of_value).sum() * np.abs(of_right).sum())
    # A cell drawn twice makes pairs of its own kind, which say nothing.
    told = same & (of_right != 0)
    return float(agree.sum() / max(1.0, ties)), float(agree[told].sum() / max(1, told.sum()))


def summarise(
    truth: dict[str, Array], rows: list[dict[str, object]], study: Study = FIRST
) -> list[dict[str, object]]:
    """One entry per predictor: correlations, intervals, seconds."""
    accuracy = [table.mean(axis=1) for table in truth.values()]
    costs = [
        np.array([cell_cost(each, study.skeleton.shapes[at]).madds for each in study.cells_of(at)])
        for at in study.layers.values()
    ]
    by_name: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        by_name[str(row["predictor"])].append(row)
    found = []
    for name, runs in by_name.items():
        tables = [[np.array(row["values"][at]) for at in study.layers.values()] for row in runs]
        taus = [np.mean([tau(v, a) for v, a in zip(t, accuracy, strict=True)]) for t in tables]
        bins = [
            np.mean([within_bins(v, a, c) for v, a, c in zip(t, accuracy, costs, strict=True)])
            for t in tables
        ]
        # The interval is that of one scoring run: cells are resampled together with its noise.
        spans = [bootstrap(t, accuracy, costs, np.random.default_rng(0)) for t in tables]
        found.append(
            {
                "predictor": name,
                "seeds": len(runs),
                "tau": round(float(np.mean(taus)), 3),
                "tau_per_seed": [round(float(t), 3) for t in taus],
                "tau_per_layer": [
                    round(float(np.mean([tau(t[i], accuracy[i]) for t in tables])), 3)
                    for i in range(len(accuracy))
                ],
                "interval": np.mean([s["overall"] for s in spans], axis=0).round(3).tolist(),
                "in_bins": round(float(np.mean(bins)), 3),
                "in_bins_interval": np.mean([s["in_bins"] for s in spans], axis=0)
                .round(3)
                .tolist(),
                "seconds": round(float(np.mean([row["seconds"] for row in runs])), 1),
            }
        )
    return sorted(found, key=lambda entry: -float(entry["tau"]))


def as_markdown(entries: list[dict[str, object]], limit: dict[str, float]) -> str:
    """The table of docs/evidence/ranking.md."""
    lines = [
        f"Ceiling: tau between two seeds of the ground truth {limit['between_seeds']:.2f}; "
        f"a perfect predictor against their mean {limit['perfect']:.2f}.",
        "",
        "| predictor | tau (95 % interval) | per scoring seed | early / stride 2 / late "
        "| inside cost bins | CPU s, 72 cells |",
        "|---|---|---|---|---|---|",
    ]
    for each in entries:
        low, high = each["interval"]
        bin_low, bin_high = each["in_bins_interval"]
        layers = " / ".join(f"{value:.2f}" for value in each["tau_per_layer"])
        seeds = ", ".join(f"{value:.2f}" for value in each["tau_per_seed"])
        lines.append(
            f"| {each['predictor']} | {each['tau']:.2f} ({low:.2f} to {high:.2f}) | {seeds} "
            f"| {layers} | {each['in_bins']:.2f} ({bin_low:.2f} to {bin_high:.2f}) "
            f"| {each['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def plot(entries: list[dict[str, object]], limit: dict[str, float], path: Path) -> None:
    """Ranking quality against seconds, overall and inside cost bins."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "autospace"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 5), sharex=True)
    for axis, key, span, title in (
        (axes[0], "tau", "interval", "all pairs of cells of a layer"),
        (axes[1], "in_bins", "in_bins_interval", "pairs of about equal MAdds"),
    ):
        labels: list[tuple[float, float]] = []
        for each in sorted(entries, key=lambda entry: float(entry[key])):
            name, x, y = str(each["predictor"]), max(0.5, float(each["seconds"])), float(each[key])
            low, high = each[span]
            if name.partition(" ")[0] in VARIED and " " in name:
                axis.plot(
                    x, y, "o", markerfacecolor="none", markeredgecolor="#7a8288", markersize=3
                )
                continue
            lead = name == "probe"
            colour = "#0b6e4f" if lead else "#7a8288"
            axis.errorbar(
                x, y, [[y - low], [high - y]], fmt="o", color=colour, markersize=7 if lead else 4
            )
            height = max([y, *(h + LABEL_HEIGHT for at, h in labels if abs(at - math.log(x)) < 1)])
            labels.append((math.log(x), height))
            axis.annotate(
                name,
                (x, y),
                (x * 1.1, height),
                fontsize=7,
                color=colour if lead else "#333333",
                va="bottom",
            )
        axis.axhline(0, color="#bbbbbb", linewidth=0.8)
        axis.set_xscale("log")
        axis.set_xlim(0.3, 3000)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("CPU seconds for 72 cells (0.5: less); hollow: variants and settings")
    axes[0].axhline(limit["perfect"], color="#b3541e", linestyle="--", linewidth=1)
    axes[0].set_ylabel("Kendall's tau with stand-alone accuracy")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--study", choices=STUDIES, default=FIRST.name)
    arguments = parser.parse_args()
    study = STUDIES[arguments.study]
    truth = load_truth(arguments.truth, study)
    lines = map(json.loads, arguments.predictions.read_text().splitlines())
    rows = list({(row["predictor"], row["seed"]): row for row in lines}.values())
    entries, limit = summarise(truth, rows, study), ceiling(truth)
    cells = {
        name: [
            {
                "notation": notation(cell),
                "cell": cell_out(cell),
                "madds": cell_cost(cell, study.skeleton.shapes[layer]).madds,
                "params": cell_cost(cell, study.skeleton.shapes[layer]).params,
                "held_out_accuracy": table,
            }
            for cell, table in zip(study.cells_of(layer), truth[name].tolist(), strict=True)
        ]
        for name, layer in study.layers.items()
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {"ceiling": limit, "predictors": entries, "cells": cells}
    text = json.dumps(found, indent=1, sort_keys=True) + "\n"
    (arguments.out / f"{study.name}.json").write_text(text)
    (arguments.out / f"{study.name}.md").write_text(as_markdown(entries, limit))
    plot(entries, limit, arguments.out / f"{study.name}.svg")
    print(as_markdown(entries, limit))


if __name__ == "__main__":
    main()
