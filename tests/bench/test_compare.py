"""Comparison with a baseline: worse only beyond noise and tolerance."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.bench.baseline import Change, compare, renewed
from autospace.bench.document import Bench, Entry
from tests.bench.documents import document, documents, entry, numbers

ALL = ("speed", "recovery", "ranking", "cost")


@pytest.mark.parametrize(
    ("before", "now", "better", "spread", "verdict"),
    [
        (100.0, 89.0, "higher", 0.0, "worse"),
        (100.0, 91.0, "higher", 0.0, "same"),
        (100.0, 111.0, "higher", 0.0, "better"),
        (100.0, 111.0, "lower", 0.0, "worse"),
        (100.0, 89.0, "lower", 0.0, "better"),
        # 2 * sqrt(5^2 + 5^2) = 14.1: noise covers what the tolerance would not.
        (100.0, 87.0, "higher", 5.0, "same"),
        (100.0, 85.0, "higher", 5.0, "worse"),
        # Of nothing, nothing is tolerated.
        (0.0, 1e-9, "lower", 0.0, "worse"),
        (0.0, 0.0, "lower", 0.0, "same"),
        (-0.5, -0.6, "higher", 0.0, "worse"),
    ],
)
def test_verdicts(before: float, now: float, better: str, spread: float, verdict: str) -> None:
    pair = [entry(value=value, better=better, spread=spread) for value in (before, now)]
    assert Change(pair[0], pair[1], 0.1).verdict == verdict


@given(documents(), st.floats(0, 1))
def test_an_equal_run_is_never_worse(bench: Bench, tolerance: float) -> None:
    changes = compare(bench, bench, ALL, tolerance)
    assert [change.verdict for change in changes] == ["same"] * len(bench.entries)


@given(numbers(), numbers(), st.sampled_from(["higher", "lower"]))
def test_what_got_worse_one_way_got_better_the_other(a: float, b: float, better: str) -> None:
    one, other = entry(value=a, better=better), entry(value=b, better=better)
    there, back = Change(one, other, 0.0), Change(other, one, 0.0)
    opposite = {"worse": "better", "better": "worse", "same": "same"}
    assert back.verdict == opposite[there.verdict]


@given(st.floats(0, 1e3), st.floats(0, 1e3))
def test_noise_is_two_deviations_of_a_difference(first: float, second: float) -> None:
    change = Change(entry(spread=first), entry(spread=second), 0.1)
    assert change.noise == pytest.approx(2 * math.sqrt(first**2 + second**2))


def test_missing_metrics_are_reported_on_either_side() -> None:
    before = document(entry("kept"), entry("gone"))
    now = document(entry("kept"), entry("new"))
    found = {c.entry.metric: c.verdict for c in compare(before, now, ALL, 0.1)}
    assert found == {"kept": "same", "new": "new", "gone": "gone"}


def test_metrics_of_suites_that_did_not_run_are_not_missed() -> None:
    before = document(entry("tau"), _speed())
    changes = compare(before, document(_speed()), ["speed"], 0.1)
    assert [change.entry.name for change in changes] == ["speed/ratio"]


def test_a_suite_that_no_longer_exists_is_not_kept() -> None:
    before = document(entry("tau"), entry("ratio", suite="former"), _speed())
    found = renewed(before, document(entry("tau", 0.7)), ["ranking"])
    assert [each.name for each in found.entries] == ["speed/ratio", "ranking/tau"]
    assert found.entries[1].value == 0.7


def _speed() -> Entry:
    return entry("ratio", 2.0, suite="speed")
