"""Does a second, more faithful measurement of the best cells choose better ones?

    python benchmarks/halving.py TRUTH.jsonl PREDICTIONS.jsonl --out FILE.json [--study second]

Successive halving over fidelities, played on what the ranking studies have measured, so that it
trains nothing: all 24 cells of a layer are scored by a first measurement, the better half again by
a second, and the best six are kept. The most faithful measurement is a whole training from scratch
with one seed, which costs ten probes. Figures are points of accuracy, held-out images, by the seeds
of the ground truth that took no part in the choice; means over layers, scoring seeds and seeds of
the ground truth. `cheap` chooses among the cheaper half of the cells only, and keeps three. `equal`
leaves out what the logarithm of the MAdds explains, of the scores and of the accuracies: what is
left is what a choice gains at equal cost.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from ranking_report import load_truth
from ranking_setup import FIRST, STUDIES, Study

from autospace.spaces import cell_cost

KEPT: Final = {"all": 6, "cheap": 3, "equal": 6}
SCORED: Final = ("probe", "calibrated", "local", "in-place", "naswot")
Array = np.ndarray


def standardised(values: Array) -> Array:
    """With mean 0 and standard deviation 1."""
    return (values - values.mean()) / values.std()


def beyond_cost(values: Array, madds: Array) -> Array:
    """The residuals of a least-squares line over the logarithm of the MAdds."""
    logs = np.log(madds)
    residuals: Array = values - np.polyval(np.polyfit(logs, values, 1), logs)
    return residuals


def best(values: Array, count: int, among: Array) -> Array:
    """The cells of the largest values."""
    return among[np.argsort(-values[among], kind="stable")][:count]


def choices(
    scores: dict[str, Array], trained: Array, madds: Array, among: Array, keep: int
) -> Iterator[tuple[str, Array]]:
    """Per policy, the cells that it keeps.

    Args:
        scores: per scorer, a value for every cell.
        trained: accuracies of one training each.
        madds: of the cells.
        among: the cells to choose from.
        keep: how many.
    """
    half = max(keep, len(among) // 2)
    yield "random cells", among
    yield "MAdds", best(madds, keep, among)
    for name, values in scores.items():
        yield name, best(values, keep, among)
    yield "training", best(trained, keep, among)
    if "probe" not in scores:
        return
    probe = scores["probe"]
    both = standardised(probe) + standardised(trained)
    yield "probe and training", best(both, keep, among)
    survivors = best(probe, half, among)
    for name in ("in-place", "local"):
        if name in scores:
            yield f"probe, then {name}", best(scores[name], keep, survivors)
    yield "probe, then training", best(trained, keep, survivors)
    yield "probe, then both", best(both, keep, survivors)


def collect(study: Study, truth: Path, predictions: Path) -> dict[str, dict[str, list[float]]]:
    """Per set of cells and policy, the mean accuracy of the kept cells, per layer and seeds."""
    accuracies = load_truth(truth, study)
    rows = map(json.loads, predictions.read_text().splitlines())
    known = {(row["predictor"], row["seed"]): row["values"] for row in rows}
    seeds = sorted({seed for name, seed in known if name == "probe"})
    found: dict[str, dict[str, list[float]]] = {kind: defaultdict(list) for kind in KEPT}
    for name, layer in study.layers.items():
        shape, cells = study.skeleton.shapes[layer], study.cells_of(layer)
        madds = np.array([float(cell_cost(cell, shape).madds) for cell in cells])
        every = np.arange(len(cells))
        sets = {"all": every, "cheap": np.argsort(madds)[: len(cells) // 2], "equal": every}
        table = 100 * accuracies[name]
        for own in range(table.shape[1]):
            right = np.delete(table, own, axis=1).mean(axis=1)
            for seed in seeds:
                scores = {
                    each: np.array(known[each, seed][layer])
                    for each in SCORED
                    if (each, seed) in known
                }
                for kind, among in sets.items():
                    keep, gained, trained, said = KEPT[kind], right, table[:, own], scores
                    if kind == "equal":
                        gained, trained = beyond_cost(right, madds), beyond_cost(trained, madds)
                        said = {each: beyond_cost(row, madds) for each, row in scores.items()}
                    kept = dict(choices(said, trained, madds, among, keep))
                    kept["the best there are"] = best(gained, keep, among)
                    for policy, picked in kept.items():
                        found[kind][policy].append(float(gained[picked].mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", type=Path)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--study", choices=STUDIES, default=FIRST.name)
    arguments = parser.parse_args()
    found = collect(STUDIES[arguments.study], arguments.truth, arguments.predictions)
    means = {
        kind: {policy: round(float(np.mean(values)), 3) for policy, values in policies.items()}
        for kind, policies in found.items()
    }
    arguments.out.write_text(json.dumps(means, indent=1) + "\n")
    print("| kept by | " + " | ".join(means) + " |")
    for policy in means["all"]:
        print(f"| {policy} | " + " | ".join(f"{means[kind][policy]:.2f}" for kind in means) + " |")


if __name__ == "__main__":
    main()
