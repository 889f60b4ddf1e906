"""What a search judges architectures by: shared weights, or short trainings from scratch."""

from collections.abc import Mapping
from typing import Final, Literal, Protocol

from autospace.runs.state import State
from autospace.searchers.trials import Trials
from autospace.spaces.choices import Path
from autospace.supernets.judge import Judge
from autospace.supernets.make import make_path_training
from autospace.supernets.path_training import PathTraining
from autospace.supernets.problem import Problem
from autospace.supernets.shared_weights import SharedWeights

FitnessName = Literal["supernet", "alone"]


class Fitness(Protocol):
    """Validation accuracy of paths; every path is judged once."""

    @property
    def default_evaluations(self) -> int:
        """How many paths are judged unless the user says how many."""
        ...

    @property
    def steps(self) -> int:
        """How many training steps come before the first judgement."""
        ...

    @property
    def known(self) -> Mapping[Path, float]:
        """What has been judged, in that order."""
        ...

    @property
    def supernets(self) -> list[SharedWeights]:
        """The weights that paths share; none if each is trained alone."""
        ...

    def train(self, index: int) -> None:
        """Training step `index`, counted from 0."""
        ...

    def accuracy(self, path: Path) -> float:
        """Share of validation images that a path labels rightly, from 0 to 1."""
        ...

    def state(self) -> State:
        """What later judgements depend on, and those made."""
        ...

    def restore(self, state: State) -> None:
        """Takes up both."""
        ...


class SharedFitness:
    """A supernet, trained as the settings say; then paths of it."""

    default_evaluations = 200

    def __init__(self, problem: Problem) -> None:
        self.weights = SharedWeights(problem)
        self.training: PathTraining = make_path_training(self.weights)
        self.judge = Judge(problem, self.weights.supernet)

    @property
    def steps(self) -> int:
        """Those of the weights."""
        return self.weights.problem.config.supernet.steps

    @property
    def known(self) -> Mapping[Path, float]:
        """What has been judged, in that order."""
        return self.judge.known

    @property
    def supernets(self) -> list[SharedWeights]:
        """The one."""
        return [self.weights]

    def train(self, index: int) -> None:
        """A step of the weights."""
        self.training.step(index)

    def accuracy(self, path: Path) -> float:
        """With the weights as they are."""
        return self.judge.accuracy(path)

    def state(self) -> State:
        """Weights and what has been judged."""
        return (
            self.weights.state()
            .under("weights")
            .joined(self.training.state().under("training"), self.judge.state().under("judge"))
        )

    def restore(self, state: State) -> None:
        """Takes up weights and what has been judged."""
        self.weights.restore(state.part("weights"))
        self.training.restore(state.part("training"))
        self.judge.restore(state.part("judge"))


class AloneFitness(Trials):
    """A short training from scratch for every path: nothing comes before."""

    default_evaluations = 32
    steps = 0

    @property
    def supernets(self) -> list[SharedWeights]:
        """None."""
        return []

    def train(self, index: int) -> None:
        """Nothing to train ahead of the paths."""


FITNESSES: Final[dict[FitnessName, type[SharedFitness] | type[AloneFitness]]] = {
    "supernet": SharedFitness,
    "alone": AloneFitness,
}
