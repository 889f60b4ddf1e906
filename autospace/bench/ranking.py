"""Suite `ranking`: whether fitness ranks cells as training each of them alone does.

The ground truth is frozen: cells, and for each of them the accuracy of the reference network with
this cell in one layer, trained from scratch once per seed. The default ground truth was measured on
generated images (`benchmarks/bench_truth.py`), which anybody can generate again. Two of its seeds
agree at tau 0.72, and a perfect predictor would reach about 0.90 against their mean. Users who have
CIFAR-10 can use the ground truth of docs/evidence/ranking.md (`benchmarks/freeze_truth.py`).
"""

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import torch
from scipy.stats import kendalltau

from autospace.bench.document import Entry
from autospace.compute.device import threads
from autospace.data.batches import Batches, Normaliser
from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.data.splits import divide
from autospace.networks.network import Network, placed
from autospace.progress import Message
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import Scorer, ScoringConfig
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import cell_cost
from autospace.spaces.cells.mobile import CellDocument, cell_from
from autospace.spaces.files.codec import skeleton_from
from autospace.spaces.files.document import SkeletonFile
from autospace.spaces.skeleton import Skeleton
from autospace.training.short import Recipe, train


def kendall(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's tau-b: 1 for the same order, -1 for the reverse; ties count half as much."""
    tau = float(kendalltau(first, second)[0])
    # Not a number if all values of one of the two are equal, or if there are none.
    return 0.0 if math.isnan(tau) else tau


OPTIONS: Final = ScoringConfig(batch=32, validation_batches=4)
"""The default scorer with its default steps, on smaller batches."""
TruthTable = list[list[float]]


@dataclass(frozen=True)
class Truth:
    """Cells of some layers of a network, and the accuracy of the network with each.

    Attributes:
        data: source of the images, as for `--data`.
        held_out: share of the train split that scorers must not see.
        warm_up_steps: training steps of the reference.
        layers: indices of the layers.
        cells: per layer, the cells under test.
        accuracies: per layer and cell, the mean over the seeds of the ground truth.
    """

    data: str
    held_out: float
    warm_up_steps: int
    skeleton: Skeleton
    reference: Cell
    layers: Sequence[int]
    cells: Sequence[Sequence[Cell]]
    accuracies: Sequence[Sequence[float]]


@cache
def frozen_truth(data: str | None = None) -> Truth:
    """The ground truth on generated images, or the one on CIFAR-10 if `data` names its images."""
    name = "ranking.json" if data is None else "cifar10.json"
    text = (resources.files("autospace.bench") / "data" / name).read_text("utf-8")
    plain = json.loads(text)
    rows = [layer["cells"] for layer in plain["layers"]]
    keys = CellDocument.model_fields
    cells = [[CellDocument(**{k: row[k] for k in keys}) for row in layer] for layer in rows]
    return Truth(
        data or plain["data"],
        plain["held_out"],
        plain["warm_up_steps"],
        skeleton_from(SkeletonFile.model_validate(plain["skeleton"])),
        cell_from(CellDocument.model_validate(plain["reference"])),
        [layer["layer"] for layer in plain["layers"]],
        [[cell_from(cell) for cell in layer] for layer in cells],
        [[statistics.mean(row["accuracies"]) for row in layer] for layer in rows],
    )


def ranking(
    *,
    seeds: int,
    device: torch.device,
    on_message: Message,
    source: str | None = None,
    make: Callable[[ScoringContext], Scorer] = make_scorer,
) -> list[Entry]:
    """The entries of the suite.

    `source` names the images of CIFAR-10, for its ground truth; `make` makes the scorer under test.
    """
    truth = frozen_truth(source)
    counted = _mean_tau(truth, _madds(truth))
    per_seed = []
    with threads(1):
        for seed in range(seeds):
            on_message(f"ranking: seed {seed + 1} of {seeds}")
            setting = _setting(truth, seed, device)
            fitness = _of_all_layers(truth, make(setting))
            per_seed.append(_taus(truth, fitness))
    means = [statistics.mean(taus) for taus in per_seed]
    spread = _spread(per_seed)
    over = [mean - counted for mean in means]
    return [_entry("tau", means, spread), _entry("tau_over_madds", over, spread)]


def images_of(truth: Truth) -> DataSet:
    """The images on which a ground truth was made.

    Raises:
        DataError: they cannot be read, or have other classes.
    """
    skeleton = truth.skeleton
    data = load_data(truth.data, resolution=skeleton.resolution, channels=skeleton.in_channels)
    if len(data.classes) != skeleton.classes:
        problem = f"{len(data.classes)} classes; the ground truth has {skeleton.classes} (CIFAR-10)"
        raise DataError(f"{truth.data}: {problem}")
    return data


def _setting(truth: Truth, seed: int, device: torch.device) -> ScoringContext:
    """A context whose reference is trained on one half of the images; the other is for fitness."""
    skeleton = truth.skeleton
    train_split = images_of(truth).train
    if truth.held_out:
        train_split, _ = divide(train_split, truth.held_out, 0)
    weights, fitness = divide(train_split, 0.5, seed)
    norm = Normaliser.from_examples(weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "reference"))
        network = Network(skeleton, [truth.reference] * len(skeleton.layers))
    placed(network, device)
    names = ("warm-up", "train", "validate")
    sources = zip(names, (weights, weights, fitness), (1, 1, 2), strict=True)
    warm_up, training, validation = (
        Batches(part, OPTIONS.batch * factor, derived_seed(seed, name), device, norm)
        for name, part, factor in sources
    )
    train(network, warm_up, Recipe(truth.warm_up_steps))
    return ScoringContext(freeze(network), training, validation, OPTIONS, seed)


def _of_all_layers(truth: Truth, scorer: Scorer) -> TruthTable:
    candidates: list[Sequence[Cell]] = [()] * len(truth.skeleton.layers)
    for layer, cells in zip(truth.layers, truth.cells, strict=True):
        candidates[layer] = cells
    found = scorer.score(candidates, 0)
    return [found[layer] for layer in truth.layers]


def _madds(truth: Truth) -> TruthTable:
    return [
        [float(cell_cost(cell, truth.skeleton.shapes[layer]).madds) for cell in cells]
        for layer, cells in zip(truth.layers, truth.cells, strict=True)
    ]


def _taus(truth: Truth, values: TruthTable) -> list[float]:
    return [kendall(*pair) for pair in zip(values, truth.accuracies, strict=True)]


def _mean_tau(truth: Truth, values: TruthTable) -> float:
    return statistics.mean(_taus(truth, values))


def _spread(per_seed: Sequence[Sequence[float]]) -> float:
    """Standard deviation over seeds of the mean over layers, from all layers together."""
    if len(per_seed) < 2:
        return 0.0
    layers = list(zip(*per_seed, strict=True))
    return float(sum(statistics.variance(taus) for taus in layers) ** 0.5 / len(layers))


def _entry(metric: str, values: Sequence[float], spread: float) -> Entry:
    return Entry(
        suite="ranking",
        metric=metric,
        value=statistics.mean(values),
        unit="tau",
        better="higher",
        spread=spread,
        n=len(values),
    )
