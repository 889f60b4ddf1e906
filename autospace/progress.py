"""How long work reports its progress: one observer for runs, one tick for the parts of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

Tick = Callable[[int, int], None]
"""Called with the work done and the total; may raise to stop the work."""
Message = Callable[[str], None]
"""Called with a remark for the user; may raise to stop the work."""


def no_tick(done: int, total: int) -> None:
    """Reports to nobody."""


def no_message(text: str) -> None:
    """Reports to nobody."""


@dataclass(frozen=True)
class Event:
    """A part of a run that is complete and saved; each kind of run has its own.

    Attributes:
        seconds: that the part took.
    """

    seconds: float


class Observer(Protocol):
    """Receives the reports of a run. Any method may raise to stop the run."""

    def message(self, text: str) -> None:
        """A remark for the user."""
        ...

    def tick(self, phase: str, done: int, total: int) -> None:
        """Work done within a phase.

        Args:
            phase: `data` in every run; `warm-up` and `score` in `evolve`; `train` in `train`;
                `supernet` and `evaluate` in `compare`; `search`, `finalists` and `interference`
                in `search`.
            done: units of work.
            total: units of work in the whole phase.
        """
        ...

    def event(self, event: Event) -> None:
        """A part of the run is complete: a round of `evolve`, an epoch of `train`."""
        ...


class Silent:
    """An observer that ignores everything; others derive from it and define what they need."""

    def message(self, text: str) -> None:
        """Ignores the remark."""

    def tick(self, phase: str, done: int, total: int) -> None:
        """Ignores the progress."""

    def event(self, event: Event) -> None:
        """Ignores the event."""
