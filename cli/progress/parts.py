"""The parts of a run that are shown one by one: rounds of `evolve` and epochs of `train`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autospace.progress import duration

if TYPE_CHECKING:
    from autospace.evolution.learn import RoundEvent
    from autospace.training.life import EpochEvent


class Parts:
    """The parts that are complete; a command without parts has this class itself.

    Attributes:
        legend: what the numbers of a line are, in less than 80 columns; said before the first one.
        whole: whether `seconds_left` is about the whole run, whatever its phase.
    """

    legend = ""
    whole = False

    def add(self, event: Any) -> None:
        """Adds a part."""

    def line(self, event: Any, left: float | None) -> str:
        """A part in less than 80 columns; empty if it is not shown.

        Args:
            event: what the run reported of it.
            left: seconds until the end of the run; None if unknown.
        """
        return ""

    def record(self, event: Any, left: float | None) -> dict[str, Any]:
        """A part as plain values; see `line`."""
        return {}

    def seconds_left(self, in_phase: float | None) -> float | None:
        """Of the whole run, if the parts show it, else of the phase.

        Args:
            in_phase: seconds left of the present phase; None if unknown.
        """
        return in_phase

    def headline(self, share: float) -> tuple[str, float] | None:
        """The part in progress, and the share of the run that is done; None before the first part.

        Args:
            share: of the present phase, from 0 to 1.
        """
        return None


class Rounds(Parts):
    """The rounds of `evolve` since it began or was resumed.

    Attributes:
        seconds: of each round.
        cells: scored in them.
        last: the latest one.
    """

    legend = "best, mean: fitness averaged over layers; feasible: share of drawn cells"

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.cells = 0
        self.last: RoundEvent | None = None

    def add(self, event: "RoundEvent") -> None:
        """Adds a round."""
        self.seconds.append(event.seconds)
        self.cells += sum(layer.scored for layer in event.state.history[-1].layers)
        self.last = event
        self.whole = True

    def line(self, event: "RoundEvent", left: float | None) -> str:
        """Best and mean fitness, and the share of cells within the budget."""
        record = event.state.history[-1]
        return (
            f"round {event.state.round:>3}/{event.plan.rounds} {record.phase:<7} "
            f"best {record.best:+.4f}  mean {record.mean:+.4f}  "
            f"feasible {record.drawn.feasible_rate:4.0%}  {_times(event.seconds, left)}"
        )

    def record(self, event: "RoundEvent", left: float | None) -> dict[str, Any]:
        """The values of `line`."""
        record = event.state.history[-1]
        return {
            "event": "round",
            "round": event.state.round,
            "rounds": event.plan.rounds,
            "phase": record.phase,
            "best": record.best,
            "mean": record.mean,
            "feasible_rate": record.drawn.feasible_rate,
            **_as_record(event.seconds, left),
        }

    def seconds_left(self, in_phase: float | None) -> float | None:
        """The mean time of the rounds so far, times the rounds to come."""
        if self.last is None:
            return in_phase
        to_come = self.last.plan.rounds - self.last.state.round
        return to_come * sum(self.seconds) / len(self.seconds)

    def headline(self, share: float) -> tuple[str, float] | None:
        """The round in progress."""
        if self.last is None:
            return None
        done, rounds = self.last.state.round, self.last.plan.rounds
        return f"round {min(done + 1, rounds)} of {rounds}", (done + share) / rounds


class Epochs(Parts):
    """The epochs of `train`."""

    def __init__(self) -> None:
        self.all: list[EpochEvent] = []

    def add(self, event: "EpochEvent") -> None:
        """Adds an epoch."""
        self.all.append(event)

    def line(self, event: "EpochEvent", left: float | None) -> str:
        """The loss, and the accuracy on validation images if there are any."""
        epoch = event.epoch
        parts = [f"epoch {epoch.epoch:>3}/{event.epochs}  loss {epoch.train_loss:.4f}"]
        if event.measured:
            parts.append(event.measured)
        return "  ".join([*parts, _times(event.seconds, left)])

    def record(self, event: "EpochEvent", left: float | None) -> dict[str, Any]:
        """All that is known of the epoch."""
        times = _as_record(event.seconds, left)
        return {"event": "epoch", "epochs": event.epochs, **asdict(event.epoch), **times}

    def headline(self, share: float) -> tuple[str, float] | None:
        """The epoch in progress; the phase is the whole training."""
        if not self.all:
            return None
        last = self.all[-1]
        return f"epoch {min(last.epoch.epoch + 1, last.epochs)} of {last.epochs}", share


def _times(seconds: float, left: float | None) -> str:
    return f"{seconds:.1f} s" + ("" if left is None else f", {duration(left)} left")


def _as_record(seconds: float, left: float | None) -> dict[str, float]:
    known = {} if left is None else {"seconds_left": round(left, 1)}
    return {"seconds": round(seconds, 3), **known}
