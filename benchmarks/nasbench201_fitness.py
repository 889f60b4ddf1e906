"""Scores cells of NAS-Bench-201, each alone, and compares with its 200-epoch accuracies.

    python benchmarks/nasbench201_fitness.py --data folder:PATH --out FILE.jsonl [--only NAME ...]
    python benchmarks/nasbench201_fitness.py --out FILE.jsonl --report

The reference network is that of `evolve`, a 3x3 convolution on every edge, warmed up on half of the
training images of CIFAR-10, shrunk to 16x16. Candidates are the 24 cells that differ from it on one
edge, and random cells that compute different functions. Each is tried in the middle layer of every
stage; its fitness is the mean. Zero-cost scores are those of the whole network with the cell in all
layers at 32x32, as in the benchmark. One line per scoring seed and scorer; a second call skips what
the file holds.

The report gives Kendall's tau with the accuracies: over the random cells, among those of about
equal MAdds (the mean over five bins), and over the operations of each edge, whose truth is the
table's entry for that very cell and the mean over all networks with that operation on that edge;
and where the sub-space stands that keeps the reference's operation and the two fittest others on
every edge, among all 46,656 that keep as many, by the mean accuracy of their networks.
"""

import argparse
import json
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from macro_fitness import BATCH, CPU, ZERO_COST_IMAGES, known
from scipy.stats import kendalltau

from autospace.compute.machine import keep_freed_memory
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.load import load_data
from autospace.data.splits import divide
from autospace.evaluators.tabular import read_table
from autospace.evaluators.zero_cost import ZERO_COST
from autospace.evolution.reference import new_reference
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.seeds import derived_seed
from autospace.spaces import cell_cost, load
from autospace.spaces.cells.family import cell_key
from autospace.training.short import Recipe, train

RESULT: Final = Path(__file__).parent / "results" / "nasbench201_fitness.json"
SPACE: Final = load("nasbench201@nasbench201")
FULL: Final = SPACE.skeleton.untied
SKELETON: Final = FULL.fitted(in_channels=3, resolution=16, classes=10)
SHAPES: Final = SKELETON.shapes
LAYERS: Final = (2, 7, 12)
"""The middle cells of the three stages."""
EDGES: Final = len(SPACE.layers)
OPERATIONS: Final = tuple(SPACE.layers[0].by_id)
REFERENCE: Final = (OPERATIONS.index("nor_conv_3x3"),) * EDGES
KEPT: Final = 3
"""Operations of an edge in a sub-space, that of the reference among them."""
KEPT_WAYS: Final = [
    way for way in combinations(range(len(OPERATIONS)), KEPT) if REFERENCE[0] in way
]
RANDOM_CELLS: Final = 64
BINS: Final = 5
WARM_UP: Final = 500
DRAWS: Final = 2000
Choice = tuple[int, ...]
"""Index of the operation on every edge."""
Array = np.ndarray


@cache
def cell_of(choice: Choice) -> Any:
    """The cell with these operations on its edges."""
    names = {
        layer.shape.name: OPERATIONS[each] for layer, each in zip(SPACE.layers, choice, strict=True)
    }
    return SPACE.architecture(names).cells[0]


def edge_cells() -> list[Choice]:
    """The cells that differ from the reference on one edge."""
    return [
        (*REFERENCE[:edge], operation, *REFERENCE[edge + 1 :])
        for edge in range(EDGES)
        for operation in range(len(OPERATIONS))
        if operation != REFERENCE[edge]
    ]


def random_cells() -> list[Choice]:
    """Cells of different functions, whose output depends on their input."""
    rng, found, seen = random.Random(0), list[Choice](), set[str]()
    while len(found) < RANDOM_CELLS:
        choice = tuple(rng.randrange(len(OPERATIONS)) for _ in range(EDGES))
        key = cell_key(cell_of(choice), SHAPES[0])
        if key not in seen and connected(choice):
            seen.add(key)
            found.append(choice)
    return found


def connected(choice: Choice) -> bool:
    """Whether a way leads from the input to the output; edges are 01, 02, 12, 03, 13, 23."""
    none = OPERATIONS.index("none")
    reached = {0}
    for (source, target), each in zip(
        ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)), choice, strict=True
    ):
        if source in reached and each != none:
            reached.add(target)
    return 3 in reached


def scorers() -> dict[str, ScoringConfig]:
    """As for NAS-Bench-Macro."""
    return {
        "probe": ScoringConfig(method="probe"),
        "calibrated": ScoringConfig(method="calibrated"),
        "local": ScoringConfig(method="local", learning_rate=0.05),
        "in-place": ScoringConfig(method="in-place", learning_rate=0.05),
    }


