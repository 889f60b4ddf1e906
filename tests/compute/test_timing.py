"""The time of a step, by a clock that the steps set."""

import pytest
import torch

from autospace.compute.timing import TIMED_STEPS, seconds_of_step


def test_a_slow_step_is_timed_once_more_and_a_fast_one_several_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seconds, expected in ((100.0, [1, 1]), (0.5, [1, 1, TIMED_STEPS])):
        now, done = [0.0], list[int]()

        def run(steps: int, now: list[float] = now, done: list[int] = done) -> None:
            now[0] += steps * seconds  # noqa: B023
            done.append(steps)

        monkeypatch.setattr("time.perf_counter", lambda now=now: now[0])
        assert seconds_of_step(run, torch.device("cpu")) == pytest.approx(seconds)
        assert done == expected
