"""Differences between two samples: against scipy, by hand, and by symmetry."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from autospace.comparison.statistics import (
    MeanDifference,
    Superiority,
    holm,
    kolmogorov_smirnov,
    mann_whitney,
    mean_difference,
    superiority,
)

ERRORS = st.integers(0, 1000).map(lambda number: number / 10)
PAIRS = st.integers(3, 25).flatmap(
    lambda n: st.tuples(
        st.lists(ERRORS, min_size=n, max_size=n), st.lists(ERRORS, min_size=n, max_size=n)
    )
)
LEVELS = st.floats(0.5, 0.999)

either = pytest.mark.parametrize("paired", [True, False])


@given(PAIRS)
def test_matched_samples_are_compared_as_scipy_compares_pairs(
    pair: tuple[list[float], list[float]],
) -> None:
    a, b = pair
    assume(len(set(np.subtract(a, b).round(9))) > 1)
    found = mean_difference(a, b, paired=True)
    wanted = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-12)
    assert found.interval(0.9) == pytest.approx(tuple(wanted.confidence_interval(0.9)), rel=1e-6)


@given(PAIRS)
def test_unmatched_samples_are_compared_as_by_welch(
    pair: tuple[list[float], list[float]],
) -> None:
    a, b = pair
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    found = mean_difference(a, b, paired=False)
    wanted = stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(wanted.pvalue, rel=1e-6, abs=1e-12)
    assert found.interval(0.95) == pytest.approx(tuple(wanted.confidence_interval(0.95)), rel=1e-6)


@given(PAIRS)
def test_superiority_counts_the_pairs_of_draws_that_b_wins(
    pair: tuple[list[float], list[float]],
) -> None:
    a, b = pair
    wins = [1 if y < x else 0.5 if y == x else 0 for x, y in itertools.product(a, b)]
    assert superiority(a, b, paired=True).probability == pytest.approx(sum(wins) / len(wins))


@given(PAIRS)
def test_the_error_of_superiority_is_that_of_brunner_and_munzel(
    pair: tuple[list[float], list[float]],
) -> None:
    a, b = pair
    found = superiority(a, b, paired=False)
    assume(found.error > 0)
    wanted = stats.brunnermunzel(b, a).statistic
    assert (found.probability - 0.5) / found.error == pytest.approx(wanted)


@either
@given(pair=PAIRS, level=LEVELS)
def test_swapping_the_samples_mirrors_every_effect(
    paired: bool, pair: tuple[list[float], list[float]], level: float
) -> None:
    a, b = pair
    for effect in (mean_difference, superiority):
        there, back = effect(a, b, paired=paired), effect(b, a, paired=paired)
        assert there.value == pytest.approx(-back.value, abs=1e-9)
        assert there.p == pytest.approx(back.p, abs=1e-9)
        low, high = back.interval(level)
        assert there.interval(level) == pytest.approx((-high, -low), abs=1e-6)


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_draws_does_not_matter(
    pair: tuple[list[float], list[float]], random: "object"
) -> None:
    a, b = pair
    order = list(range(len(a)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed_a, mixed_b = [a[i] for i in order], [b[i] for i in order]
    for paired in (True, False):
        for effect in (mean_difference, superiority):
            plain, mixed = effect(a, b, paired=paired), effect(mixed_a, mixed_b, paired=paired)
            assert plain.value == pytest.approx(mixed.value, abs=1e-9)
            assert plain.p == pytest.approx(mixed.p, abs=1e-6)
    assert kolmogorov_smirnov(a, b) == pytest.approx(kolmogorov_smirnov(mixed_a, mixed_b))
    assert mann_whitney(a, b) == pytest.approx(mann_whitney(mixed_a, mixed_b))


@either
@given(pair=PAIRS, level=LEVELS)
def test_an_interval_leaves_out_zero_exactly_where_the_test_rejects(
    paired: bool, pair: tuple[list[float], list[float]], level: float
) -> None:
    a, b = pair
    for effect in (mean_difference(a, b, paired=paired), superiority(a, b, paired=paired)):
        assume(abs(effect.p - (1 - level)) > 1e-9)
        low, high = effect.interval(level)
        assert (low > 0 or high < 0) == (effect.p < 1 - level)


@given(PAIRS, LEVELS)
def test_the_interval_of_a_probability_is_one_of_probabilities(
    pair: tuple[list[float], list[float]], level: float
) -> None:
    found = superiority(*pair, paired=True)
    low, high = found.probability_interval(level)
    assert 0 <= low <= found.probability <= high <= 1


def test_samples_that_do_not_overlap_are_as_sure_as_coins_that_agree() -> None:
    found = superiority([5, 6, 7, 8, 9, 10], [1, 2, 3, 4, 3, 2], paired=True)
    assert (found.value, found.p) == (1.0, 2 * 0.5**6)
    low, high = found.probability_interval(0.95)
    assert low**6 == pytest.approx(0.025)
    assert high == 1
    back = superiority([1, 2, 3], [5, 6, 7], paired=False)
    assert back.probability_interval(0.95) == pytest.approx((0, 1 - 0.025 ** (1 / 3)))


def test_equal_samples_are_no_difference() -> None:
    for paired in (True, False):
        found = mean_difference([3.0] * 5, [3.0] * 5, paired=paired)
        assert (found.value, found.p, found.interval(0.95)) == (0, 1, (0, 0))
        ranks = superiority([3.0] * 5, [3.0] * 5, paired=paired)
        assert (ranks.value, ranks.p, ranks.interval(0.95)) == (0, 1, (0, 0))
    assert mann_whitney([3.0] * 5, [3.0] * 5).p == 1


def test_equal_differences_are_as_certain_as_tosses_of_a_coin_that_agree() -> None:
    few = mean_difference([4.0, 5.0, 6.0], [3.0, 4.0, 5.0], paired=True)
    assert (few.value, few.p, few.interval(0.95)) == (1.0, 2 / 2**3, (0.0, 2.0))
    assert few.interval(0.7) == (1.0, 1.0)
    many = mean_difference([4.0] * 8, [3.0] * 8, paired=True)
    assert (many.p, many.interval(0.95)) == (2 / 2**8, (1.0, 1.0))
    unpaired = mean_difference([4.0] * 4, [3.0] * 9, paired=False)
    assert (unpaired.p, unpaired.interval(0.95)) == (2 / 2**4, (0.0, 2.0))


def test_differences_that_are_equal_but_for_rounding_are_equal() -> None:
    # 0.15 - 0.1 and 0.2 - 0.15 differ in their last bit.
    found = mean_difference([0.1, 0.15, 0.2, 0.1], [0.05, 0.1, 0.15, 0.05], paired=True)
    assert found.p == 2 / 2**4
    assert found.interval(0.95).low <= 0


def test_kolmogorov_smirnov_and_mann_whitney_by_hand() -> None:
    a, b = [1.0, 2.0, 3.0, 4.0], [3.5, 5.0, 6.0, 7.0]
    # The EDFs are farthest apart at 3: three quarters of A, none of B.
    assert kolmogorov_smirnov(a, b).statistic == 0.75
    # A is larger in one of the sixteen pairs.
    assert mann_whitney(a, b).statistic == 1


def test_holm_by_hand() -> None:
    # The example of Holm's procedure: 0.01 * 4, 0.015 * 3, then max(0.045, 0.03 * 2), 0.06.
    corrected = [p for p, _ in holm([0.03, 0.01, 0.04, 0.015])]
    assert corrected == pytest.approx([0.06, 0.04, 0.06, 0.045])
    assert holm([0.2])[0] == pytest.approx((0.2, 0.95))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.5, 0.99))
def test_the_level_of_holm_decides_as_the_corrected_p_value_does(
    p_values: list[float], level: float
) -> None:
    alpha = 1 - level
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = set()
    for rank, index in enumerate(order):
        if p_values[index] >= alpha / (len(p_values) - rank):
            break
        rejected.add(index)
    for index, (corrected, tested_at) in enumerate(holm(p_values, level)):
        assume(abs(corrected - alpha) > 1e-9)
        assert (corrected < alpha) == (index in rejected)
        assert (p_values[index] < 1 - tested_at) == (index in rejected)
        assert level - 1e-12 <= tested_at < 1


def test_effects_are_values() -> None:
    assert MeanDifference(1.0, 0.5, 7).interval(0.95).low == pytest.approx(1 - 2.364624 * 0.5)
    found = Superiority(0.75, 0.1, 30, 16)
    spread = 0.1 / (0.75 * 0.25) * 2.042272
    assert found.probability_interval(0.95).low == pytest.approx(
        1 / (1 + math.exp(spread - math.log(3))), rel=1e-5
    )
