"""The correction from sums of parts to networks, and how it is evaluated."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls
from scipy.stats import kendalltau

from autospace.latency.profile import TimedNetwork, checked, fitted
from autospace.latency.table import Correction

sizes = st.tuples(st.floats(0.1, 10), st.integers(5, 100), st.floats(0.1, 20))
samples_of = st.lists(sizes, min_size=2, max_size=12).map(
    lambda some: [TimedNetwork(*values) for values in some]
)


@given(st.floats(0.5, 3), st.floats(0, 0.05), st.integers(0, 999))
def test_what_made_the_samples_is_found(scale: float, overhead: float, seed: int) -> None:
    # Drawn by a seed: samples that are all alike would not tell scale from overhead.
    rng = random.Random(seed)
    samples = []
    for _ in range(8):
        parts_ms, parts = rng.uniform(1, 5), rng.randint(20, 100)
        samples.append(TimedNetwork(parts_ms, parts, scale * parts_ms + overhead * parts))
    found = fitted(samples)
    assert found.scale == pytest.approx(scale, rel=1e-5)
    assert found.overhead_ms == pytest.approx(overhead, abs=1e-6)
    assert checked(samples, found).worst_error < 1e-5


@given(samples_of)
def test_the_fit_is_as_good_as_non_negative_least_squares(samples: list[TimedNetwork]) -> None:
    table = [[s.parts_ms / s.measured_ms, s.parts / s.measured_ms] for s in samples]
    _, residual = nnls(table, [1.0] * len(samples))
    found = fitted(samples)
    squares = sum((s.predicted_ms(found) / s.measured_ms - 1) ** 2 for s in samples)
    assert squares <= residual**2 + 1e-6 * len(samples)


def test_errors_and_rank_correlation() -> None:
    samples = [
        TimedNetwork(1, 1, 1.0),
        TimedNetwork(2, 1, 2.5),
        TimedNetwork(3, 1, 2.0),
        TimedNetwork(4, 1, 4.0),
    ]
    check = checked(samples, Correction())
    assert check.networks == 4
    assert check.worst_error == pytest.approx(0.5)
    assert check.median_error == pytest.approx(0.1)
    assert check.tau == pytest.approx(float(kendalltau([1, 2, 3, 4], [1, 2.5, 2, 4])[0]))
