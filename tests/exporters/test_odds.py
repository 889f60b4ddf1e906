import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autospace.exporters.json_clients import odds

fitnesses = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9)
anything = st.lists(
    st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9
)


@given(fitnesses)
def test_odds_are_the_softmax_of_standard_scores(values: list[float]) -> None:
    spread = np.std(values)
    assume(spread > 1e-6)
    scores = np.exp((np.array(values) - np.mean(values)) / spread)
    found = np.array(odds(values))
    np.testing.assert_allclose(found / found.sum(), scores / scores.sum(), rtol=1e-4)


@given(anything)
def test_odds_are_positive_and_rise_with_fitness(values: list[float | None]) -> None:
    found = odds(values)
    assert len(found) == len(values)
    assert all(0 < each <= 1 for each in found)
    known = sorted(
        (value, each) for value, each in zip(values, found, strict=True) if value is not None
    )
    assert [each for _, each in known] == sorted(each for _, each in known)


@given(fitnesses, st.floats(0.01, 100), st.floats(-100, 100))
def test_the_unit_of_fitness_does_not_matter(
    values: list[float], scale: float, shift: float
) -> None:
    assume(np.std(values) > 1e-3)
    moved = [scale * value + shift for value in values]
    np.testing.assert_allclose(odds(moved), odds(values), rtol=1e-4)


@pytest.mark.parametrize("values", [[None, None], [0.3, 0.3, 0.3], [0.0, 0.0], [None, 2.0], [-1.0]])
def test_where_nothing_tells_all_are_equal(values: list[float | None]) -> None:
    assert odds(values) == [1.0] * len(values)


def test_one_without_fitness_weighs_as_much_as_the_mean() -> None:
    low, mean, high, unknown = odds([-1.0, 0.0, 1.0, None])
    assert low < mean < high
    assert unknown == mean


def test_the_least_likely_of_nine_keeps_half_a_percent() -> None:
    for outliers in range(1, 9):
        found = odds([0.0] * outliers + [1.0] * (9 - outliers))
        assert min(found) / sum(found) > 0.005


def test_the_largest_floats_do_not_overflow() -> None:
    found = odds([1.7e308, -1.7e308, 0.0])
    assert found[0] == 1
    # Standard scores of 1, 0, -1 are 1, 0, -1 over the root of 2/3.
    assert found[2] == pytest.approx(math.exp(-math.sqrt(1.5)), rel=1e-5)
