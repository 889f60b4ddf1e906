"""Progress as plain lines or as JSON, and the choice of a display by `--progress`."""

import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from autospace.cli.output import INTERRUPTED, InputError, Unheard, loudness, message
from autospace.cli.progress.base import (
    SECONDS_BETWEEN_EVENTS,
    SECONDS_BETWEEN_LINES,
    Phase,
    Reporter,
)
from autospace.cli.progress.parts import Parts
from autospace.spaces.errors import offered

if TYPE_CHECKING:
    from autospace.api import RunInterrupted
    from autospace.progress import Observer

KINDS: Final = ("auto", "plain", "json", "none")


def check_progress(kind: str) -> None:
    """Refuses an unknown kind before anything is started.

    Raises:
        InputError: not one of `KINDS`.
    """
    if kind not in KINDS:
        raise InputError(f"--progress {kind[:40]!r}: {offered(kind, KINDS)}")


class PlainReporter(Reporter):
    """A line per part of the run, and every few seconds of a long phase.

    After it, every few seconds a line of what each node of a cluster has done.
    """

    def __init__(self, command: str, parts: Parts) -> None:
        super().__init__(command, parts)
        self._shown = self.started
        self._ends: tuple[str, int] = ("", 0)
        self._nodes_since = self.started
        self._legend = parts.legend

    def show_tick(self, phase: Phase) -> None:
        """A line, unless the last one is too recent."""
        name, done, total = self.now
        if phase.lines == "never" or not (done or phase.left):
            return
        # The total belongs to the end: more may be asked for after it.
        ends = (name, total if done >= total else 0)
        is_end = phase.lines == "ends" and (
            name != self._ends[0] or (done >= total and ends != self._ends)
        )
        if not is_end and time.monotonic() - self._shown <= SECONDS_BETWEEN_LINES:
            return
        known = phase.left and done < total and self.seconds_left() is not None
        suffix = f", {self.left()}" if known else ""
        message(f"{phase.title}: {done:,} of {total:,}{suffix}")
        self._shown, self._ends = time.monotonic(), ends
        self._show_nodes()

    def show_part(self, event: Any) -> None:
        """One line for the part; before the first one, what its numbers are."""
        line = self.parts.line(event, self.seconds_left())
        if not line:
            return
        if self._legend:
            message(self._legend)
            self._legend = ""
        message(line)
        self._shown = time.monotonic()
        self._show_nodes()

    def _show_nodes(self) -> None:
        late = time.monotonic() - self._nodes_since > SECONDS_BETWEEN_LINES
        if self.done_by and (late or not self.nodes_shown):
            self.say_nodes()
            self._nodes_since = time.monotonic()


class JsonReporter(Reporter):
    """A JSON object per event, one a line."""

    def __init__(self, command: str, parts: Parts) -> None:
        super().__init__(command, parts)
        self._shown = ("", 0.0)

    def message(self, text: str) -> None:
        """A remark for the user."""
        self._emit({"event": "message", "text": text})

    def last_word(self, text: str) -> None:
        """What is left of a run that was stopped."""
        self.message(text)

    def say_nodes(self) -> None:
        """Nothing: the last event has what every node has done."""

    def show_tick(self, phase: Phase) -> None:
        """What is done, and the seconds left where events come about every second."""
        name, done, total = self.now
        event = {"event": name, "done": done, "total": total, **self._of_nodes()}
        if phase.events == "end" and done >= total:
            self._emit(event)
        elif phase.events == "seconds":
            now = time.monotonic()
            shown, since = self._shown
            if done < total and shown == name and now - since < SECONDS_BETWEEN_EVENTS:
                return
            self._shown = (name, now)
            left = self.seconds_left()
            self._emit(event if left is None else {**event, "seconds_left": round(left, 1)})

    def show_part(self, event: Any) -> None:
        """The record of the part."""
        record = self.parts.record(event, self.seconds_left())
        if record:
            self._emit({**record, **self._of_nodes()})

    def _of_nodes(self) -> dict[str, Any]:
        return {"nodes": dict(self.done_by)} if self.done_by else {}

    def _emit(self, event: dict[str, Any]) -> None:
        print(json.dumps(event), file=Unheard(sys.stderr), flush=True)


@contextmanager
def reporting(kind: str, command: str, parts: Parts | None = None) -> Iterator[Reporter]:
    """The display of a kind of `--progress` for a command.

    If the command has parts, the first Ctrl-C or SIGTERM stops it between two steps.
    """
    reporter = _reporter(kind, command, parts or Parts())
    stops = (signal.SIGINT, signal.SIGTERM) if parts else ()
    earlier = {each: signal.signal(each, reporter.interrupt) for each in stops}
    try:
        yield reporter
    finally:
        for each, handler in earlier.items():
            signal.signal(each, handler)
        reporter.close()


@contextmanager
def running(
    kind: str, command: str, parts: Parts | None = None, log: Sequence[str] = ()
) -> "Iterator[Observer]":
    """The display of a run, and what logs it; an interruption ends with a line on what is left.

    Args:
        kind: of `--progress`.
        command: whose run it is.
        parts: that the display shows.
        log: the tools that the numbers of the run are written for.
    """
    from autospace.api import RunInterrupted
    from autospace.compute.machine import keep_freed_memory
    from autospace.loggers import RunLogger
    from autospace.progress import Together

    keep_freed_memory()
    with reporting(kind, command, parts) as reporter:
        logger = RunLogger(command, log, reporter.message)
        try:
            yield Together(reporter, logger) if log else reporter
            reporter.say_nodes()
        except RunInterrupted as stop:
            reporter.last_word(_interrupted(command, stop, hurried=reporter.hurried))
            raise typer.Exit(INTERRUPTED) from None
        finally:
            logger.close()


def finished(resume: Path | None, result: str) -> bool:
    """Whether a run to be resumed has its result already, so that its numbers were logged."""
    return resume is not None and (resume / result).is_file()


def _interrupted(command: str, stop: "RunInterrupted", *, hurried: bool) -> str:
    run = {"evolve": "run", "train": "training", "compare": "comparison"}.get(command, command)
    if stop.untouched:
        return f"interrupted before the new {run} began; the earlier one is untouched"
    if not stop.resumable:
        return f"interrupted before the {run} began; nothing was written"
    kept = "nothing is lost"
    if command == "compare":
        kept = "finished evaluations are kept"
    elif hurried or command == "search":  # which is stopped within a step
        kept = "it goes on from its last checkpoint"
    return f"interrupted; {kept}: autospace {command} --resume {shlex.quote(str(stop.folder))}"


def _reporter(kind: str, command: str, parts: Parts) -> Reporter:
    if loudness.quiet and kind != "json":
        return Reporter(command, parts)
    if kind == "auto" and sys.stderr.isatty():
        from autospace.cli.progress.live import LiveReporter

        return LiveReporter(command, parts)
    kinds = {"json": JsonReporter, "none": Reporter}
    return kinds.get(kind, PlainReporter)(command, parts)
