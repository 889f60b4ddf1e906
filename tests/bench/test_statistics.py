"""Middles, spreads and rank correlation."""

import random
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from autospace.bench.ranking import kendall
from autospace.bench.workload import clock_of, spread

small = st.lists(st.integers(-4, 4), min_size=2, max_size=12)


@given(small, st.randoms(use_true_random=False))
def test_kendall_is_scipys_tau_b(first: list[int], rng: random.Random) -> None:
    second = [rng.randint(-4, 4) for _ in first]
    expected = float(kendalltau(first, second)[0])
    wanted = 0.0 if np.isnan(expected) else expected
    assert kendall(first, second) == pytest.approx(wanted, abs=1e-12)


def test_the_spread_of_normal_numbers_is_their_deviation() -> None:
    rng = random.Random(0)
    values = [rng.gauss(3, 2) for _ in range(4000)]
    assert spread(values) == pytest.approx(2, rel=0.05)


def test_one_interruption_does_not_count() -> None:
    assert spread([2.0, 2.1, 1.9, 2.05, 50.0]) < 0.2


def test_few_values_have_their_plain_deviation_and_one_has_none() -> None:
    assert spread([1.0, 3.0]) == pytest.approx(np.std([1, 3], ddof=1))
    assert spread([1.0]) == 0.0


def test_sleep_is_no_processor_time() -> None:
    clock = clock_of(torch.device("cpu"))
    started, wall = clock(), time.monotonic()
    time.sleep(0.2)
    assert time.monotonic() - wall >= 0.2
    assert clock() - started < 0.1
