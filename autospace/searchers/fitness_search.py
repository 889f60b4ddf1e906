"""Base classes of methods that first train, and then evaluate one architecture after another.

An architecture is evaluated on validation images, with shared weights or after a short training
from scratch. Random search, with weight sharing (Li and Talwalkar, UAI 2019) and without, is the
baseline of all of them.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, Literal, Protocol

from autospace.runs.settings import Section
from autospace.runs.state import State, Stateful
from autospace.searchers.method import Ranked, SearchMethod
from autospace.searchers.problem import SearchProblem
from autospace.searchers.trials import Trials
from autospace.seeds import stream
from autospace.spaces.choices import Choice
from autospace.supernets.path_training import make_path_training
from autospace.supernets.shared_weights import PathEvaluator, PathTraining, SharedWeights

FitnessName = Literal["supernet", "alone"]


class Fitness(Protocol):
    """Validation accuracy of paths, each evaluated once. Implementations are `Stateful`."""

    @property
    def default_evaluations(self) -> int:
        """The number of paths that are evaluated by default."""
        ...

    @property
    def steps(self) -> int:
        """The number of training steps before the first evaluation."""
        ...

    @property
    def known(self) -> Mapping[Choice, float]:
        """The accuracy of every path evaluated so far, in the order of evaluation."""
        ...

    @property
    def supernets(self) -> list[SharedWeights]:
        """The weights that paths share; none if each is trained alone."""
        ...

    def train(self, index: int) -> None:
        """Training step `index`, counted from 0."""
        ...

    def accuracy(self, path: Choice) -> float:
        """Share of the validation images that a path classifies correctly, from 0 to 1."""
        ...

    def state(self) -> State:
        """The evaluations so far, and the state on which later ones depend."""
        ...

    def restore(self, state: State) -> None:
        """Restores this state."""
        ...


class SharedFitness(Stateful):
    """Fitness by the shared weights of a supernet, which is trained first."""

    remembered: ClassVar[tuple[str, ...]] = ("weights", "training", "evaluator")
    default_evaluations = 200

    def __init__(self, problem: SearchProblem) -> None:
        self.weights = SharedWeights(problem)
        self.training: PathTraining = make_path_training(self.weights)
        self.evaluator = PathEvaluator(problem, self.weights.supernet)

    @property
    def steps(self) -> int:
        """The training steps of the weights."""
        return self.weights.problem.supernet.steps

    @property
    def known(self) -> Mapping[Choice, float]:
        """The accuracy of every path evaluated so far, in the order of evaluation."""
        return self.evaluator.known

    @property
    def supernets(self) -> list[SharedWeights]:
        """The only one."""
        return [self.weights]

    def train(self, index: int) -> None:
        """A step of the weights."""
        self.training.step(index)

    def accuracy(self, path: Choice) -> float:
        """Accuracy with the current weights."""
        return self.evaluator.accuracy(path)


class AloneFitness(Trials):
    """Fitness by a short training from scratch for every path, or by a table."""

    steps = 0

    @property
    def default_evaluations(self) -> int:
        """Few if each is trained."""
        return 32 if self._problem.table is None else 200

    @property
    def supernets(self) -> list[SharedWeights]:
        """None."""
        return []

    def train(self, index: int) -> None:
        """Does nothing: there are no shared weights."""


FITNESSES: Final[dict[FitnessName, type[SharedFitness] | type[AloneFitness]]] = {
    "supernet": SharedFitness,
    "alone": AloneFitness,
}


def make_fitness(problem: SearchProblem, name: FitnessName) -> Fitness:
    """The fitness of this name; on a table, that of the table, whatever the name."""
    return FITNESSES["alone" if problem.table is not None else name](problem)


MOST_RANKED = 100


class FitnessSearch(SearchMethod):
    """A search that first trains what the fitness needs, and then evaluates in every step."""

    even = True
    remembered: ClassVar[tuple[str, ...]] = ("fitness",)

    def __init__(self, problem: SearchProblem, options: Section, fitness: Fitness) -> None:
        super().__init__(problem, options)
        self.fitness = fitness

    @property
    def most_evaluations(self) -> int:
        """The number of architectures that may be evaluated; fewer by default if trained alone."""
        return self.problem.config.evaluations or self.fitness.default_evaluations

    @property
    def supernets(self) -> list[SharedWeights]:
        """Those of the fitness."""
        return self.fitness.supernets

    @property
    def search_steps(self) -> int:
        """The number of steps after the training; each evaluates one architecture by default."""
        return self.most_evaluations

    @abstractmethod
    def search(self, index: int) -> None:
        """Search step `index`, counted from 0: evaluates architectures."""

    @property
    def steps(self) -> int:
        """Training steps and search steps."""
        return self.fitness.steps + self.search_steps

    def step(self, index: int) -> None:
        """A training step; a search step after the last of them."""
        if index < self.fitness.steps:
            self.fitness.train(index)
        else:
            self.search(index - self.fitness.steps)

    @property
    def trials(self) -> list[Trials]:
        """The fitness, if it trains every architecture alone."""
        return [self.fitness] if isinstance(self.fitness, Trials) else []

    def ahead(self, coming: Iterator[Choice]) -> None:
        """Lets workers, if there are any, evaluate the architectures that are evaluated next.

        Args:
            coming: exactly those, in their order, as far as they do not depend on a result.
        """
        for trials in self.trials:
            trials.ahead(coming)

    def evaluated(self, path: Choice) -> float:
        """The accuracy of a path; the first time, it is counted and offered as the best."""
        new = path not in self.fitness.known
        accuracy = self.fitness.accuracy(path)
        if new:
            self.evaluations += 1
            self.offer(Ranked(path, accuracy, accuracy))
        return accuracy

    def ranked(self) -> list[Ranked]:
        """All evaluated architectures, the best first; ties go to the one evaluated first."""
        known = self.fitness.known
        return [Ranked(path, known[path], known[path]) for path in self.best(MOST_RANKED)]

    def best(self, count: int) -> list[Choice]:
        """So many of the evaluated paths, the best first; as `ranked`, which stops at some."""
        return sorted(self.fitness.known, key=lambda path: -self.fitness.known[path])[:count]

    def rated(self, paths: Sequence[Choice]) -> list[float]:
        """The fitness of the architectures."""
        return [self.fitness.accuracy(path) for path in paths]


class OneShot(FitnessSearch):
    """Trains the weights of a supernet, then evaluates architectures with them."""

    def __init__(self, problem: SearchProblem, options: Section) -> None:
        super().__init__(problem, options, make_fitness(problem, "supernet"))

    @property
    def weights(self) -> SharedWeights:
        """The weights that all architectures share; a search on a table has none."""
        return self.supernets[0]


class RandomSearch(FitnessSearch):
    """Trains random architectures alone, which is slow; the only bias is the short training."""

    def __init__(self, problem: SearchProblem, options: Section) -> None:
        super().__init__(problem, options, AloneFitness(problem))

    def search(self, index: int) -> None:
        """Trains a random architecture that has not been trained, if there is one left."""
        self.ahead(self._coming(index))
        self.evaluated(next(self._coming(index)))

    def _coming(self, index: int) -> Iterator[Choice]:
        known = set(self.fitness.known)
        for each in range(index, self.search_steps):
            rng = stream(self.problem.seed, "random", each)
            path = self.problem.choices.draw_new(rng, known)
            known.add(path)
            yield path


class RandomWeightSharing(OneShot):
    """Trains a supernet, then evaluates random architectures with its weights."""

    def search(self, index: int) -> None:
        """Evaluates a random architecture."""
        self.evaluated(self.problem.choices.draw(stream(self.problem.seed, "random-ws", index)))
