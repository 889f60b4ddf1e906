"""What a training shows while it goes on, and curves."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from autospace.cli.display.drawing import BLOCKS, PLAIN, curve, thinned
from autospace.cli.progress.base import Reporter
from autospace.cli.progress.live import LiveReporter
from autospace.cli.progress.parts import Epochs
from autospace.cli.progress.reporters import JsonReporter, PlainReporter
from autospace.training.life import EpochEvent
from autospace.training.session import Epoch

EPOCHS = [Epoch(i, 0.1, 2.5 / i, 1.0 / i, 1 - 0.5 / i) for i in range(1, 5)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


RUN = Path("runs/train")


def _play(reporter: Reporter, clock: list[float]) -> None:
    """A training of four epochs of ten steps of a second, as the library tells of it."""
    reporter.message("no test split: 10 of 100 examples are held out")
    reporter.tick("data", 1, 2)
    reporter.tick("data", 2, 2)
    for number, epoch in enumerate(EPOCHS):
        for step in range(10):
            clock[0] += 1
            reporter.tick("train", 10 * number + step + 1, 40)
        reporter.event(EpochEvent(10.0, epoch, 4, RUN))
    reporter.close()


def test_plain_lines_tell_every_epoch(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    _play(PlainReporter("train", Epochs()), clock)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "no test split: 10 of 100 examples are held out",
        "epoch   1/4  loss 2.5000  validation 50.00%  10.0 s, 30 s left",
        "epoch   2/4  loss 1.2500  validation 75.00%  10.0 s, 20 s left",
        "epoch   3/4  loss 0.8333  validation 83.33%  10.0 s, 10 s left",
        "epoch   4/4  loss 0.6250  validation 87.50%  10.0 s, 0 s left",
    ]


def test_a_long_epoch_is_told_every_few_seconds(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    reporter = PlainReporter("train", Epochs())
    for done in range(1, 60):
        clock[0] += 1
        reporter.tick("train", done, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        f"training: {done} of 1" for done in (11, 22, 33, 44, 55)
    ]
    assert lines[0] == "training: 11 of 1,000, 16 min 29 s left"


def test_the_time_left_counts_the_steps_of_this_process_only(clock: list[float]) -> None:
    reporter = Reporter("train", Epochs())
    assert reporter.seconds_left() is None
    reporter.tick("train", 900, 1000)
    assert reporter.seconds_left() is None
    clock[0] += 5
    reporter.tick("train", 910, 1000)
    assert reporter.seconds_left() == pytest.approx(90 * 5 / 10)


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    _play(JsonReporter("train", Epochs()), clock)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [each["event"] for each in events] == ["message", "data", *["epoch"] * 4]
    assert events[2] == {
        "event": "epoch",
        "epoch": 1,
        "epochs": 4,
        "learning_rate": 0.1,
        "train_loss": 2.5,
        "validation_loss": 1.0,
        "validation_accuracy": 0.5,
        "seconds": 10.0,
        "seconds_left": 30.0,
    }


def test_a_time_that_is_not_known_is_not_zero() -> None:
    event = EpochEvent(1.0, Epoch(1, 0.1, 2.5, 1.0, 0.5), 50, RUN)
    assert Epochs().line(event, None).endswith("  1.0 s")
    assert Epochs().line(event, 0.0).endswith("  1.0 s, 0 s left")
    assert "seconds_left" not in Epochs().record(event, None)


def test_the_longest_line_fits_in_80_columns() -> None:
    longest = Epoch(9_999, 0.1, 12.3456, 9.9, 1.0)
    assert len(Epochs().line(EpochEvent(99_999.9, longest, 9_999, RUN), 10**6)) <= 80


@pytest.mark.parametrize("validated", [True, False])
def test_the_live_display_shows_epoch_time_and_curves(clock: list[float], validated: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    reporter = LiveReporter("train", Epochs(), console)
    reporter.tick("data", 1, 2)
    for number, epoch in enumerate(EPOCHS[:3]):
        for step in range(10):
            clock[0] += 1
            reporter.tick("train", 10 * number + step + 1, 40)
        shown = epoch if validated else Epoch(epoch.epoch, 0.1, epoch.train_loss)
        reporter.event(EpochEvent(10.0, shown, 4, RUN))
    with console.capture() as captured:
        console.print(reporter._render())
    reporter.close()
    lines = captured.get().splitlines()
    assert lines[0].startswith("epoch 4 of 4")
    assert lines[0].rstrip().endswith("30 s so far, 10 s left")
    assert "0.8333" in lines[1]
    assert ("83.33%" in captured.get()) == validated
    assert max(map(len, lines)) <= 80


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300),
    st.integers(1, 60),
    st.sampled_from([None, "utf-8", "ascii", "latin-1"]),
)
def test_a_curve_fits_and_shows_lowest_and_highest(
    values: list[float], width: int, encoding: str | None
) -> None:
    levels = PLAIN if encoding in ("ascii", "latin-1") else BLOCKS
    text = curve(values, width, encoding)
    shown = thinned(values, width)
    assert len(text) == len(shown) == min(len(values), width)
    assert set(text) <= set(levels)
    assert text[shown.index(min(shown))] == levels[0]
    if max(shown) > min(shown):
        assert text[shown.index(max(shown))] == levels[-1]


def test_thinning_takes_means_of_stretches() -> None:
    assert thinned([1.0, 3.0, 5.0, 7.0, 9.0, 11.0], 3) == [2.0, 6.0, 10.0]
    assert thinned([1.0, 2.0], 3) == [1.0, 2.0]
