"""The pool: one interface for work in this process, in other processes, or on a cluster.

A job holds the values that all its requests need; a request is small. The result of a request
depends only on the job and the request, so it does not matter which worker computes it, when, or
how often. Requests, results and messages are plain JSON values. Larger values are in files that
the job writes once. Nothing is pickled.
"""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Protocol

from autospace.compute.device import Hardware, threads
from autospace.compute.machine import available_memory
from autospace.compute.worker import (
    Plain,
    Report,
    Work,
    Worker,
    WorkerLostError,
    announced,
    encoded,
    ignore,
    raised,
    through_json,
)

POOL: Final = "pool"
"""Folder of a checkpoint that holds the files of jobs for as long as the processes run."""
SAFE_PATH: Final = "PYTHONSAFEPATH"
OnMessage = Callable[[int, Plain], None]
"""Called with the index of a request and a message about it; may raise to stop the work."""


class Job(Protocol):
    """The values that requests need; workers import the class from its module."""

    def begin(self, report: Report) -> Work:
        """The function that does requests in this process, with the values in memory."""
        ...

    def pack(self, folder: Path, *, whole: bool) -> Plain:
        """The argument of `begin_packed`; larger values go into the folder, made if needed.

        Args:
            folder: for files, directly in it; nothing else may be left there.
            whole: whether workers see nothing of this machine but these files.
        """
        ...

    @staticmethod
    def begin_packed(packed: Plain, folder: Path, report: Report) -> Work:
        """The function that does requests in another process, with equal results."""
        ...


class Pool(Protocol):
    """Workers, wherever they run."""

    @property
    def count(self) -> int:
        """Number of requests that are done at the same time; may change."""
        ...

    @property
    def memory(self) -> int:
        """Bytes that are available to each worker."""
        ...

    @property
    def hardware(self) -> Hardware | None:
        """What all workers compute on, if that is not what this machine has."""
        ...

    @property
    def shares(self) -> Mapping[str, int]:
        """How many requests each node of a cluster has done; empty without a cluster."""
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
    hardware: Final[Hardware | None] = None
    shares: Final[Mapping[str, int]] = {}

    def __init__(self, thread_count: int | None = None) -> None:
        """Takes the number of threads for torch; None for that of the caller."""
        self._thread_count = thread_count
        self._begun: tuple[Job, Work] | None = None
        self._report: Report = ignore

    @property
    def memory(self) -> int:
        """See `Pool`."""
        return available_memory()

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        """See `Pool`."""
        for place, request in enumerate(requests):
            self._report = ignore if on_message is None else _about(place, on_message)
            with nullcontext() if self._thread_count is None else threads(self._thread_count):
                if self._begun is None or self._begun[0] is not job:
                    self._begun = (job, job.begin(lambda message: self._report(message)))
                result = self._begun[1](through_json(request))
            yield place, through_json(result)


class ProcessPool:
    """Processes on this machine; they end with their owner, whatever they are doing."""

    hardware: Final[Hardware | None] = None
    shares: Final[Mapping[str, int]] = {}

    def __init__(
        self,
        count: int,
        folder: Path,
        thread_count: int = 1,
        errors: tuple[type[Exception], ...] = (),
        devices: Sequence[str] = (),
    ) -> None:
        """Starts nothing yet.

        Args:
            count: processes.
            folder: for the files of jobs only; it is removed with everything in it.
            thread_count: threads of torch in each process.
            errors: exceptions, made of plain values, that are raised here as in the process.
            devices: one for each process in turn, which becomes its current device; jobs find it
                by `autospace.compute.device.own_device`. None on a CPU.
        """
        self.count, self._devices = count, tuple(devices)
        self._folder, self._thread_count, self._errors = folder, thread_count, errors
        self._workers: dict[Connection, BaseProcess] = {}
        self._job: Job | None = None
        self._begin = b""
        self._begun: set[Connection] = set()
        self._numbers = itertools.count()
        # Python would ask those that are left to end by SIGTERM, which they do not see, and wait.
        weakref.finalize(self, _kill, self._workers)
        self._remove_files()  # of an owner that was killed

    @property
    def memory(self) -> int:
        """See `Pool`."""
        return available_memory() // self.count

    def start(self, count: int) -> None:
        """Starts processes until `count` of them run, or all."""
        while len(self._workers) < min(self.count, count):
            self._start_one()

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        """See `Pool`; up to one request per process, equal places go to the same processes."""
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
                    raise raised(self._errors, **reply["error"])
                del busy[worker]
                for following, request in itertools.islice(waiting, 1):
                    busy[worker] = self._send(worker, request), following
                yield place, reply["result"]

    def close(self) -> None:
        """Ends the processes, whatever they are doing, and removes the files of the jobs."""
        _kill(self._workers)
        for connection, process in self._workers.items():
            connection.close()
            process.join()
        self._workers.clear()
        self._begun.clear()
        self._remove_files()

    def _start_one(self) -> None:
        # Forked processes would share the state of torch's threads.
        context = multiprocessing.get_context("spawn")
        connection, far_end = context.Pipe()
        number, devices = len(self._workers), self._devices
        device = devices[number % len(devices)] if devices else None
        given = (far_end, self._thread_count, device)
        process = context.Process(target=_serve, args=given, daemon=True)
        with _without_modules_of_the_folder(), _without_interrupts():
            process.start()
        far_end.close()
        self._workers[connection] = process

    def _pack(self, job: Job) -> None:
        if job is not self._job:
            packed = announced(job, job.pack(self._folder, whole=False))
            self._begin = encoded({"begin": packed, "folder": str(self._folder.absolute())})
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
            worker.send_bytes(encoded({"number": number, "request": request}))
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

    def _remove_files(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _kill(workers: Mapping[Connection, BaseProcess]) -> None:
    for process in workers.values():
        process.kill()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes started within see neither Ctrl-C nor SIGTERM.

    A terminal sends the one to all processes, and a scheduler the other; their owner tidies up.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The first process would start the tracker, which lets interrupts through again at its end.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_modules_of_the_folder() -> Iterator[None]:
    """Python's own modules are found first in processes started within.

    They would look in the current folder first, until they know where their owner looks: a user's
    `random.py` or `socket.py` would end them.
    """
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


def _serve(connection: Connection, thread_count: int, device: str | None) -> None:
    """What a worker process does, until the other end of the pipe is closed."""
    threading.Thread(target=_end_with_owner, daemon=True).start()
    worker, number = Worker(thread_count, device), -1

    def report(message: Plain) -> None:
        connection.send_bytes(encoded({"number": number, "message": message}))

    with suppress(EOFError, ConnectionError):
        while True:
            received = json.loads(connection.recv_bytes())
            if "begin" in received:
                folder = Path(received["folder"])
                worker.begin(received["begin"], lambda: folder)  # noqa: B023
                continue
            number = received["number"]
            reply = worker.reply(received["request"], report)
            connection.send_bytes(encoded({"number": number, **reply}))


def _end_with_owner() -> None:
    """Ends this process as soon as its owner has ended, even if it is in the middle of work."""
    owner = multiprocessing.parent_process()
    if owner is not None:
        wait([owner.sentinel])
        os._exit(1)


def _about(place: int, on_message: OnMessage) -> Report:
    return lambda message: on_message(place, through_json(message))
