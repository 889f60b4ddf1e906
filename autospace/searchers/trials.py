"""Architectures that are trained alone for a short time, one after another or by several workers.

Workers only do sooner what the search would ask for next. Order, results and files are the same
with any number of them.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import ClassVar

import torch

from autospace.compute.executor import HERE, Executor, open_pool
from autospace.compute.machine import cores
from autospace.compute.pool import POOL, Pool
from autospace.evaluators.evaluate import EvaluationJob, pooled
from autospace.evaluators.evaluator import (
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
from autospace.searchers.method import SearchProblem
from autospace.seeds import derived_seed
from autospace.spaces.choices import Choice
from autospace.spaces.errors import SpaceError


def recipe_of(problem: SearchProblem) -> EvaluatorConfig:
    """How a search trains an architecture alone."""
    trial = problem.config.trial
    return EvaluatorConfig(
        split="validation",
        steps=trial.steps,
        batch=trial.batch,
        learning_rate=trial.learning_rate,
    )


def evaluator_of(problem: SearchProblem) -> Evaluator:
    """Looks architectures up in the problem's table, or trains each alone for a short time."""
    if problem.table is not None:
        return TableEvaluator(problem.table)
    return StandAloneEvaluator(problem.images, recipe_of(problem))


class Trials(Stateful):
    """Evaluates each path once, with the same recipe and seed for all, and keeps the results.

    In a table, equal seeds are one column of scores, which is as noisy as one training.
    """

    remembered: ClassVar[tuple[str, ...]] = ("known",)

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem
        self._evaluator = evaluator_of(problem)
        self._workers: tuple[Pool, EvaluationJob] | None = None
        self._done: dict[Choice, float] = {}
        self.known: dict[Choice, float] = {}

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
        for place, evaluation in pooled(pool, job)(tasks):
            self._done[paths[place]] = evaluation.score

    def accuracy(self, path: Choice) -> float:
        """Validation accuracy after training, or that of the table, from 0 to 1."""
        if path not in self.known:
            found = self._done.pop(path, None)
            if found is None:
                request = self._request(path)
                found = self._evaluator.evaluate(request.architecture, request.seed).score
            self.known[path] = found
        return self.known[path]

    def _request(self, path: Choice) -> EvaluationRequest:
        seed = derived_seed(self._problem.seed, "trial") % 2**31
        return EvaluationRequest(self._problem.choices.architecture(path), seed)


def work_of(folder: SearchFolder, problem: SearchProblem) -> EvaluationJob:
    """What workers need to evaluate as this process does."""
    images, config = problem.images, problem.config
    size = images.data.train.images.shape[2]
    data = config.data.model_copy(update={"resolution": size})
    device = str(problem.device)
    setup = Setup(recipe_of(problem), data, (), config.seed, device, folder.cache)
    return EvaluationJob(setup, images)


def trial_pool(
    folder: SearchFolder, problem: SearchProblem, observer: Observer, given: Executor
) -> AbstractContextManager[Pool]:
    """Workers with as many threads as this process has, because sums depend on that number.

    Raises:
        ConfigError: the executor cannot use the device.
    """
    each, executor = torch.get_num_threads(), HERE
    if problem.table is None:
        given.check_device(problem.device.type)
        fitting = max(1, cores() // each) if given.name else 1
        executor = given.sized(fitting) if problem.device.type == "cpu" else HERE
    return open_pool(
        executor,
        folder.checkpoint / POOL,
        thread_count=each,
        errors=(EvaluationError, SpaceError),
        rounding=rounding,
        on_message=observer.message,
    )
