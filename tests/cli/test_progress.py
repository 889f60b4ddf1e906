"""What a run shows while it goes on."""

import io
import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from autospace.api import RunInterrupted
from autospace.cli.display.drawing import BLOCKS
from autospace.cli.output import InputError, interrupts_remembered
from autospace.cli.progress import base
from autospace.cli.progress.base import Reporter
from autospace.cli.progress.live import LiveReporter
from autospace.cli.progress.parts import Parts, Rounds
from autospace.cli.progress.reporters import (
    KINDS,
    JsonReporter,
    PlainReporter,
    _interrupted,
    check_progress,
    reporting,
    running,
)
from autospace.evolution.learn import RoundEvent
from autospace.evolution.loop import evolve
from autospace.evolution.population import Drawn, EvolutionState
from autospace.progress import duration
from autospace.spaces import LayerSpec
from tests.tiny import SKELETON, ClosedForm, plan

PLAN = plan()
STATES = list(evolve(PLAN, ClosedForm()))


def _play(reporter: Reporter) -> None:
    """A run as the library tells of it."""
    reporter.message("no test split: 10 of 100 examples are held out")
    reporter.tick("data", 1, 2)
    reporter.tick("data", 2, 2)
    for done in range(1, 41):
        reporter.tick("warm-up", done, 40)
    for state in STATES:
        for done in range(5):
            reporter.tick("score", done, 5)
        reporter.event(RoundEvent(2.0, PLAN, state))
    reporter.close()


def test_plain_lines_tell_every_round_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    _play(PlainReporter("evolve", Rounds()))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert max(map(len, lines)) <= 80
    assert lines[:5] == [
        "no test split: 10 of 100 examples are held out",
        "reading images: 1 of 2",
        "reading images: 2 of 2",
        "training the reference: 1 of 40",
        "training the reference: 40 of 40",
    ]
    assert lines[5].startswith("best, mean: fitness averaged over layers; ")
    assert len(lines) == 6 + PLAN.rounds
    assert lines[6].startswith("round   1/9 initial best +1.0000  mean ")
    assert lines[-1].endswith("2.0 s, 0 s left")


def test_a_long_phase_is_told_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    reporter = PlainReporter("evolve", Rounds())
    for done in range(1, 60):
        now[0] += 1
        reporter.tick("warm-up", done, 1000)
    told = [int(line.split()[3]) for line in capsys.readouterr().err.splitlines()]
    assert told == [1, 12, 23, 34, 45, 56]


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    _play(JsonReporter("evolve", Rounds()))
    out, err = capsys.readouterr()
    assert out == ""
    events = [json.loads(line) for line in err.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds == ["message", "data", "warm-up"] + ["round"] * PLAN.rounds
    assert events[1] == {"event": "data", "done": 2, "total": 2}
    last = events[-1]
    assert (last["round"], last["rounds"], last["phase"]) == (9, 9, "confirm")
    assert last["best"] == STATES[-1].history[-1].best
    assert last["seconds_left"] == 0


def test_none_is_silent_but_for_remarks(capsys: pytest.CaptureFixture[str]) -> None:
    _play(Reporter("evolve", Rounds()))
    assert capsys.readouterr() == ("", "no test split: 10 of 100 examples are held out\n")


def _live(width: int, states: list[EvolutionState] = STATES) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, color_system=None)
    reporter = LiveReporter("evolve", Rounds(), console)
    reporter.tick("warm-up", 5, 10)
    for state in states:
        reporter.event(RoundEvent(1.0, PLAN, state))
    reporter.close()
    return stream.getvalue()


def test_the_live_display_shows_phase_layers_and_course_in_80_columns() -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", _live(80))
    lines = text.replace("\r", "\n").splitlines()
    assert max(map(len, lines)) <= 80
    picture = lines[-6:]
    assert "round 9 of 9" in text
    assert any(line.lstrip().startswith("layer_00") for line in picture)
    best = STATES[-1].history[-1].layers[1].best
    assert any("layer_01" in line and f"{best:+.4f}" in line for line in picture)
    assert re.search(r"cells/s, \d+% in budget, [\d,]+ MB$", text, re.MULTILINE)
    assert any(spark in text for spark in BLOCKS)


