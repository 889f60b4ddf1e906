"""Suite `truth`: the exact answers by brute force, and measurements that agree with them."""

import itertools
import json
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats

from autospace.bench import truth
from autospace.bench.baseline import Change
from autospace.bench.document import Entry
from autospace.bench.truth import SAMPLES, Kept, Measured, Outcome, Size
from autospace.comparison.statistics import Interval, MeanDifference
from autospace.evaluators.tabular import Table, read_table, table_from
from autospace.progress import no_message
from autospace.searchers.catalogue import ON_TABLES
from autospace.seeds import derived_seed
from tests.evaluators.test_tabular import document
from tests.slow import slowly

TABLE = read_table("nasbench-macro")
TRUTH = TABLE.scores.mean(axis=1)


@pytest.mark.parametrize(
    ("count", "accuracy"),
    # Published accuracies and a closed form, computed outside this program.
    [
        *((10, 92.432), (25, 92.658), (50, 92.773), (100, 92.865)),
        *((250, 92.962), (500, 93.020), (1000, 93.064)),
    ],
)
def test_the_best_of_random_draws_is_as_good_as_expected(count: int, accuracy: float) -> None:
    found = truth.best_of_draws(TRUTH, TRUTH, count, again=True)
    assert 100 * found == pytest.approx(accuracy, abs=5e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("again", [True, False])
def test_the_expectation_is_the_mean_over_all_orders_of_draws(count: int, again: bool) -> None:
    observed, true = [3, 1, 3, 2, 2], [0.5, 0.9, 0.1, 0.7, 0.2]
    whole = itertools.product(range(5), repeat=count)
    drawn = whole if again else itertools.permutations(range(5), count)
    # The first of the best, as a search has it.
    chosen = [true[max(order, key=lambda i: observed[i])] for order in drawn]
    found = truth.best_of_draws(np.array(observed), np.array(true), count, again=again)
    assert found == pytest.approx(np.mean(chosen))


def test_all_networks_without_repeats_leave_the_best_of_each_seed() -> None:
    chosen = [TRUTH[column == column.max()].mean() for column in TABLE.scores.T]
    expected = 100 * (TRUTH.max() - np.mean(chosen))
    assert truth.random_regret(TABLE, len(TRUTH)) == pytest.approx(expected)


@pytest.mark.slow
def test_random_search_regrets_what_the_closed_form_says() -> None:
    seeds = range(120)
    rows = np.array([truth.regrets("random", seed, truth.COUNTS) for seed in seeds])
    columns = [derived_seed(seed, "trial") % 2**31 % 3 for seed in seeds]
    for place, count in enumerate(truth.COUNTS):
        exact = [truth.best_of_draws(seen, TRUTH, count, again=False) for seen in TABLE.scores.T]
        expected = 100 * (TRUTH.max() - np.array(exact)[columns])
        gaps = rows[:, place] - expected
        assert abs(gaps.mean()) < 4 * stats.sem(gaps)


def test_the_dearest_of_random_networks_regrets_what_the_closed_form_says() -> None:
    rows = np.array([truth.regrets("zero-cost-madds", seed, (10, 100)) for seed in range(120)])
    paths = itertools.product(range(3), repeat=8)
    madds = np.array([TABLE.choices.cost(path).madds for path in paths])
    for place, count in enumerate((10, 100)):
        exact = 100 * (TRUTH.max() - truth.best_of_draws(madds, TRUTH, count, again=False))
        assert abs(rows[:, place].mean() - exact) < 4 * stats.sem(rows[:, place])


def test_every_method_that_can_search_a_table_is_measured() -> None:
    assert {method for method, _ in truth.SEARCHES.values()} == set(ON_TABLES)


@cache
def _regrets(name: str) -> list[float]:
    return [truth.regrets(name, seed, (200,))[0] for seed in range(30)]


@pytest.mark.parametrize("name", ["evolution", *slowly("spos")])
def test_searches_that_learn_regret_less_than_random(name: str) -> None:
    ours, others = _regrets(name), _regrets("random")
    assert np.mean(ours) < np.mean(others) - 2 * np.hypot(stats.sem(ours), stats.sem(others))


# Pairs of parts of a small table, by brute force.


def small() -> Table:
    """Nine networks with two seeds each, some of them equal, in no order of cost."""
    scores = [5, 9, 2, 2, 7, 4, 9, 9, 1, 3, 8, 8, 6, 2, 4, 5, 7, 3]
    return table_from(json.dumps(document(scores=scores)))


def by_hand(table: Table, a: Kept, b: Kept) -> tuple[float, float, float]:
    """Difference, spread and probability, as sums over pairs of networks and seeds."""
    spaces = [list(itertools.product(*kept)) for kept in (a, b)]

    def cost_bin(path: tuple[int, ...]) -> int:
        return math.floor(math.log(table.choices.cost(path).madds) / math.log(1.02))

    def errors(path: tuple[int, ...]) -> list[float]:
        return [1 - score for score in table.scores[3 * path[0] + path[1]]]

    matched = {}  # probability of a pair of networks of one bin
    for bin_ in {cost_bin(path) for space in spaces for path in space}:
        here = [[path for path in space if cost_bin(path) == bin_] for space in spaces]
        share = min(len(some) / len(space) for some, space in zip(here, spaces, strict=True))
        for pair in itertools.product(*here):
            matched[pair] = share / len(here[0]) / len(here[1])
    total = sum(matched.values())
    gaps = [
        (weight / total / 4, x - y)
        for pair, weight in matched.items()
        for x, y in itertools.product(*map(errors, pair))
    ]
    mean = sum(weight * gap for weight, gap in gaps)
    variance = sum(weight * (gap - mean) ** 2 for weight, gap in gaps)
    wins = sum(
        weight * other / total**2 / 4 * ((y < x) + (y == x) / 2)
        for (p, _), weight in matched.items()
        for (_, q), other in matched.items()
        for x, y in itertools.product(errors(p), errors(q))
    )
    return mean, math.sqrt(variance), wins


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (((0, 1, 2), (0, 1, 2)), ((0, 1, 2), (0, 1, 2))),
        (((0, 1), (0, 1, 2)), ((1, 2), (0, 2))),
        (((0, 2), (1,)), ((2,), (0, 1, 2))),
    ],
)
def test_the_truth_about_a_pair_is_that_of_a_count_by_hand(a: Kept, b: Kept) -> None:
    table = small()
    found = truth.pair_truth(table, a, b)
    assert found is not None
    assert (found.difference, found.spread, found.probability) == pytest.approx(
        by_hand(table, a, b)
    )


