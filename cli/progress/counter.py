"""How far a command is that does many things of one kind: a bar on a terminal, lines in a pipe."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autospace.cli.output import message
from autospace.cli.progress.reporters import SECONDS_BETWEEN_LINES, duration
from autospace.spaces.text import visible

PHASES = {
    "data": "reading images",
    "supernet": "training the supernet",
    "evaluate": "evaluating networks",
    "search": "searching",
    "finalists": "training the finalists",
    "interference": "comparing gradients",
}
SECONDS_BETWEEN_EVENTS = 1.0


class Counter:
    """Keeps count, and says nothing but messages."""

    def __init__(self) -> None:
        self._phase = ""
        self._first = (0, time.monotonic())

    def say(self, text: str) -> None:
        """A remark for the user."""
        message(text)

    def tick(self, phase: str, done: int, total: int) -> None:
        """So much of a phase is done."""
        if phase != self._phase:
            self._phase, self._first = phase, (done, time.monotonic())
        self.show(phase, done, total)

    def seconds_left(self, done: int, total: int) -> float | None:
        """At the pace since the phase began here; None before there is a pace."""
        first, since = self._first
        if done <= first:
            return None
        return (time.monotonic() - since) / (done - first) * (total - done)

    def show(self, phase: str, done: int, total: int) -> None:
        """Shows the count; silent here."""

    def close(self) -> None:
        """Ends the display."""


class PlainCounter(Counter):
    """A line at the start and the end of a phase, and every few seconds between."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ("", 0, 0.0)

    def show(self, phase: str, done: int, total: int) -> None:
        """A line, unless the last one is too fresh."""
        now = time.monotonic()
        name, total_then, since = self._last
        fresh = name == phase and now - since < SECONDS_BETWEEN_LINES
        if fresh and (done < total or total == total_then == done):
            return
        left = self.seconds_left(done, total)
        told = "" if left is None or done == total else f", {duration(left)} left"
        message(f"{PHASES[phase]}: {done:,} of {total:,}{told}")
        self._last = (phase, total if done == total else 0, now)


class JsonCounter(Counter):
    """A JSON object per event, one a line, about one a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ("", 0.0)

    def say(self, text: str) -> None:
        """A remark for the user."""
        self._emit({"event": "message", "text": text})

    def show(self, phase: str, done: int, total: int) -> None:
        """The count, and the seconds left where there is a pace."""
        now = time.monotonic()
        if done < total and self._last[0] == phase and now - self._last[1] < SECONDS_BETWEEN_EVENTS:
            return
        self._last = (phase, now)
        left = self.seconds_left(done, total)
        pace = {} if left is None else {"seconds_left": round(left, 1)}
        self._emit({"event": phase, "done": done, "total": total, **pace})

    def _emit(self, event: dict[str, Any]) -> None:
        print(json.dumps(event), file=sys.stderr, flush=True)


class LiveCounter(Counter):
    """A bar with the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        super().__init__()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(stderr=True, highlight=False, markup=False),
        )
        self._task = self._progress.add_task("", total=None, left="", visible=False)
        self._progress.start()

    def say(self, text: str) -> None:
        """A remark for the user, above the bar."""
        self._progress.console.print(visible(text))

    def show(self, phase: str, done: int, total: int) -> None:
        """Moves the bar."""
        left = self.seconds_left(done, total)
        self._progress.update(
            self._task,
            description=PHASES[phase],
            completed=done,
            total=total,
            left="" if left is None else f"{duration(left)} left",
            visible=True,
        )

    def close(self) -> None:
        """Leaves the bar as it is."""
        self._progress.stop()


@contextmanager
def counting(kind: str) -> Iterator[Counter]:
    """The counter of a kind of `--progress`."""
    if kind == "auto":
        kind = "live" if sys.stderr.isatty() else "plain"
    kinds = {"live": LiveCounter, "plain": PlainCounter, "json": JsonCounter, "none": Counter}
    counter = kinds[kind]()
    try:
        yield counter
    finally:
        counter.close()
