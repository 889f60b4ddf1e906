"""What all displays of progress share: the phases of every command, the pace, and Ctrl-C."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Final, Literal

from autospace.cli.output import message
from autospace.cli.progress.parts import Parts

SECONDS_BETWEEN_LINES: Final = 10.0
SECONDS_BETWEEN_EVENTS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Phase:
    """How a phase of a command is shown.

    Attributes:
        title: for people.
        lines: plain lines at both ends and every few seconds between, only every few seconds, or
            never, where the parts of the run have lines of their own.
        left: whether a line shows the time left.
        events: JSON objects about every second, at the end only, or never.
    """

    title: str
    lines: Literal["ends", "seconds", "never"] = "ends"
    left: bool = False
    events: Literal["seconds", "end", "never"] = "end"


_counted = partial(Phase, left=True, events="seconds")
PHASES: Final[Mapping[str, Mapping[str, Phase]]] = {
    "evolve": {
        "data": Phase("reading images"),
        "warm-up": Phase("training the reference"),
        "score": Phase("scoring", lines="never", events="never"),
    },
    "train": {
        "data": Phase("reading images", lines="seconds"),
        "train": Phase("training", lines="seconds", left=True, events="never"),
    },
    "compare": {
        "data": _counted("reading images"),
        "supernet": _counted("training the supernet"),
        "evaluate": _counted("evaluating networks"),
    },
    "search": {
        "data": _counted("reading images"),
        "search": _counted("searching"),
        "finalists": _counted("evaluating the finalists"),
        "interference": _counted("comparing gradients"),
    },
}


class Reporter:
    """Follows a run and shows its messages only; displays of more derive from it."""

    def __init__(self, command: str, parts: Parts) -> None:
        self.phases, self.parts = PHASES[command], parts
        self.stopping = False
        self.started = time.monotonic()
        self.now = ("data", 0, 1)
        self._first = ("", 0, self.started)

    def message(self, text: str) -> None:
        """A remark for the user."""
        message(text)

    def tick(self, phase: str, done: int, total: int) -> None:
        """Work done within a phase.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C.
        """
        if self.stopping:
            raise KeyboardInterrupt
        name, first, _ = self._first
        if phase != name or done < first:
            self._first = (phase, done, time.monotonic())
        self.now = (phase, done, total)
        self.show_tick(self.phases[phase])

    def event(self, event: Any) -> None:
        """A part of the run is complete: what `parts` adds."""
        self.parts.add(event)
        self.show_part(event)

    def seconds_left(self) -> float | None:
        """At the pace since the phase or its parts began here; None before there is a pace."""
        _, done, total = self.now
        _, first, since = self._first
        pace = (time.monotonic() - since) / (done - first) if done > first else None
        return self.parts.seconds_left(None if pace is None else pace * (total - done))

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """First Ctrl-C: stop after this step. Second: stop at once."""
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True
        # The signal may have come in the middle of a write to the same stream.
        with suppress(RuntimeError):
            self.message("stopping after this step; press Ctrl-C again to stop at once")

    def show_tick(self, phase: Phase) -> None:
        """Shows what is done of the phase; nothing here."""

    def show_part(self, event: Any) -> None:
        """Shows a part that is complete; nothing here."""

    def close(self) -> None:
        """Ends the display."""
