"""Processes that do tasks beside this one; they end with their owner, whatever they are doing."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NamedTuple, TypeVar

import torch

from autospace.compute.machine import keep_freed_memory

Job = TypeVar("Job")
Reply = TypeVar("Reply")
Tell = Callable[[Any], None]
Worker = Callable[[Job, Tell], Reply]
"""Does a task; tells the owner of the processes anything on the way."""
Hear = Callable[[int, Any], None]
"""Called with a task's place and what its process told; may raise to stop the work."""


class EndedError(RuntimeError):
    """A process ended before its task was done."""


class _Told(NamedTuple):
    word: Any


class Processes(Generic[Job, Reply]):
    """So many processes of their own, with as many threads each; to be closed."""

    def __init__(
        self,
        begin: Callable[[], Worker[Job, Reply]],
        count: int,
        *,
        threads: int = 1,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        """Starts nothing yet.

        Args:
            begin: gives each process its worker, before the first task is there; what it raises
                is the reply to the first task. Has to be a function or class of a module, or a
                `functools.partial` of one, for it is sent to the process.
            count: processes.
            threads: that torch computes in, in each of them.
            errors: exceptions of a worker that are raised here as they are.
        """
        self.count = count
        self._life = (begin, threads, errors)
        self._running: dict[Connection, BaseProcess] = {}

    def start(self, count: int) -> None:
        """Starts processes, until so many run, or all."""
        while len(self._running) < min(self.count, count):
            self._start_one()

    def done(self, tasks: Sequence[Job], hear: Hear | None = None) -> Iterator[tuple[int, Reply]]:
        """Place and reply of every task, as they are done.

        Raises:
            EndedError: a process ended on its own, or was ended.
            RuntimeError: a worker raised what nobody expected; the message holds its traceback.
        """
        self.start(len(tasks))
        waiting = iter(enumerate(tasks))
        busy: dict[Connection, int] = {}

        def hand_out(connection: Connection) -> None:
            for index, task in waiting:
                busy[connection] = index
                # To one that has ended nothing can be sent; that it has is noticed below.
                with suppress(ConnectionError):
                    connection.send(task)
                return

        for connection in self._running:
            hand_out(connection)
        while busy:
            for ready in self._ready(busy):
                reply = self._received(ready)
                if isinstance(reply, _Told):
                    if hear is not None:
                        hear(busy[ready], reply.word)
                    continue
                index = busy.pop(ready)
                hand_out(ready)
                yield index, reply

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        for connection, process in self._running.items():
            connection.close()
            process.terminate()
        for process in self._running.values():
            process.join()
        self._running.clear()

    def _start_one(self) -> None:
        # Forked processes would share the state of torch's threads.
        context = multiprocessing.get_context("spawn")
        connection, far_end = context.Pipe()
        process = context.Process(target=_live, args=(far_end, *self._life), daemon=True)
        with _without_interrupts():
            process.start()
        far_end.close()
        self._running[connection] = process

    def _ready(self, busy: Iterable[Connection]) -> list[Connection]:
        ready = wait(list(busy))
        return [connection for connection in busy if connection in ready]

    def _received(self, connection: Connection) -> Any:
        try:
            reply = connection.recv()
        except (EOFError, ConnectionError):
            process = self._running[connection]
            process.join()
            raise EndedError(f"a worker process ended with exit code {process.exitcode}") from None
        if isinstance(reply, Exception):
            raise reply
        return reply


def cores() -> int:
    """Cores that this process may use."""
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


def _live(
    connection: Connection,
    begin: Callable[[], Worker[Any, Any]],
    threads: int,
    errors: tuple[type[Exception], ...],
) -> None:
    """The life of a process: until the other end of the pipe is closed."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    worker = _tried(begin, errors)
    with suppress(EOFError, ConnectionError):
        while True:
            task = connection.recv()
            if not isinstance(worker, Exception):
                work = partial(worker, task, lambda word: connection.send(_Told(word)))
                connection.send(_tried(work, errors))
            else:
                connection.send(worker)


def _tried(work: Callable[[], Any], errors: tuple[type[Exception], ...]) -> Any:
    """What comes of it, be it an exception."""
    try:
        return work()
    except Exception as error:
        if isinstance(error, (*errors, ConnectionError)):
            return error
        return RuntimeError(f"in a worker process:\n{traceback.format_exc()}")
