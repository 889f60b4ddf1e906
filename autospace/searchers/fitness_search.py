"""What methods share that judge one architecture after another: training steps, then judgements."""

from abc import abstractmethod
from collections.abc import Sequence

from autospace.runs.state import State
from autospace.searchers.fitness import Fitness
from autospace.searchers.method import Method, Ranked
from autospace.searchers.settings import Section
from autospace.spaces.choices import Path
from autospace.supernets.problem import Problem
from autospace.supernets.shared_weights import SharedWeights

MOST_RANKED = 100


class FitnessSearch(Method):
    """Whatever the fitness needs is trained first, then each further step judges architectures."""

    def __init__(self, problem: Problem, options: Section, fitness: Fitness) -> None:
        super().__init__(problem, options)
        self.fitness = fitness

    @property
    def most_evaluations(self) -> int:
        """How many architectures may be judged; by default few where each is trained alone."""
        return self.problem.config.evaluations or self.fitness.default_evaluations

    @property
    def supernets(self) -> list[SharedWeights]:
        """Those of the fitness."""
        return self.fitness.supernets

    @property
    def search_steps(self) -> int:
        """How many steps follow the training; one architecture each unless a method says else."""
        return self.most_evaluations

    @abstractmethod
    def search(self, index: int) -> None:
        """Search step `index`, counted from 0: judges architectures."""

    @property
    def steps(self) -> int:
        """Training steps and search steps."""
        return self.fitness.steps + self.search_steps

    def step(self, index: int) -> None:
        """A training step, or after the last of them a search step."""
        if index < self.fitness.steps:
            self.fitness.train(index)
        else:
            self.search(index - self.fitness.steps)

    def judged(self, path: Path) -> float:
        """Accuracy of a path; counted and offered once."""
        new = path not in self.fitness.known
        accuracy = self.fitness.accuracy(path)
        if new:
            self.evaluations += 1
            self.offer(Ranked(path, accuracy, accuracy))
        return accuracy

    def ranked(self) -> list[Ranked]:
        """All that was judged, best first; of equals, the one judged first."""
        known = sorted(self.fitness.known.items(), key=lambda item: -item[1])
        return [Ranked(path, value, value) for path, value in known[:MOST_RANKED]]

    def rated(self, paths: Sequence[Path]) -> list[float]:
        """By the fitness that the search went by."""
        return [self.fitness.accuracy(path) for path in paths]

    def state(self) -> State:
        """The fitness, and the best so far."""
        plain = {
            "evaluations": self.evaluations,
            "incumbent": self.incumbent_out(),
        }
        return State(plain=plain).joined(self.fitness.state().under("fitness"))

    def restore(self, state: State) -> None:
        """Takes up the fitness, and the best so far."""
        self.evaluations = state.plain["evaluations"]
        self.incumbent_in(state.plain["incumbent"])
        self.fitness.restore(state.part("fitness"))
