"""The pool: one interface for work in this process, in other processes, or on a cluster.

A job holds the values that all its requests need; a request is small. The result of a request
depends only on the job and the request, so it does not matter which worker computes it, when, or
how often. Requests, results and messages are plain JSON values. Larger values are in files that
the job writes once. Nothing is pickled.
"""

import importlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Protocol

import torch

from autospace.compute.cuda_graphs import is_out_of_memory
from autospace.compute.device import threads
from autospace.compute.machine import keep_freed_memory
from autospace.spaces.errors import AutospaceError

POOL: Final = "pool"
"""Folder of a checkpoint that holds the files of jobs for as long as the processes run."""
Plain = Any
"""None, a boolean, a number, a string, or a list or dictionary (string keys) of such values."""
Report = Callable[[Plain], None]
"""Sends a message about the current request to the owner of the pool."""
OnMessage = Callable[[int, Plain], None]
"""Called with the index of a request and a message about it; may raise to stop the work."""
Work = Callable[[Plain], Plain]
"""Computes the result of a request."""


class WorkerLostError(AutospaceError):
    """A worker ended before its request was done."""


class Job(Protocol):
    """The values that requests need; workers import the class from its module."""

    def begin(self, report: Report) -> Work:
        """The function that does requests in this process, with the values in memory."""
        ...

    def pack(self, folder: Path) -> Plain:
        """The argument of `begin_packed`; larger values go into the folder, made if needed."""
        ...

    @staticmethod
    def begin_packed(packed: Plain, report: Report) -> Work:
        """The function that does requests in another process, with equal results."""
        ...


class Pool(Protocol):
    """Workers, wherever they run. A pool for a cluster has to implement only this."""

    @property
    def count(self) -> int:
        """Number of requests that are done at the same time; may change."""
        ...

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        """Index and result of every request, as they finish; they start in the given order.

        Args:
            job: the values that the requests need; workers keep the latest job.
            requests: any number.
            on_message: called with messages; a pool may deliver them as late as the result.

        Raises:
            WorkerLostError: a worker ended before its request was done.
            Exception: what the job raised. From another process, only the types that the pool
                knows are raised as they are, others as a `RuntimeError` with the traceback.
        """
        ...


class InProcess:
    """A pool without workers: this process does one request after another."""

    count = 1

    def __init__(self, thread_count: int | None = None) -> None:
        """Takes the number of threads for torch; None for that of the caller."""
        self._thread_count = thread_count
        self._begun: tuple[Job, Work] | None = None
        self._report: Report = _ignore

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        """See `Pool`."""
        for place, request in enumerate(requests):
            self._report = _ignore if on_message is None else _about(place, on_message)
            with nullcontext() if self._thread_count is None else threads(self._thread_count):
                if self._begun is None or self._begun[0] is not job:
                    self._begun = (job, job.begin(lambda message: self._report(message)))
                result = self._begun[1](_through_json(request))
            yield place, _through_json(result)


