"""Timing by a clock that the work itself sets."""

import random
import statistics
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.latency.timing import Stopwatch, Work, middle_half, stopwatch_of, timed


class Hours:
    """A clock that stands still until somebody works."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[int] = []

    def work(self, name: int, seconds: float) -> Work:
        def run() -> None:
            self.log.append(name)
            self.now += seconds

        return run

    def stopwatch(self, least: float = 0.0) -> Stopwatch:
        def seconds(work: Work, repeats: int) -> float:
            started = self.now
            for _ in range(repeats):
                work()
            return self.now - started

        return Stopwatch(seconds, least)


def test_each_piece_gets_its_own_time() -> None:
    hours = Hours()
    pieces = [hours.work(i, 0.001 * (i + 1)) for i in range(5)]
    found = timed(pieces, hours.stopwatch(), 8)
    assert [each.mean_ms for each in found] == pytest.approx([1, 2, 3, 4, 5])
    assert all(each.n == 8 for each in found)


def test_the_first_run_only_warms_up() -> None:
    hours = Hours()
    runs = [0]

    def slow_at_first() -> None:
        hours.now += 5.0 if not runs[0] else 0.001
        runs[0] += 1

    (found,) = timed([slow_at_first], hours.stopwatch(), 4)
    assert found.mean_ms == pytest.approx(1)


def test_passes_take_every_piece_once_in_changing_orders() -> None:
    hours = Hours()
    timed([hours.work(i, 0.001) for i in range(6)], hours.stopwatch(), 5)
    passes = [hours.log[6 + start : 12 + start] for start in range(0, 30, 6)]
    assert all(sorted(each) == list(range(6)) for each in passes)
    assert len({tuple(each) for each in passes}) > 1


def test_a_machine_that_slows_down_slows_all_pieces_alike() -> None:
    hours = Hours()
    begun = [0]

    def drifting() -> None:
        begun[0] += 1
        hours.now += 0.001 * (1 + begun[0] / 50)

    first, second = timed([drifting, drifting], hours.stopwatch(), 40)
    assert first.mean_ms == pytest.approx(second.mean_ms, rel=0.05)


def test_short_pieces_are_repeated_where_the_clock_is_coarse() -> None:
    hours = Hours()
    (found,) = timed([hours.work(0, 1e-5)], hours.stopwatch(least=1e-3), 3)
    assert found.mean_ms == pytest.approx(0.01)
    assert len(hours.log) > 3 * 100


def test_short_pieces_take_time_where_processor_time_has_long_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As on Windows, which counts it in steps of 1/64 of a second.
    monkeypatch.setattr(time, "thread_time", lambda: time.perf_counter() // (1 / 64) / 64)
    seconds = stopwatch_of(torch.device("cpu"), 1).seconds
    assert all(0 < seconds(lambda: sum(range(1000)), 1) < 1 / 64 for _ in range(20))


@given(st.lists(st.floats(1e-6, 1), min_size=4, max_size=40))
def test_the_middle_half_is_between_the_quartiles(seconds: list[float]) -> None:
    found = middle_half(seconds)
    cut = len(seconds) // 4
    kept = sorted(seconds)[cut : len(seconds) - cut]
    assert min(kept) * 1e3 <= found.mean_ms * (1 + 1e-9)
    assert found.mean_ms <= max(kept) * 1e3 * (1 + 1e-9)


def test_interruptions_do_not_count() -> None:
    rng = random.Random(0)
    quiet = [rng.uniform(0.9e-3, 1.1e-3) for _ in range(30)]
    disturbed = [*quiet, *[0.5] * 8]
    assert middle_half(disturbed).mean_ms == pytest.approx(1e3 * statistics.mean(quiet), rel=0.05)
    assert middle_half(disturbed).std_ms < 0.2