SHARES = {"127.0.0.2": 1200, "127.0.0.3": 3}
WORDS = "requests done by nodes: 127.0.0.2: 1,200, 127.0.0.3: 3"
PHASES_ON_NODES = {"evolve": "score", "compare": "evaluate", "search": "finalists"}


def _on_nodes(reporter: Reporter, command: str) -> None:
    """A part of a run on a cluster, of two nodes."""
    reporter.nodes({"127.0.0.2": 7})
    reporter.tick(PHASES_ON_NODES[command], 1, 8)
    reporter.nodes(SHARES)
    if command == "evolve":
        reporter.event(RoundEvent(1.0, PLAN, STATES[0]))
    else:
        reporter.tick(PHASES_ON_NODES[command], 8, 8)
    reporter.close()


@pytest.mark.parametrize("command", PHASES_ON_NODES)
def test_plain_lines_tell_what_every_node_has_done(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(100, 10**6, 60))
    monkeypatch.setattr("time.monotonic", lambda: float(next(now)))
    _on_nodes(PlainReporter(command, Rounds() if command == "evolve" else Parts()), command)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == WORDS
    assert ("requests done by nodes: 127.0.0.2: 7" in lines) == (command != "evolve")


def test_plain_lines_of_nodes_are_not_one_for_every_round(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    reporter = PlainReporter("evolve", Rounds())
    for number, state in enumerate(STATES):
        now[0] += 4
        reporter.nodes({"127.0.0.2": number})
        reporter.event(RoundEvent(4.0, PLAN, state))
    told = [line for line in capsys.readouterr().err.splitlines() if "requests" in line]
    assert [int(line.rpartition(" ")[2]) for line in told] == [0, 3, 6]


@pytest.mark.parametrize("command", PHASES_ON_NODES)
def test_json_has_what_every_node_has_done(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _on_nodes(JsonReporter(command, Rounds() if command == "evolve" else Parts()), command)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert events[-1]["nodes"] == SHARES
    assert events[-1]["event"] == ("round" if command == "evolve" else PHASES_ON_NODES[command])


@pytest.mark.parametrize("kind", ["plain", "none", "json"])
@pytest.mark.parametrize("command", PHASES_ON_NODES)
def test_the_last_word_of_the_nodes_is_said_once(
    command: str, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    with running(kind, command, Rounds() if command == "evolve" else Parts()) as observer:
        assert isinstance(observer, Reporter)
        _on_nodes(observer, command)
    lines = capsys.readouterr().err.splitlines()
    assert lines.count(WORDS) == (0 if kind == "json" else 1)
    # Nodes are what has the requests, nothing else.
    assert not any("  nodes: " in line for line in lines)


@pytest.mark.parametrize("command", PHASES_ON_NODES)
def test_the_live_display_shows_what_every_node_has_done(command: str) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    parts = Rounds() if command == "evolve" else Parts()
    _on_nodes(LiveReporter(command, parts, console), command)
    assert WORDS in stream.getvalue()


def test_without_a_cluster_no_display_speaks_of_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    _play(PlainReporter("evolve", Rounds()))
    _play(JsonReporter("evolve", Rounds()))
    assert "nodes" not in capsys.readouterr().err + _live(80)


@pytest.mark.parametrize("width", [20, 40, 200])
def test_the_live_display_survives_any_width(width: int) -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", _live(width))
    assert max(len(line) for line in text.replace("\r", "\n").splitlines()) <= width


def test_the_live_display_before_the_first_round_shows_the_phase() -> None:
    assert "training the reference" in _live(80, [])


def test_the_live_display_of_many_layers_names_the_rest() -> None:
    from autospace.cli.progress.live import _layers

    many = plan(skeleton=replace(SKELETON, layers=(LayerSpec(4),) * 15), generations=0)
    *_, last = evolve(many, ClosedForm())
    stream = io.StringIO()
    Console(file=stream, width=80).print(_layers(many, last, "utf-8"))
    assert "and 3 more" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 14


def test_a_remark_stands_above_the_live_display() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=80, color_system=None)
    reporter = LiveReporter("evolve", Rounds(), console)
    reporter.message("[bold]no markup[/bold]")
    reporter.close()
    assert "[bold]no markup[/bold]" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7265, "2 h 01 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_the_feasible_rate_is_over_all_layers() -> None:
    record = STATES[0].history[-1]
    layers = tuple(
        replace(layer, drawn=Drawn(10, 0, over))
        for layer, over in zip(record.layers, (5, 0), strict=True)
    )
    state = replace(STATES[0], history=(replace(record, layers=layers),))
    event = RoundEvent(1.0, PLAN, state)
    assert "feasible  75%" in Rounds().line(event, 2.0)
    assert Rounds().record(event, 2.0)["feasible_rate"] == 0.75


def test_the_time_left_is_the_mean_round_times_those_to_come() -> None:
    reporter = Reporter("evolve", Rounds())
    reporter.event(RoundEvent(2.0, PLAN, STATES[0]))
    reporter.event(RoundEvent(4.0, PLAN, STATES[1]))
    assert reporter.seconds_left() == (9 - 2) * 3.0


def test_the_speed_is_that_of_the_rounds_since_the_run_was_resumed() -> None:
    resumed = Rounds()
    resumed.add(RoundEvent(2.0, PLAN, STATES[-1]))
    scored = STATES[-1].evaluations - STATES[-2].evaluations
    assert resumed.cells == scored < STATES[-1].evaluations


def test_the_time_left_follows_the_recent_pace_and_says_what_it_covers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    reporter = Reporter("search", Parts())
    assert reporter.left() == "... left"
    for done in range(1, 201):  # cheap steps
        now[0] += 1.0
        reporter.tick("search", done, 400)
    assert reporter.left() == "at least 3 min 20 s left"
    for done in range(201, 301):  # each ten times as long; the cheap ones are forgotten
        now[0] += 10.0
        reporter.tick("search", done, 400)
    assert reporter.left() == "at least 16 min 40 s left"
    for done in range(3):
        now[0] += 7.0
        reporter.tick("finalists", done, 3)
    assert reporter.left() == "7 s left"


def test_after_a_round_the_time_left_is_that_of_the_run() -> None:
    reporter = Reporter("evolve", Rounds())
    reporter.event(RoundEvent(2.0, PLAN, STATES[0]))
    assert reporter.left() == "16 s left"


def test_unknown_kinds_are_refused() -> None:
    for kind in KINDS:
        check_progress(kind)
    with pytest.raises(InputError, match="allowed: auto, plain, json, none"):
        check_progress("verbose")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("auto", PlainReporter), ("plain", PlainReporter), ("json", JsonReporter), ("none", Reporter)],
)
def test_a_pipe_gets_plain_lines_unless_asked_otherwise(
    kind: str, expected: type[Reporter]
) -> None:
    with reporting(kind, "evolve", Rounds()) as reporter:
        assert type(reporter) is expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_at_the_next_tick_a_ctrl_c_after_it_at_once(
    capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    with reporting("plain", "evolve", Rounds()) as reporter:
        signal.raise_signal(number)
        said = capsys.readouterr().err
        assert "stopping after this step" in said
        assert ("press Ctrl-C" in said) is (number == signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            reporter.tick("score", 1, 2)
        # A scheduler may signal a process, and so may the program that the scheduler stops.
        signal.raise_signal(signal.SIGTERM)
        assert not reporter.hurried
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert reporter.hurried
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("number", "usual"),
    [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)],
)
def test_every_command_is_interrupted_by_both_signals(number: signal.Signals, usual: Any) -> None:
    # Those of the tests themselves may be others: a job in the background ignores Ctrl-C.
    before = signal.signal(number, usual)
    try:
        with pytest.raises(KeyboardInterrupt), interrupts_remembered():
            signal.raise_signal(number)
        assert signal.getsignal(number) is usual
    finally:
        signal.signal(number, before)


def test_what_is_lost_is_not_denied(tmp_path: Path) -> None:
    stop = RunInterrupted(tmp_path / "run", resumable=True, untouched=False)
    assert "; nothing is lost: autospace train" in _interrupted("train", stop, hurried=False)
    assert "; it goes on from its last checkpoint: " in _interrupted("train", stop, hurried=True)


def test_a_signal_in_the_middle_of_a_write_still_stops_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reentrant(_: str) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter>")

    monkeypatch.setattr(base, "message", reentrant)
    with reporting("plain", "evolve", Rounds()) as reporter:
        signal.raise_signal(signal.SIGINT)
        assert reporter.stopping
