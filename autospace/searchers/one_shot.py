"""What methods share that train one supernet and then judge paths of it: two phases of steps."""

from abc import abstractmethod

from autospace.searchers.choices import Path
from autospace.searchers.judging import Judge
from autospace.searchers.method import Method, Ranked
from autospace.searchers.path_training import PathTraining
from autospace.searchers.path_trainings import make_path_training
from autospace.searchers.problem import Problem
from autospace.searchers.settings import Section
from autospace.searchers.shared_weights import SharedWeights
from autospace.searchers.state import State

MOST_RANKED = 100


class OneShot(Method):
    """First the weights are trained, then each further step judges architectures with them."""

    def __init__(self, problem: Problem, options: Section) -> None:
        super().__init__(problem, options)
        self.weights = SharedWeights(problem)
        self.training: PathTraining = make_path_training(self.weights)
        self.judge = Judge(problem, self.weights.supernet)

    @property
    @abstractmethod
    def search_steps(self) -> int:
        """How many steps follow the training of the weights."""

    @abstractmethod
    def search(self, index: int) -> None:
        """Search step `index`, counted from 0: judges architectures."""

    @property
    def steps(self) -> int:
        """Training steps and search steps."""
        return self.problem.config.supernet.steps + self.search_steps

    def step(self, index: int) -> None:
        """A training step, or after the last of them a search step."""
        trained = self.problem.config.supernet.steps
        if index < trained:
            self.training.step(index)
        else:
            self.search(index - trained)

    def judged(self, path: Path) -> float:
        """Accuracy of a path with shared weights; counted and offered once."""
        new = path not in self.judge.known
        accuracy = self.judge.accuracy(path)
        if new:
            self.evaluations += 1
            self.offer(Ranked(path, accuracy, accuracy))
        return accuracy

    def ranked(self) -> list[Ranked]:
        """All that was judged, best first; of equals, the one judged first."""
        known = sorted(self.judge.known.items(), key=lambda item: -item[1])
        return [Ranked(path, value, value) for path, value in known[:MOST_RANKED]]

    def state(self) -> State:
        """Weights and what has been judged."""
        incumbent = self.incumbent
        plain = {
            "evaluations": self.evaluations,
            "incumbent": None if incumbent is None else [list(incumbent.path), incumbent.score],
        }
        return State(plain=plain).joined(
            self.weights.state().under("weights"),
            self.training.state().under("training"),
            self.judge.state().under("judge"),
        )

    def restore(self, state: State) -> None:
        """Takes up weights and what has been judged."""
        self.evaluations = state.plain["evaluations"]
        found = state.plain["incumbent"]
        self.incumbent = None if found is None else Ranked(tuple(found[0]), found[1], found[1])
        self.weights.restore(state.part("weights"))
        self.training.restore(state.part("training"))
        self.judge.restore(state.part("judge"))
