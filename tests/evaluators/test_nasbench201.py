"""Facts about NAS-Bench-201 at two fidelities, counted from the published files, on our tables."""

import csv
from collections import defaultdict
from functools import cache
from itertools import product

import numpy as np
import pytest
from scipy.stats import kendalltau

from autospace.evaluators.evaluator import EvaluationError
from autospace.evaluators.tabular import TABLE_NAMES, read_table
from autospace.spaces import cell_key, load
from tests.spaces.dense.nasbench201 import SPACE, TABLES, architecture_of

SHORT, LONG = read_table("nasbench201-12epochs"), read_table("nasbench201-200epochs")
BOTH = (SHORT, LONG)
PATHS = np.array(list(product(range(5), repeat=6)))
FILES = {
    "nasbench201-12epochs": ("nb201_12epochs.csv", "cifar10-val"),
    "nasbench201-200epochs": ("nasbench201_info.csv", "accuracy"),
}
FIRST = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|" + (
    "skip_connect~2|"
)
"""Architecture 0 of the benchmark."""
SUMS = [(1075807488, 8409192414216), (1303030576, 10272364204612)]
BEST_12 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|" + (
    "nor_conv_3x3~2|"
)
BEST_200 = "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|" + (
    "nor_conv_3x3~2|"
)


@cache
def params() -> np.ndarray:
    costs = np.array([[cost.params for cost in layer.costs] for layer in SPACE.layers])
    total: np.ndarray = np.sum([costs[edge][PATHS[:, edge]] for edge in range(6)], axis=0)
    return total


def test_both_tables_are_built_in_and_hold_the_built_in_space() -> None:
    assert {each.name for each in BOTH} < set(TABLE_NAMES)
    assert [each.space for each in BOTH] == [load("nasbench201@nasbench201")] * 2
    assert [each.scores.shape for each in BOTH] == [(15_625, 1)] * 2


def test_the_tables_are_those_that_were_packed() -> None:
    # Sums over all in thousandths of a point, then weighted by place: a swap changes the latter.
    found = [np.round(100_000 * each.scores[:, 0]).astype("<i8") for each in BOTH]
    assert [(int(each.sum()), int((each * np.arange(15_625)).sum())) for each in found] == SUMS


@pytest.mark.parametrize("table", BOTH, ids=lambda table: table.name)
def test_the_scores_of_all_networks_are_the_published_ones(table: object) -> None:
    name, column = FILES[table.name]  # type: ignore[attr-defined]
    path = TABLES / name
    if not path.is_file():
        pytest.skip("the published file is not here")
    with path.open(encoding="utf-8") as stream:
        rows = {row["architecture"]: float(row[column]) for row in csv.DictReader(stream)}
    assert len(rows) == 15_625
    for string in list(rows)[::25]:
        found = table.score(architecture_of(string), 0)  # type: ignore[attr-defined]
        assert 100 * found == pytest.approx(rows[string], abs=6e-4)


@pytest.mark.parametrize(
    ("string", "short", "long"),
    [(FIRST, 63.364, 81.52), (BEST_12, 84.892, 91.160), (BEST_200, None, 91.523)],
)
def test_networks_have_their_published_accuracies(
    string: str, short: float | None, long: float
) -> None:
    network = architecture_of(string)
    assert 100 * LONG.score(network, 0) == pytest.approx(long, abs=6e-4)
    if short is not None:
        assert 100 * SHORT.score(network, 0) == pytest.approx(short, abs=6e-4)


def test_the_best_networks_differ_between_12_and_200_epochs() -> None:
    best = [BEST_12, BEST_200]
    for table, string in zip(BOTH, best, strict=True):
        assert table.index(architecture_of(string)) == int(table.scores[:, 0].argmax())


def test_12_epochs_rank_like_200_only_in_part() -> None:
    short, long = (each.scores[:, 0] for each in BOTH)
    assert kendalltau(short, long).statistic == pytest.approx(0.637, abs=5e-4)
    assert kendalltau(params(), short).statistic == pytest.approx(0.301, abs=5e-4)
    assert kendalltau(params(), long).statistic == pytest.approx(0.542, abs=5e-4)


def test_quantiles_and_expected_best_of_n_draws_after_200_epochs() -> None:
    long = np.sort(LONG.scores[:, 0])
    wanted = [0.1, 0.747258, 0.86975, 0.8938, 0.9067]
    assert np.quantile(long, [0.01, 0.1, 0.5, 0.9, 0.99]) == pytest.approx(wanted, abs=1e-5)
    rank = np.arange(len(long))
    for draws, best in ((10, 0.89690), (100, 0.90740), (1000, 0.91202)):
        chance = ((rank + 1) / len(long)) ** draws - (rank / len(long)) ** draws
        assert float(long @ chance) == pytest.approx(best, abs=1e-5)


def test_without_convolutions_the_good_part_of_the_space_is_missing() -> None:
    without = ~np.isin(PATHS, [2, 3]).any(axis=1)
    assert without.sum() == 729
    assert LONG.scores[without].max() == pytest.approx(0.8461)
    assert (LONG.scores[:, 0] > 0.8461).mean() > 0.7


@pytest.mark.slow
def test_networks_of_one_function_differ_by_little() -> None:
    shape = SPACE.skeleton.cell_layers[0]
    groups: dict[str, list[float]] = defaultdict(list)
    for path, score in zip(PATHS, LONG.scores[:, 0], strict=True):
        names = [layer.candidates[i].id for layer, i in zip(SPACE.layers, path, strict=True)]
        cell = SPACE.architecture(
            dict(zip([layer.shape.name for layer in SPACE.layers], names, strict=True))
        ).shared_cells[0]
        groups[cell_key(cell, shape)].append(float(score))
    assert len(groups) == 5044
    spread = [np.std(each, ddof=1) for each in groups.values() if len(each) > 1]
    # The noise of a training: nothing speaks against the merges.
    assert 100 * float(np.median(spread)) == pytest.approx(0.170, abs=5e-4)


def test_a_table_says_how_long_its_networks_were_trained() -> None:
    assert SHORT.digest != LONG.digest
    for table, epochs in ((SHORT, "12epochs"), (LONG, "200epochs")):
        assert (
            f"accuracies are those of table nasbench201-{epochs} (Dong and Yang" in table.notes[0]
        )


def test_networks_of_another_space_are_refused() -> None:
    space = load("mbconv@digits")
    other = space.architecture(space.reference)
    with pytest.raises(EvaluationError, match=r'^skeleton "digits": not that of table nasbench201'):
        LONG.score(other, 0)