def setting(source: str, seed: int) -> ScoringContext:
    """The trained reference, and the batches of a scoring seed."""
    data = load_data(source, resolution=SKELETON.resolution, channels=SKELETON.in_channels)
    weights, fitness = divide(data.train, 0.5, seed)
    norm = Normaliser.from_examples(weights)
    warm_up, training, validation = (
        Batches(part, size, derived_seed(seed, name), CPU, norm, augment)
        for name, part, size, augment in (
            ("warm-up", weights, BATCH, Augment()),
            ("train", weights, BATCH, Augment()),
            ("validate", fitness, 2 * BATCH, None),
        )
    )
    network = new_reference(SKELETON, [cell_of(REFERENCE)] * len(SHAPES), seed, CPU)
    train(network, warm_up, Recipe(WARM_UP))
    return ScoringContext(freeze(network), training, validation, ScoringConfig(), seed)


def scored(context: ScoringContext, cells: Sequence[Choice]) -> list[list[float]]:
    """Fitness of the cells at each of `LAYERS`."""
    row = [cell_of(choice) for choice in cells]
    rows = [row if layer in LAYERS else [] for layer in range(len(SHAPES))]
    found = make_scorer(context).score(rows, 0)
    return [found[layer] for layer in LAYERS]


def untrained(name: str, source: str, seed: int, cells: Sequence[Choice]) -> list[float]:
    """A zero-cost score of the networks that repeat a cell."""
    data = load_data(source, resolution=FULL.resolution, channels=FULL.in_channels)
    batches = Batches(
        data.train, ZERO_COST_IMAGES, seed, CPU, Normaliser.from_examples(data.train), Augment()
    )
    images, labels = batches.batch(0)
    weights = derived_seed(seed, "zero-cost")
    networks = (new_reference(FULL, [cell_of(each)] * len(SHAPES), weights, CPU) for each in cells)
    return [ZERO_COST[name](network, images, labels) for network in networks]


def measure(arguments: argparse.Namespace) -> None:
    cells = [*edge_cells(), *random_cells()]
    for seed in arguments.seeds:
        base: ScoringContext | None = None
        for name in [*scorers(), *ZERO_COST]:
            row: dict[str, Any] = {"seed": seed, "scorer": name}
            if (arguments.only and name not in arguments.only) or known(arguments.out, row):
                continue
            if name not in ZERO_COST:
                base = base or setting(arguments.data, seed)
            started = time.process_time()
            if base is None or name in ZERO_COST:
                row["fitness"] = [untrained(name, arguments.data, seed, cells)]
            else:
                row["fitness"] = scored(replace(base, options=scorers()[name]), cells)
            row["seconds"] = round(time.process_time() - started, 1)
            with arguments.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(seed, name, row["seconds"], flush=True)


def tau(a: Array, b: Array) -> float:
    """Kendall's tau-b; 0 where one of the two is constant."""
    found = float(kendalltau(a, b)[0])
    return 0.0 if np.isnan(found) else found


class Truth:
    """What the table says of the candidates."""

    def __init__(self) -> None:
        scores = 100 * read_table("nasbench201-200epochs").scores[:, 0]
        cube = scores.reshape((len(OPERATIONS),) * EDGES)
        self.cube = cube
        self.edges, self.random = edge_cells(), random_cells()
        self.all_means = self._averaged(cube)
        madds = np.array([[float(cost.madds) for cost in layer.costs] for layer in SPACE.layers])
        self.all_madds = self._averaged(sum(np.ix_(*madds)))
        self.of_edges = np.array([cube[choice] for choice in self.edges])
        self.marginal = np.array([self._marginal(cube, choice) for choice in self.edges])
        self.of_random = np.array([cube[choice] for choice in self.random])
        costs = [cell_cost(cell_of(choice), SHAPES[0]) for choice in self.random]
        self.counts = {
            "MAdds": np.array([float(each.madds) for each in costs]),
            "params": np.array([float(each.params) for each in costs]),
        }
        ranks = np.argsort(np.argsort(self.counts["MAdds"], kind="stable"))
        self.bins = ranks * BINS // len(ranks)

    @staticmethod
    def _averaged(cube: Array) -> Array:
        """Means over the networks of every sub-space, an axis of six ways per edge."""
        ways = np.zeros((len(KEPT_WAYS), len(OPERATIONS)))
        for row, way in zip(ways, KEPT_WAYS, strict=True):
            row[list(way)] = 1 / KEPT
        for _ in range(EDGES):
            cube = np.moveaxis(np.tensordot(cube, ways, ([0], [1])), -1, EDGES - 1)
        return cube

    @staticmethod
    def _marginal(cube: Array, choice: Choice) -> float:
        """Mean accuracy of all networks with an operation, less that with the reference's."""
        (edge,) = (e for e in range(EDGES) if choice[e] != REFERENCE[e])
        means = cube.mean(axis=tuple(e for e in range(EDGES) if e != edge))
        return float(means[choice[edge]] - means[REFERENCE[edge]])

    def inside(self, predicted: Array, rows: Array | None = None) -> float:
        """Mean tau inside bins of MAdds, of some of the random cells."""
        rows = np.arange(len(self.random)) if rows is None else rows
        parts = [rows[self.bins[rows] == each] for each in range(BINS)]
        return float(np.mean([tau(predicted[p], self.of_random[p]) for p in parts if len(p) > 1]))

    def sub_space(self, predicted: Array) -> dict[str, float]:
        """Mean and best accuracy of what is kept by fitness, and shares of sub-spaces below it."""
        chosen = []
        for edge in range(EDGES):
            mine = [i for i, choice in enumerate(self.edges) if choice[edge] != REFERENCE[edge]]
            fittest = sorted(mine, key=lambda i: -predicted[i])[: KEPT - 1]
            others = {self.edges[i][edge] for i in fittest}
            chosen.append(KEPT_WAYS.index(tuple(sorted({REFERENCE[edge], *others}))))
        means, madds = self.all_means, self.all_madds
        own = tuple(chosen)
        cheap = madds <= madds[own]
        return {
            "mean": float(means[own]),
            "best": float(self.cube[np.ix_(*(KEPT_WAYS[way] for way in own))].max()),
            "percentile": float(100 * (means < means[own]).mean()),
            "percentile of those as cheap": float(100 * (means[cheap] < means[own]).mean()),
        }

    def of_edge(self, predicted: Array, truth: Array) -> float:
        """Mean over the edges of tau among the five operations; the reference counts as 0."""
        reference = 0.0
        found = []
        for edge in range(EDGES):
            mine = [i for i, choice in enumerate(self.edges) if choice[edge] != REFERENCE[edge]]
            found.append(
                tau(
                    np.append(predicted[mine], reference),
                    np.append(truth[mine], reference),
                )
            )
        return float(np.mean(found))


