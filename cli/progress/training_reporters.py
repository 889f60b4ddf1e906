"""How a training is shown while it goes on: live on a terminal, as lines in a pipe."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospace.cli.output import message
from autospace.cli.progress.reporters import (
    SECONDS_BETWEEN_LINES,
    JsonReporter,
    Reporter,
    duration,
    interruptible,
)

if TYPE_CHECKING:
    from autospace.cli.progress.tensorboard import Board
    from autospace.training.session import Epoch

PHASES = {"data": "reading images", "train": "training"}


class TrainingReporter(Reporter):
    """Keeps count of steps, so that the time left is known; shows nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.board: Board | None = None
        self._first: tuple[int, float] | None = None
        self._steps = (0, 1)

    def tick(self, phase: str, done: int, total: int) -> None:
        """Work done within a phase.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl-C.
        """
        if phase == "train":
            self._first = self._first or (done, time.monotonic())
            self._steps = (done, total)
        super().tick(phase, done, total)

    def epoch(self, epoch: "Epoch", epochs: int, seconds: float) -> None:
        """An epoch is over."""
        self.show_epoch(epoch, epochs, seconds)
        if self.board is not None:
            self.board.epoch(epoch)

    @property
    def time_left(self) -> float | None:
        """Seconds, at the mean speed since the start; None before there is one."""
        done, total = self._steps
        if self._first is None or done <= self._first[0]:
            return None
        first, started = self._first
        return (total - done) * (time.monotonic() - started) / (done - first)

    def show_epoch(self, epoch: "Epoch", epochs: int, seconds: float) -> None:
        """Shows an epoch; silent here."""

    def close(self) -> None:
        """Ends the display and the curves."""
        if self.board is not None:
            self.board.close()


class PlainTrainingReporter(TrainingReporter):
    """A line every epoch, and every few seconds of a long one."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0.0

    def show_tick(self, phase: str, done: int, total: int) -> None:
        """A line now and then, so that nobody thinks that nothing happens."""
        now = time.monotonic()
        if self._last and now - self._last > SECONDS_BETWEEN_LINES:
            left = f", {duration(self.time_left)} left" if self.time_left else ""
            message(f"{PHASES[phase]}: {done:,} of {total:,}{left if phase == 'train' else ''}")
            self._last = now
        self._last = self._last or now

    def show_epoch(self, epoch: "Epoch", epochs: int, seconds: float) -> None:
        """One line for the epoch."""
        message(epoch_line(epoch, epochs, seconds, self.time_left))
        self._last = time.monotonic()


class JsonTrainingReporter(TrainingReporter, JsonReporter):
    """A JSON object per event, one a line."""

    def show_tick(self, phase: str, done: int, total: int) -> None:
        """Only the end of reading: training ticks every step."""
        if phase != "train" and done >= total:
            self._emit({"event": phase, "done": done, "total": total})

    def show_epoch(self, epoch: "Epoch", epochs: int, seconds: float) -> None:
        """The epoch's record."""
        record: dict[str, Any] = {"event": "epoch", "epochs": epochs, **asdict(epoch)}
        record["seconds"] = round(seconds, 3)
        record["seconds_left"] = round(self.time_left or 0.0, 1)
        self._emit(record)


@contextmanager
def reporting(kind: str, run: Path, *, board: bool) -> Iterator[TrainingReporter]:
    """The reporter of a kind; while it is in use, Ctrl-C stops the training between two steps."""
    with interruptible(_reporter(kind)) as reporter:
        if board:
            from autospace.cli.progress.tensorboard import Board
            from autospace.training.folder import BOARD

            reporter.board = Board(run / BOARD)
        yield reporter


def epoch_line(epoch: "Epoch", epochs: int, seconds: float, left: float | None) -> str:
    """What an epoch did, in less than 80 columns."""
    parts = [f"epoch {epoch.epoch:>3}/{epochs}  loss {epoch.train_loss:.4f}"]
    if epoch.validation_accuracy is not None:
        parts.append(f"validation {epoch.validation_accuracy:.2%}")
    parts.append(f"{seconds:.1f} s, {duration(left or 0.0)} left")
    return "  ".join(parts)


def _reporter(kind: str) -> TrainingReporter:
    if kind == "auto" and sys.stderr.isatty():
        from autospace.cli.progress.training_live import LiveTrainingReporter

        return LiveTrainingReporter()
    kinds = {"json": JsonTrainingReporter, "none": TrainingReporter}
    return kinds.get(kind, PlainTrainingReporter)()
