"""What every worker does in a process of its own: it begins a job, and answers requests.

Values go in and out as JSON. A worker knows nothing of how they travel.
"""

import importlib
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from autospace.compute.cuda_graphs import is_out_of_memory
from autospace.compute.device import take_device
from autospace.compute.machine import keep_freed_memory
from autospace.spaces.errors import AutospaceError

Plain = Any
"""None, a boolean, a number, a string, or a list or dictionary (string keys) of such values."""
Report = Callable[[Plain], None]
"""Sends a message about the current request to the owner of the pool."""
Work = Callable[[Plain], Plain]
"""Computes the result of a request."""


class WorkerLostError(AutospaceError):
    """A worker ended before its request was done."""


class Worker:
    """The state of a worker: the latest job that it has begun."""

    def __init__(self, thread_count: int, device: str | None = None) -> None:
        """Prepares this process.

        Args:
            thread_count: threads of torch.
            device: that the process computes on; None for the CPU.

        Raises:
            RunError: there is no such device.
        """
        keep_freed_memory()
        if device is not None:
            take_device(device)
        torch.set_num_threads(thread_count)
        # The first optimiser makes torch import modules for seconds: better before any request.
        torch.optim.SGD([torch.zeros(1)])
        self._begun: dict[str, Any] = {}
        self._early: list[Plain] = []
        self._report: Report = self._early.append

    def begin(self, job: dict[str, Plain], folder: Callable[[], Path]) -> None:
        """Begins a job; an error is the reply to every request of that job.

        Args:
            job: what `announced` made of it.
            folder: gives the folder of the files that the job has packed.
        """
        self._begun = {}  # The values of the earlier job are given back first.
        # No request is being done, so nobody would take a message: the first request brings it.
        self._report = self._early.append
        self._begun = _attempt(lambda given: _begin(folder(), self._send, **given), job)

    def reply(self, request: Plain, report: Report) -> dict[str, Plain]:
        """The result, or the error, under its name; messages go to `report`."""
        if "error" in self._begun:
            return self._begun
        self._report = report
        for message in self._early:
            report(message)
        self._early.clear()
        return _attempt(lambda given: through_json(self._begun["result"](given)), request)

    def _send(self, message: Plain) -> None:
        self._report(message)


def announced(job: object, packed: Plain) -> dict[str, Plain]:
    """A job as workers are told of it: where its class is, and what it has packed."""
    return {"module": type(job).__module__, "name": type(job).__qualname__, "packed": packed}


def found(module: str, name: str) -> Any:
    """A class or function by its module and qualified name."""
    value: Any = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _begin(folder: Path, report: Report, module: str, name: str, packed: Plain) -> Work:
    work: Work = found(module, name).begin_packed(packed, folder, report)
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


def raised(
    errors: tuple[type[Exception], ...], kinds: list[str], arguments: list[Plain], trace: str
) -> Exception:
    """The exception that a reply holds.

    Args:
        errors: kinds, made of plain values, that are made again as they were.
        kinds: names of the exception's classes.
        arguments: what it was made of.
        trace: of the worker, which the message of any other kind holds.
    """
    for kind in errors:
        if _name(kind) in kinds:
            return kind(*arguments)
    if _name(MemoryError) in kinds or is_out_of_memory(RuntimeError(trace)):
        return WorkerLostError("a worker process ran out of memory")
    return RuntimeError(f"in a worker process:\n{trace}")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def encoded(value: Plain) -> bytes:
    """JSON."""
    return json.dumps(value).encode()


def through_json(value: Plain) -> Plain:
    """The value as it would come out of a pipe, so that all pools accept the same values."""
    return json.loads(encoded(value))


def ignore(message: Plain) -> None:
    """Reports to nobody."""