def report(path: Path) -> dict[str, Any]:
    truth = Truth()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    edges = len(truth.edges)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(truth.random), (DRAWS, len(truth.random)))
    reference = float(100 * read_table("nasbench201-200epochs").scores[_index(REFERENCE), 0])
    found: dict[str, Any] = {}
    boots: dict[str, tuple[Array, Array]] = {}
    by_scorer = defaultdict(list)
    for row in sorted(rows, key=lambda each: each["seed"]):
        by_scorer[row["scorer"]].append(row)
    for name, values in truth.counts.items():
        found[name] = {"tau": [tau(values, truth.of_random)], "inside": [truth.inside(values)]}
        boots[name] = _boots(truth, [values], drawn)
    for name, own in by_scorer.items():
        means = [np.asarray(row["fitness"]).mean(axis=0) for row in own]
        parts = [each[edges:] for each in means]
        found[name] = {
            "seeds": [row["seed"] for row in own],
            "seconds": round(float(np.mean([row["seconds"] for row in own])), 1),
            "tau": [tau(each, truth.of_random) for each in parts],
            "inside": [truth.inside(each) for each in parts],
            "per stage": [
                [tau(np.asarray(stage)[edges:], truth.of_random) for stage in row["fitness"]]
                for row in own
            ],
        }
        if len(own[0]["fitness"]) > 1:
            found[name]["edges, this cell"] = [
                truth.of_edge(each[:edges], truth.of_edges - reference) for each in means
            ]
            found[name]["edges, all networks"] = [
                truth.of_edge(each[:edges], truth.marginal) for each in means
            ]
            found[name]["sub-space"] = [truth.sub_space(each[:edges]) for each in means]
        boots[name] = _boots(truth, parts, drawn)
    for name, both in boots.items():
        for kind, values in zip(("tau", "inside"), both, strict=True):
            found[name][f"{kind}, interval"] = np.quantile(values, (0.025, 0.975)).tolist()
    if "probe" in boots:
        for name, both in boots.items():
            for kind, values, base in zip(("tau", "inside"), both, boots["probe"], strict=True):
                limits = np.quantile(values - base, (0.025, 0.975)).tolist()
                found[name][f"{kind} less that of probe, interval"] = limits
    return found


def _index(choice: Choice) -> int:
    return int(np.ravel_multi_index(choice, (len(OPERATIONS),) * EDGES))


def _boots(truth: Truth, predictions: Sequence[Array], drawn: Array) -> tuple[Array, Array]:
    """Over draws of cells: the mean over seeds of tau, and of tau inside bins."""
    overall = [
        np.mean([tau(each[rows], truth.of_random[rows]) for each in predictions]) for rows in drawn
    ]
    inside = [np.mean([truth.inside(each, rows) for each in predictions]) for rows in drawn]
    return np.array(overall), np.array(inside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    if not arguments.report:
        torch.set_num_threads(1)
        keep_freed_memory()  # as every process does that trains
        measure(arguments)
        return
    found = report(arguments.out)
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, row in found.items():
        print(name, *(f"{kind} {np.mean(row[kind]):.2f}" for kind in ("tau", "inside")))


if __name__ == "__main__":
    main()
