"""Architectures that a search trains alone, or looks up in a table: each once, and by whom."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import ClassVar, Final

import torch

from autospace.compute.executor import Executor, open_pool, stays_here
from autospace.compute.machine import cores
from autospace.compute.pool import POOL, Pool
from autospace.evaluators.evaluate import EvaluationCache, EvaluationJob, evaluate_all, pooled
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
from autospace.runs.state import Stateful
from autospace.searchers.folder import SearchFolder
from autospace.searchers.problem import SearchProblem
from autospace.seeds import derived_seed
from autospace.spaces.choices import Choice
from autospace.spaces.errors import SpaceError

UNSCORED: Final = Evaluation(0.0)
"""Of an architecture without a score in the table, as if its training had failed."""


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
    only do sooner what the search would ask for next: order, results and files stay the same. What
    one has evaluated is kept on disk at once, because others may be hours behind when a search is
    stopped.

    Attributes:
        known: score by path.
        diverged: holds the paths whose training diverged, or that a table has no score of.
    """

    remembered: ClassVar[tuple[str, ...]] = ("known", "diverged")

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem
        self._evaluator = evaluator_of(problem)
        self._workers: tuple[Pool, EvaluationJob, EvaluationCache] | None = None
        self._done: dict[Choice, Evaluation] = {}
        self.known: dict[Choice, float] = {}
        self.diverged: dict[Choice, bool] = {}

    def work_with(self, pool: Pool, job: EvaluationJob, cache: EvaluationCache) -> None:
        """Lets workers evaluate what `ahead` names, from now on."""
        self._workers = pool, job, cache

    def ahead(self, coming: Iterator[Choice]) -> None:
        """Evaluates paths that will be asked for next: one per worker, all at the same time.

        Nothing happens without workers, or as long as what was evaluated last is not asked for.
        """
        if self._workers is None or self._done:
            return
        pool, job, cache = self._workers
        following = dict.fromkeys(islice(coming, pool.count))
        paths = [path for path in following if path not in self.known]
        tasks = [self._request(path) for path in paths]
        if tasks:
            found = evaluate_all(tasks, cache, pooled(pool, job))
            self._done.update(zip(paths, found, strict=True))

    def accuracy(self, path: Choice) -> float:
        """Validation accuracy after training, or that of the table, from 0 to 1."""
        if path not in self.known:
            found = self._done.pop(path, None) or self._evaluated(path)
            if found is UNSCORED:
                self.diverged[path] = True
            self.known[path] = found.score
            if found.loss is None and self._problem.table is None:
                self.diverged[path] = True
        return self.known[path]

    def learn_from(self, other: "Trials") -> None:
        """Takes over what another one knows, which has the same recipe and seed."""
        self.known.update(other.known)
        self.diverged.update(other.diverged)

    def _evaluated(self, path: Choice) -> Evaluation:
        request = self._request(path)
        if self._workers is not None and self._workers[0].hardware is not None:
            # The scores of a search come from one kind of device.
            pool, job, _ = self._workers
            ((_, found),) = pooled(pool, job)([request])
            return found
        table = self._problem.table
        if table is not None and not table.has_score(request.architecture):
            return UNSCORED
        return self._evaluator.evaluate(request.architecture, request.seed)

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
        ConfigError: the executor has fewer workers than devices, or cannot use them.
    """
    if problem.table is not None:
        return stays_here(given, "a table is looked up", observer.message)
    devices = given.devices_of(device).workers
    if given.shares_out(devices):
        return given.on(devices)
    fitting = max(1, cores() // torch.get_num_threads()) if given.name else 1
    if problem.device.type != "cpu":
        return stays_here(given, "on a GPU, networks are trained", observer.message)
    return given.sized(fitting)


def use_of_devices(problem: SearchProblem, executor: Executor) -> list[str]:
    """Which devices do what, in a line; none for one device."""
    alone = "does everything else, such as training shared weights"
    return executor.described_use(problem.device, "train networks alone", alone)


def trial_pool(
    folder: SearchFolder, observer: Observer, executor: Executor
) -> AbstractContextManager[Pool]:
    """Workers with as many threads as this process has, because sums depend on that number.

    Those on GPUs of a cluster have one: with many, a node would have no cores for all its GPUs.
    """
    alone = executor.clustered and executor.kind != "cpu"
    return open_pool(
        executor,
        folder.checkpoint / POOL,
        thread_count=1 if alone else torch.get_num_threads(),
        errors=(EvaluationError, SpaceError),
        rounding=rounding,
        on_message=observer.message,
        on_nodes=observer.nodes,
    )
