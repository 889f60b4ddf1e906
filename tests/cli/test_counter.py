"""How far it is: lines that neither flood a log nor leave one in the dark."""

import io
import json
import re

import pytest

from autospace.cli.progress.base import Reporter
from autospace.cli.progress.live import LiveReporter
from autospace.cli.progress.parts import Parts
from autospace.cli.progress.reporters import PlainReporter, reporting


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_line_at_both_ends_and_every_ten_seconds_between(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = PlainReporter("compare", Parts())
    for done in range(101):
        reporter.tick("evaluate", done, 100)
        clock[0] += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "evaluating networks: 0 of 100"
    assert lines[-1] == "evaluating networks: 100 of 100"
    assert 10 <= len(lines) <= 12
    assert lines[1] == "evaluating networks: 11 of 100, 1 min 29 s left"


def test_what_was_known_before_does_not_count_as_pace(clock: list[float]) -> None:
    reporter = Reporter("compare", Parts())
    reporter.tick("evaluate", 50, 100)
    assert reporter.seconds_left() is None
    clock[0] += 20
    reporter.tick("evaluate", 60, 100)
    # Ten in twenty seconds, forty to go.
    assert reporter.seconds_left() == pytest.approx(80)


def test_the_end_is_told_once_and_again_when_more_is_asked_for(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reporter = PlainReporter("compare", Parts())
    for done, total in ((0, 4), (4, 4), (4, 4), (4, 8), (8, 8)):
        reporter.tick("evaluate", done, total)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"evaluating networks: {n}" for n in ("0 of 4", "4 of 4", "8 of 8")]


def test_events_are_objects_about_a_second_apart(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with reporting("json", "compare") as reporter:
        reporter.message("a\nb")
        for done in range(21):
            reporter.tick("data", done, 20)
            clock[0] += 0.25
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert events[0] == {"event": "message", "text": "a\nb"}
    assert [each["done"] for each in events[1:]] == [0, 4, 8, 12, 16, 20]
    assert events[2]["seconds_left"] == pytest.approx(4.0)


def test_silence_and_plain_lines_for_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("none", "compare") as reporter:
        reporter.tick("data", 1, 2)
    assert capsys.readouterr().err == ""
    with reporting("auto", "compare") as reporter:
        assert type(reporter) is PlainReporter


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with reporting("auto", "compare") as reporter:
        assert type(reporter) is LiveReporter
        reporter.tick("evaluate", 1, 4)
        reporter.message("[bold]\x1b[2Jname")
        reporter.tick("evaluate", 4, 4)
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert "evaluating networks" in drawn
    assert "4/4" in drawn
    assert "[bold]\\x1b[2Jname" in drawn
