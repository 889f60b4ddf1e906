"""Facts about NAS-Bench-Macro, as published or counted from the published file, on our table.

Numbers are those of docs and papers, computed apart from this program; digits name the candidate of
each layer: 0 identity, 1 MBConv k3 e3, 2 MBConv k5 e6.
"""

import json
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from autospace.evaluators.tabular import read_table
from autospace.spaces import Architecture, load

TABLE = read_table("nasbench-macro")
PUBLISHED = Path(__file__).parents[3] / "shared/data/tables/nas-bench-macro_cifar10.json"
NETWORKS = np.array(list(product(range(3), repeat=8)))
# Sums of whole numbers: networks that are equal in score are equal here.
MEANS = np.round(10_000 * TABLE.scores).sum(1) / 300
LAYERS = range(8)
KEEPS = list(combinations(range(3), 2))
"""The ways to keep two of a layer's three candidates."""


@cache
def costs() -> np.ndarray:
    """MAdds and params of all networks, [6561, 2]."""
    return np.array([TABLE.choices.cost(tuple(map(int, path))) for path in NETWORKS])


def place(digits: str) -> int:
    return int(digits, 3)


def name(index: int) -> str:
    return "".join(map(str, NETWORKS[index]))


def network(digits: str) -> Architecture:
    return TABLE.choices.architecture(tuple(map(int, digits)))


def test_the_table_is_the_one_that_was_packed() -> None:
    assert TABLE.scores.shape == (6561, 3)
    steps = np.round(10_000 * TABLE.scores).astype("<i8")
    assert np.abs(10_000 * TABLE.scores - steps).max() < 1e-6
    # Sums over all, then weighted by place: a swap of two networks or seeds changes the latter.
    assert (steps.sum(), (steps.ravel() * np.arange(19_683)).sum()) == (
        177_632_377,
        1_764_303_759_137,
    )
    assert costs().sum(0).tolist() == [364_399_409_664, 10_736_730_954, 0]


def test_its_space_is_the_built_in_one() -> None:
    assert TABLE.space == load("nasbench-macro@nasbench-macro")


@pytest.fixture
def published() -> dict[str, Any]:
    if not PUBLISHED.is_file():
        pytest.skip("the published file is not here")
    found: dict[str, Any] = json.loads(PUBLISHED.read_text())
    return found


def test_params_and_madds_of_all_networks_are_the_published_ones(published: Any) -> None:
    wanted = [[published[name(i)][key] for key in ("flops", "params")] for i in range(6561)]
    assert len(published) == 6561
    assert costs()[:, :2].tolist() == wanted


def test_the_scores_of_all_networks_are_the_published_ones(published: Any) -> None:
    wanted = [published[name(i)]["test_acc"] for i in range(6561)]
    assert 100 * TABLE.scores == pytest.approx(np.array(wanted), abs=1e-4)


@pytest.mark.parametrize(
    ("digits", "mean", "params", "madds"),
    [
        ("22212220", 93.1267, 1_985_514, 85_164_544),
        ("00000000", 45.3633, 387_882, 7_713_280),
        ("22222222", 92.9533, 2_932_586, 105_660_928),
        ("11111111", 91.9300, None, None),
    ],
)
def test_some_networks(digits: str, mean: float, params: int | None, madds: int | None) -> None:
    assert TABLE.index(network(digits)) == place(digits)
    assert 100 * TABLE.mean(tuple(map(int, digits))) == pytest.approx(mean, abs=5e-5)
    if params is not None:
        assert costs()[place(digits)].tolist() == [madds, params, 0]
        assert network(digits).cost == (madds, params, 0)


def test_the_best_the_worst_and_the_seeds_of_the_best() -> None:
    # Within a stage it does not matter before which layer the identity stands.
    assert [name(int(i)) for i in np.flatnonzero(MEANS.max() == MEANS)] == ["22212202", "22212220"]
    assert name(int(MEANS.argmin())) == "00000000"
    assert [TABLE.score(network("22212220"), seed) for seed in range(4)] == [
        0.9328, 0.9333, 0.9277, 0.9328,
    ]  # fmt: skip


def test_the_distribution() -> None:
    assert round(MEANS.mean(), 2) == 90.25
    found = np.quantile(MEANS, [0.01, 0.1, 0.5, 0.9, 0.99])
    assert found == pytest.approx([80.2, 87.5, 91.0, 92.35, 92.81], abs=0.05)
    assert (MEANS > 80).sum() == 6498
    assert (100 * TABLE.scores).std(1).mean() == pytest.approx(0.15, abs=0.005)


def test_seeds_and_costs_order_the_networks_so_well() -> None:
    pairs = [kendalltau(*TABLE.scores[:, pair].T)[0] for pair in combinations(range(3), 2)]
    assert np.mean(pairs) == pytest.approx(0.88, abs=0.005)
    assert kendalltau(costs()[:, 1], MEANS)[0] == pytest.approx(0.218, abs=5e-4)
    assert kendalltau(costs()[:, 0], MEANS)[0] == pytest.approx(0.556, abs=5e-4)