class ProcessPool:
    """Processes on this machine; they end with their owner, whatever they are doing."""

    def __init__(
        self,
        count: int,
        folder: Path,
        thread_count: int = 1,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        """Starts nothing yet.

        Args:
            count: processes.
            folder: for the files of jobs only; it is removed with everything in it.
            thread_count: threads of torch in each process.
            errors: exceptions, made of plain values, that are raised here as in the process.
        """
        self.count = count
        self._folder, self._thread_count, self._errors = folder, thread_count, errors
        self._workers: dict[Connection, BaseProcess] = {}
        self._job: Job | None = None
        self._begin = b""
        self._begun: set[Connection] = set()
        self._numbers = itertools.count()
        self._remove_files()  # of an owner that was killed

    def start(self, count: int) -> None:
        """Starts processes until `count` of them run, or all."""
        while len(self._workers) < min(self.count, count):
            self._start_one()

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        """See `Pool`."""
        self.start(len(requests))
        if requests:
            self._pack(job)
        waiting = iter(enumerate(requests))
        busy: dict[Connection, tuple[int, int]] = {}
        for worker, (place, request) in zip(self._workers, waiting, strict=False):
            busy[worker] = self._send(worker, request), place
        while busy:
            ready = wait(list(busy))
            for worker in [each for each in busy if each in ready]:
                number, place = busy[worker]
                reply = self._received(worker)
                if reply["number"] != number:
                    continue  # to a request of an earlier call that was stopped
                if "message" in reply:
                    if on_message is not None:
                        on_message(place, reply["message"])
                    continue
                if "error" in reply:
                    raise self._error(**reply["error"])
                del busy[worker]
                for following, request in itertools.islice(waiting, 1):
                    busy[worker] = self._send(worker, request), following
                yield place, reply["result"]

    def close(self) -> None:
        """Ends the processes, whatever they are doing, and removes the files of the jobs."""
        for connection, process in self._workers.items():
            connection.close()
            process.terminate()
        for process in self._workers.values():
            process.join()
        self._workers.clear()
        self._begun.clear()
        self._remove_files()

    def _start_one(self) -> None:
        # Forked processes would share the state of torch's threads.
        context = multiprocessing.get_context("spawn")
        connection, far_end = context.Pipe()
        process = context.Process(target=_serve, args=(far_end, self._thread_count), daemon=True)
        with _without_interrupts():
            process.start()
        far_end.close()
        self._workers[connection] = process

    def _pack(self, job: Job) -> None:
        if job is not self._job:
            begin = {"module": type(job).__module__, "name": type(job).__qualname__}
            self._begin = _encoded({"begin": begin | {"packed": job.pack(self._folder)}})
            self._job = job
            self._begun.clear()

    def _send(self, worker: Connection, request: Plain) -> int:
        """Sends a request to a worker; returns the number that the reply will have."""
        number = next(self._numbers)
        # Nothing can be sent to a process that has ended; that is noticed when it should reply.
        with suppress(ConnectionError):
            if worker not in self._begun:
                worker.send_bytes(self._begin)
                self._begun.add(worker)
            worker.send_bytes(_encoded({"number": number, "request": request}))
        return number

    def _received(self, worker: Connection) -> dict[str, Plain]:
        try:
            reply: dict[str, Plain] = json.loads(worker.recv_bytes())
        except (EOFError, ConnectionError):
            process = self._workers[worker]
            process.join()
            code = process.exitcode
            problem = f"a worker process ended with exit code {code}, perhaps for lack of memory"
            raise WorkerLostError(problem) from None
        return reply

    def _error(self, kinds: list[str], arguments: list[Plain], trace: str) -> Exception:
        for kind in self._errors:
            if _name(kind) in kinds:
                return kind(*arguments)
        if _name(MemoryError) in kinds or is_out_of_memory(RuntimeError(trace)):
            return WorkerLostError("a worker process ran out of memory")
        return RuntimeError(f"in a worker process:\n{trace}")

    def _remove_files(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def open_pool(
    count: int,
    folder: Path,
    *,
    thread_count: int = 1,
    errors: tuple[type[Exception], ...] = (),
    ahead: bool = False,
) -> Iterator[Pool]:
    """A pool for the block: this process if the count is 1, otherwise `count` other processes.

    Args:
        count: how many.
        folder: see `ProcessPool`.
        thread_count: see `ProcessPool`.
        errors: see `ProcessPool`.
        ahead: whether to start the processes now, so that they are ready when work comes.
    """
    processes = ProcessPool(count, folder, thread_count, errors)
    try:
        if count > 1 and ahead:
            processes.start(count)
        yield InProcess(thread_count) if count == 1 else processes
    finally:
        processes.close()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started within never see Ctrl-C: all would get it, but only one has to tidy up."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The first process would start the tracker, which lets interrupts through again at its end.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, thread_count: int) -> None:
    """What a worker process does, until the other end of the pipe is closed."""
    threading.Thread(target=_end_with_owner, daemon=True).start()
    keep_freed_memory()
    torch.set_num_threads(thread_count)
    # The first optimiser makes torch import modules for seconds: better before the first request.
    torch.optim.SGD([torch.zeros(1)])
    number, begun = -1, dict[str, Any]()

    def result(request: Plain) -> Plain:
        return _through_json(begun["result"](request))

    def report(message: Plain) -> None:
        connection.send_bytes(_encoded({"number": number, "message": message}))

    with suppress(EOFError, ConnectionError):
        while True:
            received = json.loads(connection.recv_bytes())
            if "begin" in received:
                begun = _attempt(lambda given: _begin(report, **given), received["begin"])
                continue
            number = received["number"]
            reply = begun if "error" in begun else _attempt(result, received["request"])
            connection.send_bytes(_encoded({"number": number, **reply}))


def _end_with_owner() -> None:
    """Ends this process as soon as its owner has ended, even if it is in the middle of work."""
    owner = multiprocessing.parent_process()
    if owner is not None:
        wait([owner.sentinel])
        os._exit(1)


def _begin(report: Report, module: str, name: str, packed: Plain) -> Work:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    work: Work = found.begin_packed(packed, report)
    return work


def _attempt(work: Work, given: Plain) -> dict[str, Any]:
    """The result, or the error, under its name."""
    try:
        return {"result": work(given)}
    except Exception as error:
        kinds = [_name(kind) for kind in type(error).__mro__]
        # What the exception is made of, which its message need not be.
        arguments = json.loads(json.dumps(error.__reduce__()[1], default=str, skipkeys=True))
        trace = traceback.format_exc()
        return {"error": {"kinds": kinds, "arguments": arguments, "trace": trace}}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _encoded(value: Plain) -> bytes:
    return json.dumps(value).encode()


def _through_json(value: Plain) -> Plain:
    """The value as it would come out of a pipe, so that all pools accept the same values."""
    return json.loads(_encoded(value))


def _about(place: int, on_message: OnMessage) -> Report:
    return lambda message: on_message(place, _through_json(message))


def _ignore(message: Plain) -> None:
    """Reports to nobody."""
