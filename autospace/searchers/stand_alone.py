"""Searches that train every architecture from scratch: slow, and biased by nothing but brevity."""

from abc import abstractmethod
from typing import ClassVar

from autospace.searchers.choices import Path
from autospace.searchers.method import Method, Ranked
from autospace.searchers.problem import Problem
from autospace.searchers.settings import Section
from autospace.searchers.state import State
from autospace.searchers.trials import Trials
from autospace.streams import stream


class StandAlone(Method):
    """One architecture a step, trained alone."""

    default_evaluations: ClassVar[int] = 32

    def __init__(self, problem: Problem, options: Section) -> None:
        super().__init__(problem, options)
        self.trials = Trials(problem)
        self.history: list[Path] = []

    @abstractmethod
    def propose(self, index: int) -> Path:
        """The architecture to train next."""

    @property
    def steps(self) -> int:
        """One architecture a step."""
        return self.most_evaluations

    def step(self, index: int) -> None:
        """Trains the next architecture."""
        path = self.propose(index)
        new = path not in self.trials.known
        accuracy = self.trials.accuracy(path)
        self.history.append(path)
        self.evaluations += new
        self.offer(Ranked(path, accuracy, accuracy))

    def ranked(self) -> list[Ranked]:
        """All that was trained, best first."""
        known = sorted(self.trials.known.items(), key=lambda item: -item[1])
        return [Ranked(path, value, value) for path, value in known]

    def state(self) -> State:
        """What has been trained, in which order."""
        plain = {"history": [list(path) for path in self.history], "evaluations": self.evaluations}
        return State(plain=plain).joined(self.trials.state().under("trials"))

    def restore(self, state: State) -> None:
        """Takes up what has been trained."""
        self.history = [tuple(path) for path in state.plain["history"]]
        self.evaluations = state.plain["evaluations"]
        self.trials.restore(state.part("trials"))
        for path in self.history:
            self.offer(Ranked(path, self.trials.known[path], self.trials.known[path]))


class RandomSearch(StandAlone):
    """Random architectures, trained alone; the best is kept."""

    def propose(self, index: int) -> Path:
        """A random architecture that has not been trained, if there is one left."""
        rng = stream(self.problem.seed, "random", index)
        return self.problem.choices.draw_new(rng, self.trials.known)
