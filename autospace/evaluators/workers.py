"""Who makes evaluations: this process, or several at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch

from autospace.compute.device import threads
from autospace.compute.processes import EndedError, Processes, Tell, Worker, cores
from autospace.evaluators.evaluator import Evaluation, EvaluationError, EvaluationRequest, Evaluator
from autospace.evaluators.make import Setup, make_evaluator
from autospace.spaces.errors import SpaceError

Made = Iterator[tuple[int, Evaluation]]


class Maker(Protocol):
    """Makes evaluations."""

    def made(self, tasks: Sequence[EvaluationRequest]) -> Made:
        """Place and evaluation of every task, as they are done.

        Raises:
            EvaluationError: one cannot be made.
        """
        ...


class InProcess:
    """Makes one evaluation after another, here, with one thread."""

    def __init__(self, make: Callable[[], Evaluator]) -> None:
        """Takes what gives the evaluator, when the first evaluation is to be made."""
        self._make = make
        self._evaluator: Evaluator | None = None

    def made(self, tasks: Sequence[EvaluationRequest]) -> Made:
        """See `Maker`."""
        with threads(1):  # as in a worker
            self._evaluator = self._evaluator or self._make()
            for index, task in enumerate(tasks):
                yield index, self._evaluator.evaluate(task.architecture, task.seed)


class Workers:
    """Makes evaluations in processes of their own, one thread each.

    The numbers are those of `InProcess`: which process makes an evaluation changes nothing.
    """

    def __init__(self, processes: Processes[EvaluationRequest, Evaluation]) -> None:
        """Takes processes begun by `evaluating`."""
        self._processes = processes

    def made(self, tasks: Sequence[EvaluationRequest]) -> Made:
        """See `Maker`."""
        try:
            yield from self._processes.done(tasks)
        except EndedError as error:
            raise EvaluationError(f"{error}; out of memory? use fewer workers") from None


@contextmanager
def making(
    setup: Setup, count: int, make: Callable[[], Evaluator], shared: bool = False
) -> Iterator[Maker]:
    """A maker of evaluations, ended at the end of the context.

    Args:
        setup: what the evaluators of other processes are made of.
        count: processes; if it is one, this one.
        make: gives the evaluator of this process.
        shared: whether making one here leaves something that those of the workers need.
    """
    if count == 1:
        yield InProcess(make)
        return
    if shared:
        make()
    errors = (EvaluationError, SpaceError)
    processes = Processes(partial(evaluating, setup), count, errors=errors)
    try:
        yield Workers(processes)
    finally:
        processes.close()


def default_workers(device: torch.device) -> int:
    """As many processes as there are cores for this one; one on a GPU."""
    return cores() if device.type == "cpu" else 1


def evaluating(setup: Setup) -> Worker[EvaluationRequest, Evaluation]:
    """What a process makes evaluations with."""
    evaluator = make_evaluator(setup, setup.images())

    def evaluate(task: EvaluationRequest, tell: Tell) -> Evaluation:
        return evaluator.evaluate(task.architecture, task.seed)

    return evaluate
