"""Suite `ranking`: the frozen ground truth, and that a scorer which ranks wrongly is noticed."""

import itertools
import json
import math
import statistics
from collections.abc import Callable, Sequence
from importlib import resources

import pytest
import torch
from scipy.stats import kendalltau

from autospace.bench import ranking
from autospace.bench.baseline import Change
from autospace.bench.document import Entry
from autospace.bench.ranking import Truth, frozen_truth
from autospace.data.errors import DataError
from autospace.spaces import Cell, canonical_key

CPU = torch.device("cpu")
Fitness = Callable[[float], float]


class Oracle:
    """Knows the accuracies, and returns a function of them as fitness."""

    def __init__(self, truth: Truth, fitness: Fitness) -> None:
        self._truth, self._fitness = truth, fitness

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        known = dict(zip(self._truth.layers, self._truth.accuracies, strict=True))
        assert [len(layer) for layer in candidates] == [len(known[i]) for i in sorted(known)]
        return [[self._fitness(value) for value in known[layer]] for layer in sorted(known)]


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_setting", lambda truth, seed, device: seed)


def measured(fitness: Fitness) -> dict[str, Entry]:
    found = ranking.ranking(
        seeds=2,
        device=CPU,
        on_message=lambda line: None,
        make=lambda setting: Oracle(frozen_truth(), fitness),
    )
    return {entry.metric: entry for entry in found}


@pytest.mark.usefixtures("untrained")
def test_a_perfect_scorer_has_tau_1() -> None:
    found = measured(lambda accuracy: accuracy)
    assert found["tau"].value == pytest.approx(1)
    assert found["tau"].n == 2


@pytest.mark.usefixtures("untrained")
def test_reversed_fitness_is_a_regression() -> None:
    sound, broken = measured(lambda accuracy: accuracy), measured(lambda accuracy: -accuracy)
    for metric in ("tau", "tau_over_madds"):
        assert Change(sound[metric], broken[metric], 0.1).verdict == "worse"
    assert broken["tau"].value == pytest.approx(-1)


@pytest.mark.usefixtures("untrained")
def test_what_counting_reaches_is_taken_off() -> None:
    truth = frozen_truth()
    counted = [
        float(kendalltau(costs, accuracies)[0])
        for costs, accuracies in zip(ranking._madds(truth), truth.accuracies, strict=True)
    ]
    found = measured(lambda accuracy: accuracy)
    assert found["tau_over_madds"].value == pytest.approx(1 - statistics.mean(counted))


@pytest.mark.parametrize(("data", "count"), [(None, 16), ("cifar10:elsewhere", 24)])
def test_the_frozen_cells_differ_and_fit_their_layers(data: str | None, count: int) -> None:
    truth = frozen_truth(data)
    for layer, cells in zip(truth.layers, truth.cells, strict=True):
        stride = truth.skeleton.layers[layer].stride
        assert len({canonical_key(cell, stride) for cell in cells}) == len(cells) == count
        assert not any(cell.is_zero for cell in cells)


def test_the_ground_truth_is_worth_asking() -> None:
    """Its seeds agree at the tau that the module and docs/guide/ci.md name."""
    text = (resources.files("autospace.bench") / "data" / "ranking.json").read_text("utf-8")
    between, best = [], []
    for layer in json.loads(text)["layers"]:
        seeds = list(zip(*(row["accuracies"] for row in layer["cells"]), strict=True))
        pairs = [float(kendalltau(a, b)[0]) for a, b in itertools.combinations(seeds, 2)]
        between.append(statistics.mean(pairs))
        # Greiner's relation to a correlation, Spearman's and Brown's to one of means, and back.
        single = math.sin(math.pi / 2 * between[-1])
        reliable = len(seeds) * single / (1 + (len(seeds) - 1) * single)
        best.append(2 / math.pi * math.asin(math.sqrt(reliable)))
    assert statistics.mean(between) == pytest.approx(0.72, abs=0.005)
    assert statistics.mean(best) == pytest.approx(0.90, abs=0.005)


def test_data_of_other_classes_has_no_ground_truth() -> None:
    with pytest.raises(DataError, match=r"4 classes; the ground truth has 10 \(CIFAR-10\)"):
        ranking.ranking(seeds=1, device=CPU, on_message=lambda line: None, source="synthetic")


@pytest.mark.slow
def test_the_default_scorer_ranks_better_than_chance() -> None:
    (tau, _) = ranking.ranking(seeds=1, device=CPU, on_message=lambda line: None)
    assert tau.value > 0.4
