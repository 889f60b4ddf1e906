"""Who makes evaluations: this process, or several at once."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

import torch

from autospace.evaluators.make import Setup, make_evaluator
from autospace.evaluators.seam import Evaluation, EvaluationError, Evaluator, Task
from autospace.threads import threads

Made = Iterator[tuple[int, Evaluation]]


class Maker(Protocol):
    """Makes evaluations."""

    def made(self, tasks: Sequence[Task]) -> Made:
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

    def made(self, tasks: Sequence[Task]) -> Made:
        """See `Maker`."""
        with threads(1):  # as in a worker
            self._evaluator = self._evaluator or self._make()
            for index, task in enumerate(tasks):
                yield index, self._evaluator.evaluate(task.architecture, task.seed)


class Workers:
    """Makes evaluations in processes of their own, one thread each; to be closed.

    The numbers are those of `InProcess`: which process makes an evaluation changes nothing.
    """

    def __init__(self, setup: Setup, count: int) -> None:
        """Starts nothing yet; what evaluators share has to be in the setup's folder by then."""
        self._setup, self._count = setup, count
        self._processes: dict[Connection, BaseProcess] = {}

    def made(self, tasks: Sequence[Task]) -> Made:
        """See `Maker`."""
        while len(self._processes) < min(self._count, len(tasks)):
            self._start_one()
        waiting = iter(enumerate(tasks))
        busy: dict[Connection, int] = {}

        def hand_out(connection: Connection) -> None:
            for index, task in waiting:
                busy[connection] = index
                # To one that has ended nothing can be sent; that it has is noticed below.
                with suppress(ConnectionError):
                    connection.send(task)
                return

        for connection in self._processes:
            hand_out(connection)
        while busy:
            for ready in wait(list(busy)):
                if isinstance(ready, Connection):
                    evaluation = self._received(ready)
                    index = busy.pop(ready)
                    hand_out(ready)
                    yield index, evaluation

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        for connection, process in self._processes.items():
            connection.close()
            process.terminate()
        for process in self._processes.values():
            process.join()
        self._processes.clear()

    def _start_one(self) -> None:
        # Forked processes would share the state of torch's threads.
        context = multiprocessing.get_context("spawn")
        connection, far_end = context.Pipe()
        process = context.Process(target=_serve, args=(far_end, self._setup), daemon=True)
        with _without_interrupts():
            process.start()
        far_end.close()
        self._processes[connection] = process

    def _received(self, connection: Connection) -> Evaluation:
        try:
            reply = connection.recv()
        except (EOFError, ConnectionError):
            process = self._processes[connection]
            process.join()
            problem = f"a worker process ended with exit code {process.exitcode}"
            raise EvaluationError(f"{problem}; out of memory? use fewer workers") from None
        if isinstance(reply, Exception):
            raise reply
        evaluation: Evaluation = reply
        return evaluation


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
    workers = Workers(setup, count)
    try:
        yield workers
    finally:
        workers.close()


def default_workers(device: torch.device) -> int:
    """As many processes as there are cores for this one; one on a GPU."""
    if device.type != "cpu":
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started within never see Ctrl-C: all would get it, but only one has to tidy up."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, setup: Setup) -> None:
    """The life of a worker: until the other end of the pipe is closed."""
    torch.set_num_threads(1)
    evaluator: Evaluator | None = None
    with suppress(EOFError, ConnectionError):
        while True:
            task: Task = connection.recv()
            try:
                evaluator = evaluator or make_evaluator(setup, setup.images())
                reply: Evaluation | Exception = evaluator.evaluate(task.architecture, task.seed)
            except EvaluationError as error:
                reply = error
            except Exception:
                reply = RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
            connection.send(reply)