def test_an_additive_model_explains_so_much() -> None:
    kept = MEANS > 80
    columns = np.eye(3)[NETWORKS[kept]].reshape(kept.sum(), -1)
    fitted = columns @ np.linalg.lstsq(columns, MEANS[kept], rcond=None)[0]
    share = 1 - (MEANS[kept] - fitted).var() / MEANS[kept].var()
    assert share == pytest.approx(0.823, abs=5e-4)


@pytest.mark.parametrize(("cost", "size"), [(0, 35), (1, 39)])
def test_the_fronts_have_so_many_networks(cost: int, size: int) -> None:
    order = np.lexsort((-MEANS, costs()[:, cost]))
    best, front = -np.inf, 0
    for index in order:
        front += MEANS[index] > best
        best = max(best, MEANS[index])
    assert front == size


@pytest.mark.parametrize(
    ("most", "count", "digits", "mean"),
    [
        (30e6, 240, "10110100", 89.383),
        (50e6, 2338, "21210200", 92.167),
        (70e6, 5501, "12222100", 92.943),
    ],
)
def test_the_best_under_a_limit(most: float, count: int, digits: str, mean: float) -> None:
    allowed = costs()[:, 0] <= most
    assert (allowed.sum(), allowed[place(digits)]) == (count, True)
    assert MEANS[place(digits)] == MEANS[allowed].max() == pytest.approx(mean, abs=5e-4)


@pytest.mark.parametrize(
    ("draws", "expected"),
    [(10, 92.432), (25, 92.658), (50, 92.773), (100, 92.865), (250, 92.962), (500, 93.020),
     (1000, 93.064)],
)  # fmt: skip
def test_the_expected_best_of_some_draws(draws: int, expected: float) -> None:
    # With replacement: the k-th smallest is the best with probability (k / N)^n - ((k-1) / N)^n.
    below = (np.arange(6562) / 6561) ** draws
    assert np.sort(MEANS) @ np.diff(below) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(
    ("without", "mean", "best"), [(0, 92.547, 93.107), (1, 88.336, 93.080), (2, 85.931, 91.930)]
)
def test_spaces_without_one_of_the_candidates(without: int, mean: float, best: float) -> None:
    left = MEANS[np.not_equal(NETWORKS, without).all(1)]
    assert len(left) == 256
    assert (left.mean(), left.max()) == pytest.approx((mean, best), abs=5e-4)


@cache
def subspaces() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean accuracy, mean MAdds and best accuracy of all 3^8 ways to keep 2 of 3 per layer."""
    accuracy, madds, best = MEANS.reshape([3] * 8), costs()[:, 0].reshape([3] * 8), None
    keeps = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]]) / 2
    best = accuracy
    for layer in LAYERS:
        accuracy = np.moveaxis(np.tensordot(keeps, accuracy, (1, layer)), 0, layer)
        madds = np.moveaxis(np.tensordot(keeps, madds, (1, layer)), 0, layer)
        best = np.stack([best.take(pair, layer).max(layer) for pair in KEEPS], layer)
    return accuracy.ravel(), madds.ravel(), best.ravel()


def test_the_best_way_to_keep_two_of_three() -> None:
    accuracy, madds, best = subspaces()
    # The index in `KEEPS` of what is kept is 2 minus what is dropped.
    dropped = 2 - NETWORKS
    assert dropped[accuracy.argmax()].tolist() == [0] * 8
    assert accuracy.max() == pytest.approx(92.547, abs=5e-4)
    fits = madds <= costs()[:, 0].mean() + 1e-6
    assert (costs()[:, 0].mean(), fits.sum()) == (55_540_224, 3264)
    chosen = int(np.where(fits, accuracy, 0).argmax())
    assert dropped[chosen].tolist() == [0, 0, 0, 2, 2, 0, 2, 2]
    assert (accuracy[chosen], best[chosen]) == pytest.approx((91.876, 92.833), abs=5e-4)
    assert (best == MEANS.max()).sum() == 448


def test_networks_that_differ_in_the_place_of_an_identity_alone_have_equal_scores() -> None:
    def function(path: np.ndarray) -> str:
        stages = (path[:1], path[1:2], path[2:3], path[3:5], path[5:6], path[6:])
        kept = [
            [each for each in stage if each or k in (0, 2, 4)] for k, stage in enumerate(stages)
        ]
        return "|".join("".join(map(str, stage)) for stage in kept)

    groups: dict[str, set[tuple[float, ...]]] = {}
    for path, scores in zip(NETWORKS, TABLE.scores, strict=True):
        groups.setdefault(function(path), set()).add(tuple(scores))
    assert len(groups) == 3**4 * 7**2
    assert max(map(len, groups.values())) == 1
