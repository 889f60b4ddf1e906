"""How long work reports its progress: one observer for runs, one tick for the parts of a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Tick = Callable[[int, int], None]
"""Called with the work done and the total; may raise to stop the work."""
Message = Callable[[str], None]
"""Called with a remark for the user; may raise to stop the work."""


def no_tick(done: int, total: int) -> None:
    """Reports to nobody."""


def no_message(text: str) -> None:
    """Reports to nobody."""


def duration(seconds: float) -> str:
    """Seconds as a person writes them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


@dataclass(frozen=True)
class Event:
    """A part of a run that is complete and saved; each kind of run has its own.

    Attributes:
        seconds: that the part took.
    """

    seconds: float

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return Path()

    @property
    def step(self) -> int:
        """The number of the part, from 1."""
        return 0

    def numbers(self) -> Mapping[str, float]:
        """What the part measured, by names that a plot can have; empty if it measured nothing."""
        return {}


@dataclass(frozen=True)
class Outcome(Event):
    """What a whole run measured, for tools that log it; observers of parts do not receive it.

    Attributes:
        folder: of the run.
        last: the number of the last part.
        values: by name.
    """

    folder: Path
    last: int
    values: Mapping[str, float]

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder

    @property
    def step(self) -> int:
        """The number of the last part."""
        return self.last

    def numbers(self) -> Mapping[str, float]:
        """The values."""
        return self.values


@dataclass(frozen=True)
class Planned:
    """What a run that begins will do, before its long work.

    Attributes:
        lines: for a person, each of at most 80 columns.
        record: the same for a program, as values that JSON can hold.
    """

    lines: tuple[str, ...]
    record: Mapping[str, Any]


class Observer(Protocol):
    """Receives the reports of a run. Any method may raise to stop the run."""

    def message(self, text: str) -> None:
        """A remark for the user."""
        ...

    def planned(self, plan: Planned) -> None:
        """What will be done, once it is known, in a run that begins."""
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
        """A part is complete: a round of `evolve`, an epoch of `train`, a new best of `search`."""
        ...

    def nodes(self, done: Mapping[str, int]) -> None:
        """How many requests each node of a cluster has done so far, by its name.

        Called when it changes, and about once a second while nodes are waited for, so that a run
        can be stopped within a long request. Never called without a cluster.
        """
        ...


class Silent:
    """An observer that ignores everything; others derive from it and define what they need."""

    def message(self, text: str) -> None:
        """Ignores the remark."""

    def planned(self, plan: Planned) -> None:
        """Passes the plan on as remarks."""
        for line in plan.lines:
            self.message(line)

    def tick(self, phase: str, done: int, total: int) -> None:
        """Ignores the progress."""

    def event(self, event: Event) -> None:
        """Ignores the event."""

    def nodes(self, done: Mapping[str, int]) -> None:
        """Ignores the nodes."""


class Together:
    """An observer that passes everything on to others, in their order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def message(self, text: str) -> None:
        """A remark for all."""
        for each in self._observers:
            each.message(text)

    def planned(self, plan: Planned) -> None:
        """The plan for all."""
        for each in self._observers:
            each.planned(plan)

    def tick(self, phase: str, done: int, total: int) -> None:
        """Progress for all."""
        for each in self._observers:
            each.tick(phase, done, total)

    def event(self, event: Event) -> None:
        """A part for all."""
        for each in self._observers:
            each.event(event)

    def nodes(self, done: Mapping[str, int]) -> None:
        """What nodes have done, for all."""
        for each in self._observers:
            each.nodes(done)


class OfNodes(Together):
    """An observer that hears before every tick and part what nodes have done, if that has changed.

    Args:
        observer: receives everything.
        done: how many requests each node has done so far; empty without a cluster.
    """

    def __init__(self, observer: Observer, done: Callable[[], Mapping[str, int]]) -> None:
        super().__init__(observer)
        self._done, self._told = done, dict[str, int]()

    def tick(self, phase: str, done: int, total: int) -> None:
        """Nodes, then progress."""
        self._tell()
        super().tick(phase, done, total)

    def event(self, event: Event) -> None:
        """Nodes, then a part."""
        self._tell()
        super().event(event)

    def _tell(self) -> None:
        now = dict(self._done())
        if now != self._told:
            self._told = now
            self.nodes(now)