def test_the_overlap_is_the_share_that_both_have() -> None:
    table, whole = small(), ((0, 1, 2), (0, 1, 2))
    found = truth.pair_truth(table, whole, whole)
    assert found is not None
    assert found.overlap == pytest.approx(1)
    # A cheap network, and one that is several times as expensive.
    assert truth.pair_truth(table, ((0,), (0,)), ((2,), (2,))) is None


def test_equal_means_are_no_difference_and_published_ones_are_found() -> None:
    everywhere = [tuple(i for i in range(3) if i != gone) for gone in range(3)]
    parts = [(kept,) * 8 for kept in everywhere]
    for kept in parts:
        same = truth.pair_truth(TABLE, kept, kept)
        assert same is not None
        assert same.difference == pytest.approx(0, abs=1e-12)
        assert same.probability == pytest.approx(0.5)
    # Without the first candidate (skip), networks are better at equal cost, too.
    found = truth.pair_truth(TABLE, parts[1], parts[0])
    assert found is not None
    assert found.difference > 0.001


# Measurements.


def measured(processes: int) -> Measured:
    """Little of everything."""
    small = Size(1, {"given": 3, "planned": 2, "equal": 2}, (10, 20))
    return truth.measured(small, no_message, processes)


@pytest.mark.slow
def test_the_number_of_processes_does_not_change_a_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = {name: truth.SEARCHES[name] for name in ("evolution", "zero-cost-madds")}
    monkeypatch.setattr(truth, "SEARCHES", some)
    assert measured(1) == measured(2)


