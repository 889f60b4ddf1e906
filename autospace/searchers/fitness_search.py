"""Base classes of methods that first train, and then evaluate one architecture after another.

An architecture is evaluated on validation images, with shared weights or after a short training
from scratch. Random search, with weight sharing (Li and Talwalkar, UAI 2019) and without, is the
baseline of all of them.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import ClassVar, Final, Literal, Protocol

import torch

from autospace.compute.device import described_use, resolve_devices
from autospace.compute.executor import Executor, open_pool, stays_here
from autospace.compute.machine import cores
from autospace.compute.pool import POOL, Pool
from autospace.evaluators.evaluate import EvaluationJob, pooled
from autospace.evaluators.evaluator import (
    Evaluation,
    EvaluationError,
    EvaluationRequest,
    Evaluator,
    EvaluatorConfig,
)
from autospace.evaluators.make import Setup
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.evaluators.tabular import TableEvaluator
from autospace.networks.rounding import rounding
from autospace.progress import Observer
from autospace.runs.settings import Section
from autospace.runs.state import State, Stateful
from autospace.searchers.folder import SearchFolder
from autospace.searchers.method import Ranked, SearchMethod, SearchProblem
from autospace.seeds import derived_seed, stream
from autospace.spaces.choices import Choice
from autospace.spaces.errors import SpaceError
from autospace.supernets.path_training import make_path_training
from autospace.supernets.shared_weights import PathEvaluator, PathTraining, SharedWeights


def recipe_of(problem: SearchProblem) -> EvaluatorConfig:
    """How a search trains an architecture alone."""
    trial = problem.config.trial
    return EvaluatorConfig(
        split="validation",
        steps=trial.steps,
        batch=trial.batch,
        learning_rate=trial.learning_rate,
        precision=problem.config.evaluator.precision,
    )


def evaluator_of(problem: SearchProblem) -> Evaluator:
    """Looks architectures up in the problem's table, or trains each alone for a short time."""
    if problem.table is not None:
        return TableEvaluator(problem.table)
    return StandAloneEvaluator(problem.data, recipe_of(problem))


class Trials(Stateful):
    """Evaluates each path once, with the same recipe and seed for all, and keeps the results.

    In a table, equal seeds are one column of scores, which is as noisy as one training. Workers
    only do sooner what the search would ask for next: order, results and files stay the same.

    Attributes:
        known: score by path.
        diverged: holds the paths whose training diverged.
    """

    remembered: ClassVar[tuple[str, ...]] = ("known", "diverged")

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem
        self._evaluator = evaluator_of(problem)
        self._workers: tuple[Pool, EvaluationJob] | None = None
        self._done: dict[Choice, Evaluation] = {}
        self.known: dict[Choice, float] = {}
        self.diverged: dict[Choice, bool] = {}

    def work_with(self, pool: Pool, job: EvaluationJob) -> None:
        """Lets workers evaluate what `ahead` names, from now on."""
        self._workers = pool, job

    def ahead(self, coming: Iterator[Choice]) -> None:
        """Evaluates paths that will be asked for next: one per worker, all at the same time.

        Nothing happens without workers, or as long as what was evaluated last is not asked for.
        """
        if self._workers is None or self._done:
            return
        pool, job = self._workers
        following = dict.fromkeys(islice(coming, pool.count))
        paths = [path for path in following if path not in self.known]
        tasks = [self._request(path) for path in paths]
        if not tasks:
            return
        for place, evaluation in pooled(pool, job)(tasks):
            self._done[paths[place]] = evaluation

    def accuracy(self, path: Choice) -> float:
        """Validation accuracy after training, or that of the table, from 0 to 1."""
        if path not in self.known:
            found = self._done.pop(path, None)
            if found is None:
                request = self._request(path)
                found = self._evaluator.evaluate(request.architecture, request.seed)
            self.known[path] = found.score
            if found.loss is None and self._problem.table is None:
                self.diverged[path] = True
        return self.known[path]

    def learn_from(self, other: "Trials") -> None:
        """Takes over what another one knows, which has the same recipe and seed."""
        self.known.update(other.known)
        self.diverged.update(other.diverged)

    def _request(self, path: Choice) -> EvaluationRequest:
        seed = derived_seed(self._problem.seed, "trial") % 2**31
        return EvaluationRequest(self._problem.choices.architecture(path), seed)


def work_of(folder: SearchFolder, problem: SearchProblem, executor: Executor) -> EvaluationJob:
    """What workers need to evaluate as this process does, each on its own device."""
    images, config = problem.data, problem.config
    side = problem.choices.space.skeleton.side
    data = config.data.model_copy(update={"resolution": side})
    device, devices = str(problem.device), executor.devices
    setup = Setup(recipe_of(problem), data, (), config.seed, device, folder.cache, devices)
    return EvaluationJob(setup, images)


def trial_executor(
    problem: SearchProblem, given: Executor, device: str, observer: Observer
) -> Executor:
    """Who trains architectures alone: the executor that was given, or this process where it must.

    Args:
        problem: of the search.
        given: who was asked for.
        device: the setting.
        observer: is told where workers are not used.

    Raises:
        ConfigError: the executor cannot use the device, or has fewer workers than devices.
    """
    if problem.table is not None:
        return stays_here(given, "a table is looked up", observer.message)
    given.check_device(problem.device.type)
    devices = resolve_devices(device)
    if len(devices) > 1:
        return given.on(devices)
    fitting = max(1, cores() // torch.get_num_threads()) if given.name else 1
    if problem.device.type != "cpu":
        return stays_here(given, "on a GPU, networks are trained", observer.message)
    return given.sized(fitting)


def use_of_devices(executor: Executor) -> list[str]:
    """Which devices do what, in a line; none for one device."""
    alone = "does everything else, such as training shared weights"
    return described_use(executor.devices, "train networks alone", alone)


def trial_pool(
    folder: SearchFolder, observer: Observer, executor: Executor
) -> AbstractContextManager[Pool]:
    """Workers with as many threads as this process has, because sums depend on that number."""
    return open_pool(
        executor,
        folder.checkpoint / POOL,
        thread_count=torch.get_num_threads(),
        errors=(EvaluationError, SpaceError),
        rounding=rounding,
        on_message=observer.message,
    )


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
        known = sorted(self.fitness.known.items(), key=lambda item: -item[1])
        return [Ranked(path, value, value) for path, value in known[:MOST_RANKED]]

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
