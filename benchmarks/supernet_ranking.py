"""How weights that networks share rank networks whose accuracies after full trainings are known.

    python benchmarks/supernet_ranking.py --data folder:CIFAR10 --out FILE.jsonl [--only NAME ...]
    python benchmarks/supernet_ranking.py --out FILE.jsonl --report

The spaces are NAS-Bench-201 and NAS-Bench-Macro, whose cells are those of ProxylessNAS. One whole
supernet (`spos`), supernets that are split by gradients (`gm`) or by local intrinsic dimensions
(`nas-lid`), and blocks that imitate a teacher (`dna`, where the cells of layers differ) train for
equal numbers of steps on images of 16x16 pixels; the teacher of `dna` trains for as many steps
besides. Then all rate the same random networks. One line per space, method, seed and number of
steps; a second call skips what the file holds. The report gives Kendall's tau with the accuracies
of the tables, over all networks and inside five bins of MAdds.
"""

import argparse
import json
import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from macro_fitness import CPU, known
from nasbench201_fitness import connected, tau

from autospace.compute.machine import keep_freed_memory
from autospace.data.images import load_images
from autospace.evaluators.tabular import Table, read_table
from autospace.runs.settings import make_settings
from autospace.searchers.make import make_method
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.spaces.choices import Choice, Choices

RESULT: Final = Path(__file__).parent / "results" / "supernet_ranking.json"
TABLES: Final = {"nasbench201": "nasbench201-200epochs", "nasbench-macro": "nasbench-macro"}
METHODS: Final = {
    "nasbench201": ("spos", "nas-lid", "gm"),
    "nasbench-macro": ("spos", "nas-lid", "gm", "dna"),
}
RESOLUTION: Final = 16
STEPS: Final = 1000
NETWORKS: Final = 100
BINS: Final = 5
DRAWS: Final = 2000


def networks_of(space: str, table: Table) -> list[Choice]:
    """The networks to rate, the same for every method and seed."""
    rng, found = random.Random(0), dict[Choice, None]()
    while len(found) < NETWORKS:
        path = tuple(rng.randrange(size) for size in table.choices.sizes)
        if space == "nasbench-macro" or connected(path):
            found[path] = None
    return list(found)


def rate(space: str, method: str, source: str, seed: int, steps: int) -> dict[str, Any]:
    """The ratings of one method, and the processor seconds of training and of rating."""
    table = read_table(TABLES[space])
    settings = {
        "method": method,
        "seed": seed,
        "data": {"source": source, "resolution": RESOLUTION},
        "supernet": {"steps": steps, "recalibration": 4, "validation_batches": 8},
        "options": {"teacher_steps": steps} if method == "dna" else {},
    }
    config = make_settings(SearchConfig, settings)
    images = load_images(config.data, "validation", seed, CPU)
    problem = SearchProblem.of(Choices(images.fitted(table.space)), images, config)
    searching = make_method(problem)
    started = time.process_time()
    for index in range(steps * (2 if method == "dna" else 1)):
        searching.step(index)
    trained = time.process_time()
    ratings = searching.rated(networks_of(space, table))
    return {
        "ratings": ratings,
        "supernets": searching.details().get("supernets"),
        "training_seconds": round(trained - started, 1),
        "rating_seconds": round(time.process_time() - trained, 1),
    }


def measure(arguments: argparse.Namespace) -> None:
    for seed in arguments.seeds:
        for space, methods in METHODS.items():
            for method in methods:
                row: dict[str, Any] = {"space": space, "method": method, "seed": seed}
                row["steps"] = arguments.steps
                named = {space, method} & set(arguments.only)
                if (arguments.only and not named) or known(arguments.out, row):
                    continue
                row |= rate(space, method, arguments.data, seed, arguments.steps)
                with arguments.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(space, method, seed, row["training_seconds"], flush=True)


def report(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    rows, found = list(rows), dict[str, Any]()
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, NETWORKS, (DRAWS, NETWORKS))
    for space, name in TABLES.items():
        table = read_table(name)
        paths = networks_of(space, table)
        places = [int(np.ravel_multi_index(path, table.choices.sizes)) for path in paths]
        truth = np.nanmean(table.scores[places], axis=1)
        madds = np.array([table.choices.cost(path).madds for path in paths])
        bins = np.argsort(np.argsort(madds, kind="stable")) * BINS // NETWORKS
        parts = [np.flatnonzero(bins == each) for each in range(BINS)]
        rated: dict[str, list[dict[str, Any]]] = {"madds": []}
        for row in sorted((row for row in rows if row["space"] == space), key=lambda r: r["seed"]):
            rated.setdefault(f"{row['method']}, {row['steps']} steps", []).append(row)
        for method, own in rated.items():
            values = [np.array(row["ratings"]) for row in own] or [madds]
            boots = [np.mean([tau(v[draw], truth[draw]) for v in values]) for draw in drawn]
            found[f"{space}, {method}"] = {
                "tau": [tau(each, truth) for each in values],
                "interval": np.quantile(boots, (0.025, 0.975)).tolist(),
                "inside": [
                    float(np.mean([tau(each[part], truth[part]) for part in parts]))
                    for each in values
                ],
                "ratings": [round(float(np.mean(each)), 3) for each in values] if own else [],
                "training_seconds": [row["training_seconds"] for row in own],
                "rating_seconds": [row["rating_seconds"] for row in own],
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    if not arguments.report:
        torch.set_num_threads(1)
        keep_freed_memory()  # as every process does that trains
        measure(arguments)
        return
    lines = arguments.out.read_text("utf-8").splitlines()
    found = report(json.loads(line) for line in lines)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, row in found.items():
        print(name, *(f"{kind} {np.mean(row[kind]):.2f}" for kind in ("tau", "inside")))


if __name__ == "__main__":
    main()
