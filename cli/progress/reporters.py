"""How a run is shown while it goes on: live on a terminal, as lines in a pipe."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from autospace.cli.output import InputError, message

if TYPE_CHECKING:
    from autospace.evolution.plan import Plan
    from autospace.evolution.population import EvolutionState

KINDS = ("auto", "plain", "json", "none")
PHASES = {"data": "reading images", "warm-up": "training the reference", "score": "scoring"}
SECONDS_BETWEEN_LINES = 10.0


def check_progress(kind: str) -> None:
    """Refuses an unknown kind before anything is started.

    Raises:
        InputError: not one of `KINDS`.
    """
    if kind not in KINDS:
        raise InputError(f"--progress {kind[:40]!r}: allowed: {', '.join(KINDS)}")


class Reporter:
    """Counts rounds and seconds, and stops the run when the user asks for it."""

    def __init__(self) -> None:
        self.stopping = False
        self.started = time.monotonic()
        self.rounds: list[float] = []

    def say(self, text: str) -> None:
        """A remark for the user."""
        message(text)

    def tick(self, phase: str, done: int, total: int) -> None:
        """Work done within a phase.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C.
        """
        if self.stopping:
            raise KeyboardInterrupt
        self.show_tick(phase, done, total)

    def round(self, plan: "Plan", state: "EvolutionState", seconds: float) -> None:
        """A round is done and saved."""
        self.rounds.append(seconds)
        self.show_round(plan, state, seconds)

    def seconds_left(self, plan: "Plan", state: "EvolutionState") -> float:
        """Mean time of the rounds so far, times those to come."""
        return (plan.rounds - state.round) * sum(self.rounds) / max(1, len(self.rounds))

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """First Ctrl-C: stop after this step. Second: stop at once."""
        if self.stopping:
            raise KeyboardInterrupt
        self.stopping = True
        # The signal may have come in the middle of a write to the same stream.
        with suppress(RuntimeError):
            self.say("stopping after this step; press Ctrl-C again to stop at once")

    def show_tick(self, phase: str, done: int, total: int) -> None:
        """Shows progress within a phase; silent here."""

    def show_round(self, plan: "Plan", state: "EvolutionState", seconds: float) -> None:
        """Shows a round; silent here."""

    def close(self) -> None:
        """Ends the display."""


AnyReporter = TypeVar("AnyReporter", bound=Reporter)


class PlainReporter(Reporter):
    """A line every round, and every few seconds of a long phase."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ("", 0.0)

    def show_tick(self, phase: str, done: int, total: int) -> None:
        """A line at the start and the end of a phase, and now and then between."""
        if phase == "score" or not done:
            return
        now = time.monotonic()
        if phase != self._last[0] or done >= total or now - self._last[1] > SECONDS_BETWEEN_LINES:
            message(f"{PHASES[phase]}: {done:,} of {total:,}")
            self._last = (phase, now)

    def show_round(self, plan: "Plan", state: "EvolutionState", seconds: float) -> None:
        """One line for the round."""
        message(round_line(plan, state, seconds, self.seconds_left(plan, state)))


class JsonReporter(Reporter):
    """A JSON object per event, one a line."""

    def say(self, text: str) -> None:
        """A remark for the user."""
        self._emit({"event": "message", "text": text})

    def show_tick(self, phase: str, done: int, total: int) -> None:
        """Only the end of a phase: scoring ticks thousands of times."""
        if phase != "score" and done >= total:
            self._emit({"event": phase, "done": done, "total": total})

    def show_round(self, plan: "Plan", state: "EvolutionState", seconds: float) -> None:
        """The round's record."""
        record = state.history[-1]
        self._emit(
            {
                "event": "round",
                "round": state.round,
                "rounds": plan.rounds,
                "phase": record.phase,
                "best": record.best,
                "mean": record.mean,
                "feasible_rate": feasible_rate(state),
                "seconds": round(seconds, 3),
                "seconds_left": round(self.seconds_left(plan, state), 1),
            }
        )

    def _emit(self, event: dict[str, Any]) -> None:
        print(json.dumps(event), file=sys.stderr, flush=True)


@contextmanager
def reporting(kind: str, run: Path) -> Iterator[Reporter]:
    """The reporter of a kind; while it is in use, Ctrl-C stops the run between two steps."""
    with interruptible(_reporter(kind, run)) as reporter:
        yield reporter


@contextmanager
def interruptible(reporter: AnyReporter) -> Iterator[AnyReporter]:
    """Lets Ctrl-C stop the run between two steps, and closes the reporter at the end."""
    earlier = signal.signal(signal.SIGINT, reporter.interrupt)
    try:
        yield reporter
    finally:
        signal.signal(signal.SIGINT, earlier)
        reporter.close()


def round_line(plan: "Plan", state: "EvolutionState", seconds: float, left: float) -> str:
    """What a round did, in less than 80 columns."""
    record = state.history[-1]
    return (
        f"round {state.round:>3}/{plan.rounds} {record.phase:<7} "
        f"best {record.best:+.4f}  mean {record.mean:+.4f}  "
        f"feasible {feasible_rate(state):4.0%}  {seconds:.1f} s, {duration(left)} left"
    )


def feasible_rate(state: "EvolutionState") -> float:
    """Share of the cells drawn in the last round that were within the budget."""
    return state.history[-1].drawn.feasible_rate


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _reporter(kind: str, run: Path) -> Reporter:
    if kind == "auto" and sys.stderr.isatty():
        from autospace.cli.progress.live import LiveReporter

        return LiveReporter(run)
    return {"json": JsonReporter, "none": Reporter}.get(kind, PlainReporter)()