def misses(draws: int) -> int:
    """Of intervals from 20 networks per space."""
    found = [truth.outcomes_of("given", seed)[SAMPLES.index(20)] for seed in range(draws)]
    assert {each.samples for each in found} == {20}
    return sum(each.side != 0 for each in found)


@pytest.mark.slow
def test_intervals_hold_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = 60
    assert stats.binomtest(misses(draws), draws, 0.05, alternative="greater").pvalue > 1e-3
    # The planted bug: a standard error that is half of what it should be.
    error = MeanDifference.interval

    def narrow(self: MeanDifference, level: float) -> Interval:
        low, high = error(self, level)
        return Interval((3 * low + high) / 4, (low + 3 * high) / 4)

    monkeypatch.setattr(MeanDifference, "interval", narrow)
    assert stats.binomtest(misses(draws), draws, 0.05, alternative="greater").pvalue < 1e-3


def test_an_interval_misses_above_or_below_the_truth() -> None:
    assert [
        truth._side(Interval(low, high), 0.0)
        for low, high in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.0, 0.1))
    ] == [1, -1, 0, 0]


def test_a_verdict_is_right_if_it_is_for_the_better_space() -> None:
    parts = truth.drawn_parts(TABLE, 0, "given", lambda each: abs(each.difference) > each.spread)
    wrong = replace(parts, truth=replace(parts.truth, difference=-parts.truth.difference))
    none = replace(parts, truth=replace(parts.truth, difference=0.0))
    found = [truth._Comparison(each, 1).given(20) for each in (parts, wrong, none)]
    assert [each.decided for each in found] == [True, True, True]
    assert [each.right for each in found] == [True, False, False]


def test_the_entries_follow_from_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(*, side: int = 0, decided: bool = False, right: bool = False) -> Outcome:
        return Outcome(8, side, 0, decided, right)

    regrets = {name: [[9.0, 0.3], [9.0, 0.5]] for name in truth.SEARCHES}
    some = [outcome(side=1), outcome(), outcome(side=-1), outcome(decided=True, right=True)]
    rows = [[each] * 4 for each in some]
    found = Measured(regrets, {"given": rows, "equal": rows, "planned": rows})
    monkeypatch.setattr(truth, "measured", lambda *_: found)
    entries = {each.metric: each for each in truth.truth(quick=True, on_message=no_message)}
    assert entries["random_regret"].value == pytest.approx(0.4)
    exact = truth.random_regret(TABLE, 200)
    assert entries["random_minus_exact"].value == pytest.approx(abs(0.4 - exact))
    assert entries["random_minus_exact"].spread == pytest.approx(0.1)
    assert {entries[f"misses_{samples}"].value for samples in SAMPLES} == {0.5}
    assert entries["planned_misses"].value == 0.5
    assert entries["planned_power"].value == entries["planned_false_verdicts"].value == 0.25
    assert entries["superiority_misses_8"].value == 0


@pytest.fixture(scope="module")
def quick() -> dict[str, Entry]:
    entries = truth.truth(quick=True, on_message=no_message, processes=2)
    return {entry.metric: entry for entry in entries}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_quick_suite_finds_what_it_should(quick: dict[str, Entry]) -> None:
    random = quick["random_regret"]
    for name in ("evolution", "spos", "pnas", "enas"):
        ours = quick[f"{name}_regret"]
        assert ours.value <= random.value + 2 * math.hypot(ours.spread, random.spread)
    assert quick["random_minus_exact"].value < 4 * quick["random_minus_exact"].spread
    for metric, entry in quick.items():
        if "misses" in metric or "false" in metric:
            count = round(entry.value * entry.n)
            assert stats.binomtest(count, entry.n, 0.05, alternative="greater").pvalue > 1e-3
    power = quick["planned_power"]
    found = round(power.value * power.n)
    assert stats.binomtest(found, power.n, 0.8, alternative="less").pvalue > 1e-3


@pytest.mark.slow
def test_a_search_that_turns_random_is_a_regression(quick: dict[str, Entry]) -> None:
    before = quick["evolution_regret"]
    now = before.model_copy(update={"value": quick["random_regret"].value})
    assert Change(before, now, 0.1).verdict == "worse"
