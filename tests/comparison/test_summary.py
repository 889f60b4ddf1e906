"""Figures of one sample: against brute force, scipy and textbooks."""

import itertools
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autospace.comparison import statistics as summary

ERRORS = st.lists(st.integers(0, 100).map(float), min_size=3, max_size=8)


@given(ERRORS)
def test_the_best_of_k_is_the_mean_over_all_subsets(errors: list[float]) -> None:
    curve = summary.best_curve(errors)
    for count, found in enumerate(curve, start=1):
        best = [min(each) for each in itertools.combinations(errors, count)]
        assert found == pytest.approx(statistics.mean(best))
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(curve))


@given(ERRORS)
def test_the_interval_of_best_of_is_the_jackknifes(errors: list[float]) -> None:
    size, count = len(errors), 2
    without = [
        summary.best_curve(errors[:left] + errors[left + 1 :])[count - 1] for left in range(size)
    ]
    variance = (size - 1) / size * sum((each - statistics.mean(without)) ** 2 for each in without)
    half = stats.t.ppf(0.975, size - 1) * variance**0.5
    found = summary.best_of(errors, count)
    wanted = (found.value - half, found.value + half)
    assert found.interval == pytest.approx(wanted, abs=1e-7)
    assert found.value == pytest.approx(summary.best_curve(errors)[count - 1])


def test_large_samples_have_a_best_of_many() -> None:
    errors = [float(number) for number in range(1, 2001)]
    # The least of k out of 1 ... n is (n + 1) / (k + 1) on average.
    for count in (1, 7, 100, 2000):
        assert summary.best_of(errors, count).value == pytest.approx(2001 / (count + 1))


@given(ERRORS)
def test_the_mean_has_the_interval_of_student(errors: list[float]) -> None:
    found = summary.mean(errors)
    assert found.value == pytest.approx(statistics.mean(errors))
    if len(set(errors)) > 1:
        wanted = stats.ttest_1samp(errors, 0).confidence_interval(0.95)
        assert found.interval == pytest.approx(tuple(wanted))


def test_the_interval_of_a_mean_of_shares_stays_among_shares() -> None:
    errors = [0.0, 0.02, 0.001]
    low, high = summary.mean(errors).interval
    assert low < 0 < high < 1
    assert summary.mean(errors, shares=True).interval == (0.0, high)
    assert summary.mean([1 - each for each in errors], shares=True).interval[1] == 1.0


@given(ERRORS)
def test_the_edf_is_scipys(errors: list[float]) -> None:
    wanted = stats.ecdf(errors).cdf
    values, shares = summary.edf(errors)
    assert values == wanted.quantiles.tolist()
    assert shares == pytest.approx(wanted.probabilities.tolist())


@given(ERRORS, st.integers(0, 5))
def test_the_median_lies_in_its_interval_and_knows_no_order(errors: list[float], seed: int) -> None:
    found = summary.median(errors, seed)
    assert found.value == statistics.median(errors)
    assert found.interval.low <= found.value <= found.interval.high
    assert min(errors) <= found.interval.low
    assert found.interval.high <= max(errors)
    assert summary.median(errors[::-1], seed) == found


@pytest.mark.slow
def test_the_median_is_covered_nineteen_times_out_of_twenty() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for number in range(400):
        low, high = summary.median(rng.exponential(size=32), number).interval
        covered += low <= np.log(2) <= high
    assert stats.binomtest(covered, 400, 0.94).pvalue > 1e-3


@pytest.mark.parametrize(("samples", "counts"), [(8, []), (16, [2]), (64, [2, 4, 8])])
def test_a_sample_answers_for_the_best_of_an_eighth_of_it(samples: int, counts: list[int]) -> None:
    assert summary.reported_counts(samples) == counts


@pytest.mark.parametrize("count", [2, 4])
def test_the_best_of_few_is_covered_nine_times_out_of_ten(count: int) -> None:
    rng = np.random.default_rng(1)
    truth = float(rng.normal(size=(200_000, count)).min(axis=1).mean())
    found = [summary.best_of(rng.normal(size=32), count).interval for _ in range(400)]
    covered = sum(low <= truth <= high for low, high in found)
    assert covered >= 0.9 * 400
    assert stats.binomtest(covered, 400, 0.95, alternative="greater").pvalue > 1e-6


def test_variance_components_of_a_worked_example() -> None:
    # Three networks, two seeds each. Means 2, 4, 9; mean square within (2 + 2 + 2) / 3 = 2;
    # between 2 * ((2 - 5)^2 + (4 - 5)^2 + (9 - 5)^2) / 2 = 26; so (26 - 2) / 2 = 12.
    found = summary.variance([[1, 3], [3, 5], [8, 10]])
    assert found is not None
    assert found == pytest.approx((12, 2))
    assert found.share == pytest.approx(12 / 14)


def test_variance_components_agree_with_the_f_test_of_scipy() -> None:
    groups = np.random.default_rng(2).normal(size=(6, 4)) + np.arange(6)[:, None]
    found = summary.variance(groups.tolist())
    assert found is not None
    ratio = (found.seed + 4 * found.architecture) / found.seed
    assert ratio == pytest.approx(stats.f_oneway(*groups).statistic)


def test_variance_components_are_those_of_a_simulation() -> None:
    rng = np.random.default_rng(3)
    networks = rng.normal(scale=2.0, size=(4000, 1))
    found = summary.variance((networks + rng.normal(scale=0.5, size=(4000, 3))).tolist())
    assert found is not None
    assert found == pytest.approx((4.0, 0.25), rel=0.1)


def test_there_is_no_split_of_one_seed_and_no_negative_variance() -> None:
    assert summary.variance([[1.0], [2.0]]) is None
    found = summary.variance([[0, 10], [10, 0]])
    assert found is not None
    assert (found.architecture, found.share) == (0, 0)
    flat = summary.variance([[1, 1], [1, 1]])
    assert flat is not None
    assert flat.share == 0
