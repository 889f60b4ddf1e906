"""The interval of an accuracy, against published and hand-computed values."""

import subprocess
import sys

import pytest
from scipy.stats import binomtest

from autospace.training.short import accuracy_interval


def test_a_published_value() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263.
    low, high = accuracy_interval(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize("total", [1, 7, 10_000])
def test_the_ends_of_the_scale(total: int) -> None:
    # By hand: with none right, the interval is from 0 to z^2 / (n + z^2).
    z = 1.959963984540054
    width = z * z / (total + z * z)
    assert accuracy_interval(0.0, total) == pytest.approx((0.0, width))
    assert accuracy_interval(1.0, total) == pytest.approx((1 - width, 1.0))


def test_nothing_is_known_without_images() -> None:
    assert accuracy_interval(0.0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("total", [1, 2, 19, 359, 10_000])
def test_it_is_the_interval_of_scipy(total: int) -> None:
    for right in {0, 1, total // 3, total - 1, total}:
        wanted = binomtest(right, total).proportion_ci(0.95, method="wilson")
        found = accuracy_interval(right / total, total)
        assert found == pytest.approx((wanted.low, wanted.high), abs=1e-15)


@pytest.mark.slow
def test_it_needs_no_scipy() -> None:
    code = (
        "import sys, autospace.training.short as short; short.accuracy_interval(0.5, 8); "
        "sys.exit('scipy.stats' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
