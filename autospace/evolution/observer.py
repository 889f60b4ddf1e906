"""Who is told how a run goes on."""

from typing import Protocol

from autospace.evolution.plan import Plan
from autospace.evolution.population import EvolutionState


class Observer(Protocol):
    """Who is told how a run goes on. Any method may raise to stop the run."""

    def say(self, message: str) -> None:
        """A remark for the user."""
        ...

    def tick(self, phase: str, done: int, total: int) -> None:
        """Work done within a phase: `data`, `warm-up` or `score`."""
        ...

    def round(self, plan: Plan, state: EvolutionState, seconds: float) -> None:
        """A round is done and saved."""
        ...
