"""What all displays of progress share: the phases of every command, the pace, and Ctrl-C."""

import signal
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final, Literal

from autospace.cli.output import complaint, message
from autospace.cli.progress.parts import Parts
from autospace.progress import Outcome, Planned, duration

SECONDS_BETWEEN_LINES: Final = 10.0
SECONDS_BETWEEN_EVENTS: Final = 1.0
SECONDS_BETWEEN_POINTS: Final = 0.5
RECENT: Final = 60
"""Points of which the pace is the mean: some 30 seconds, or as many long steps."""


@dataclass(frozen=True, slots=True)
class Phase:
    """How a phase of a command is shown.

    Attributes:
        title: for people.
        lines: plain lines at both ends and every few seconds between, only every few seconds, or
            never, where the parts of the run have lines of their own.
        left: whether a line shows the time left.
        events: JSON objects about every second, at the end only, or never.
        last: whether the run ends with it, so that its time left is that of the run.
    """

    title: str
    lines: Literal["ends", "seconds", "never"] = "ends"
    left: bool = False
    events: Literal["seconds", "end", "never"] = "end"
    last: bool = False


_counted = partial(Phase, left=True, events="seconds")
PHASES: Final[Mapping[str, Mapping[str, Phase]]] = {
    "evolve": {
        "data": Phase("reading images"),
        "warm-up": Phase("training the reference"),
        "score": Phase("scoring", lines="never", events="never"),
    },
    "data": {"data": Phase("reading images", lines="seconds")},
    "train": {
        "data": Phase("reading images", lines="seconds"),
        "train": Phase("training", lines="seconds", left=True, events="never", last=True),
    },
    "compare": {
        "data": _counted("reading images"),
        "supernet": _counted("training the supernet"),
        "evaluate": _counted("evaluating networks", last=True),
    },
    "search": {
        "data": _counted("reading images"),
        "search": _counted("searching"),
        "finalists": _counted("evaluating the finalists", last=True),
        "interference": _counted("comparing gradients", last=True),
    },
}


class Reporter:
    """Follows a run and shows its messages only; displays of more derive from it."""

    def __init__(self, command: str, parts: Parts) -> None:
        self.phases, self.parts = PHASES[command], parts
        self.stopping = self.hurried = False
        self.started = time.monotonic()
        self.now = ("data", 0, 1)
        self.done_by: Mapping[str, int] = {}
        self.nodes_shown = ""
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self._phase = ""

    def message(self, text: str) -> None:
        """A remark for the user."""
        message(text)

    def planned(self, plan: Planned) -> None:
        """The plan, line by line."""
        for line in plan.lines:
            self.message(line)

    def last_word(self, text: str) -> None:
        """What is left of a run that was stopped; `--quiet` does not hide it."""
        complaint(text)

    def tick(self, phase: str, done: int, total: int) -> None:
        """Work done within a phase.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C.
        """
        self._check_stop()
        if phase != self._phase or (self._recent and done < self._recent[-1][0]):
            self._phase = phase
            self._recent.clear()
        now = time.monotonic()
        # Many steps of a moment are one point, so that the points span some time.
        if len(self._recent) < 2 or now - self._recent[-1][1] >= SECONDS_BETWEEN_POINTS:
            self._recent.append((done, now))
        self.now = (phase, done, total)
        self.show_tick(self.phases[phase])

    def event(self, event: Any) -> None:
        """A part of the run is complete: what `parts` adds. The summary shows the outcome."""
        if isinstance(event, Outcome):
            return
        self.parts.add(event)
        self.show_part(event)

    def nodes(self, done: Mapping[str, int]) -> None:
        """What each node of a cluster has done; shown with what comes next.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C.
        """
        self._check_stop()
        self.done_by = done

    def nodes_line(self) -> str:
        """The same in words; empty without a cluster."""
        from autospace.compute.machine import listed

        return f"requests done by nodes: {listed(self.done_by)}" if self.done_by else ""

    def say_nodes(self) -> None:
        """Says what every node of a cluster has done, unless it has been said."""
        line = self.nodes_line()
        if line != self.nodes_shown:
            self.message(line)
            self.nodes_shown = line

    def seconds_left(self) -> float | None:
        """At the recent pace, because steps of a search differ; None before there is a pace."""
        _, done, total = self.now
        first, since = self._recent[0] if self._recent else (done, self.started)
        pace = (time.monotonic() - since) / (done - first) if done > first else None
        return self.parts.seconds_left(None if pace is None else pace * (total - done))

    def left(self) -> str:
        """The time left in words: of the whole run, or what is known of it so far."""
        seconds = self.seconds_left()
        if seconds is None:
            return "... left"
        whole = self.phases[self.now[0]].last or self.parts.whole
        return f"{'' if whole else 'at least '}{duration(seconds)} left"

    def interrupt(self, number: int, _frame: FrameType | None) -> None:
        """First Ctrl-C or SIGTERM: stop after this step. A Ctrl-C after that: stop at once.

        SIGTERM may come twice, from a scheduler and from the process that it has stopped, too.
        """
        if self.stopping:
            if number == signal.SIGINT:
                self.hurried = True
                raise KeyboardInterrupt
            return
        self.stopping = True
        again = "; press Ctrl-C again to stop at once" if number == signal.SIGINT else ""
        # The signal may have come in the middle of a write to the same stream.
        with suppress(RuntimeError):
            self.message(f"stopping after this step{again}")

    def _check_stop(self) -> None:
        if self.stopping:
            raise KeyboardInterrupt

    def show_tick(self, phase: Phase) -> None:
        """Shows what is done of the phase; nothing here."""

    def show_part(self, event: Any) -> None:
        """Shows a part that is complete; nothing here."""

    def close(self) -> None:
        """Ends the display."""
