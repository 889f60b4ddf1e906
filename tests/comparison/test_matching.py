"""Matched networks cost the same, are drawn fairly, and do not depend on the order of spaces."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autospace.comparison.matching import TOLERANCE, match, matching_with_first, unmatched

COSTS = st.lists(st.integers(1, 400), min_size=1, max_size=60).map(np.array)


def _equal_sizes(costs: list[np.ndarray]) -> list[np.ndarray]:
    return [each[: min(map(len, costs))] for each in costs]


SPACES = st.lists(COSTS, min_size=2, max_size=4).map(_equal_sizes)


@given(SPACES, st.integers(0, 9))
def test_the_networks_of_a_tuple_cost_the_same(costs: list[np.ndarray], seed: int) -> None:
    found = match(costs, seed)
    for row in found.tuples:
        matched = [cost[index] for cost, index in zip(costs, row, strict=True)]
        assert max(matched) < (1 + TOLERANCE) * min(matched) * (1 + 1e-9)


@given(SPACES, st.integers(0, 9))
def test_no_draw_is_used_twice(costs: list[np.ndarray], seed: int) -> None:
    for column in match(costs, seed).tuples.T:
        assert len(set(column.tolist())) == len(column)


@given(SPACES, st.integers(0, 9), st.permutations(range(4)))
def test_the_order_of_the_spaces_only_orders_the_columns(
    costs: list[np.ndarray], seed: int, order: list[int]
) -> None:
    order = [place for place in order if place < len(costs)]
    plain, mixed = match(costs, seed), match([costs[place] for place in order], seed)
    assert np.array_equal(plain.tuples[:, order], mixed.tuples)
    assert [plain.shares[place] for place in order] == list(mixed.shares)
    assert plain.span == mixed.span


@given(SPACES, st.integers(0, 9))
def test_as_many_as_the_bins_allow(costs: list[np.ndarray], seed: int) -> None:
    counts = [Counter(int(np.log(c) // np.log(1 + TOLERANCE)) for c in cost) for cost in costs]
    common = set.intersection(*(set(each) for each in counts))
    found = match(costs, seed)
    assert len(found.tuples) == sum(min(each[b] for each in counts) for b in common)
    for share, each in zip(found.shares, counts, strict=True):
        assert share == pytest.approx(sum(each[b] for b in common) / each.total())
    assert (found.span is None) == (not common)


@given(COSTS, st.integers(0, 9))
def test_a_space_matches_itself_completely(cost: np.ndarray, seed: int) -> None:
    found = match([cost, cost], seed)
    assert len(found.tuples) == len(cost)
    assert found.shares == (1.0, 1.0)
    assert found.comparable
    assert found.span == (cost.min(), cost.max())


def test_matched_costs_follow_the_overlap_of_the_distributions() -> None:
    rng = np.random.default_rng(0)
    low, high = (rng.uniform(a, b, 20_000).astype(int) for a, b in ((1e6, 3e6), (2e6, 4e6)))
    found = match([low, high], 0)
    for cost, column in zip((low, high), found.tuples.T, strict=True):
        first = cost[column[:2000]]
        wanted = stats.uniform(2e6, 1e6)
        assert stats.kstest(first, wanted.cdf).statistic < 0.05
    assert len(found.tuples) == pytest.approx(10_000, rel=0.05)
    assert found.shares == pytest.approx((0.5, 0.5), abs=0.04)


def test_the_first_tuples_are_a_fair_sample_of_all() -> None:
    cost = np.random.default_rng(1).integers(1_000_000, 9_000_000, 20_000)
    tuples = match([cost, cost], 0).tuples
    assert stats.ks_2samp(cost[tuples[:500, 0]], cost).pvalue > 1e-3


def test_spaces_without_a_common_cost_are_not_comparable() -> None:
    found = match([np.arange(100, 200), np.arange(300, 400)], 0)
    assert not found.comparable
    assert (len(found.tuples), found.span, found.shares) == (0, None, (0.0, 0.0))


def test_a_handful_of_common_draws_is_not_enough() -> None:
    rare = np.full(1000, 500)
    rare[:9] = 100
    assert not match([np.full(1000, 100), rare], 0).comparable
    rare[:10] = 100
    assert match([np.full(1000, 100), rare], 0).comparable


def test_those_are_found_that_match_the_first() -> None:
    low, high, wide = np.arange(100, 200), np.arange(300, 400), np.arange(150, 350)
    assert matching_with_first([low, high, wide, low], 0) == (0, 2, 3)
    assert matching_with_first([low, high], 0) == (0,)
    # Each of the two others matches the first, but hardly anything matches all three.
    assert matching_with_first([wide, high, low], 0) == (0, 1)


def test_without_matching_draws_stay_in_their_order() -> None:
    found = unmatched([np.array([5, 1]), np.array([900, 7]), np.array([1, 1])])
    assert found.tuples.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert found.comparable
