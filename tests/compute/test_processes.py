"""Processes of our own: every reply in its place, words on the way, an end for every trouble."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch

from autospace.compute.processes import EndedError, Processes, Tell, Worker
from tests.evolution.runs import ROOT


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process looks for this module where this one would."""
    monkeypatch.syspath_prepend(ROOT)


class KnownError(ValueError):
    """One that the owner wants to see as it is."""


def working(offset: int) -> Worker[int, int]:
    """A worker with a task for every purpose."""
    if offset < 0:
        raise KnownError(f"offset {offset}: allowed: 0 or more")

    def work(task: int, tell: Tell) -> int:
        if task == 100:
            raise KnownError("a hundred")
        if task == 200:
            raise ZeroDivisionError
        if task == 300:
            tell("asleep")
            time.sleep(600)
        if task == 400:
            return torch.get_num_threads()
        if task == 500:
            return os.getpid()
        tell(f"{task} begun")
        return task + offset

    return work


@contextmanager
def processes(offset: int = 0, count: int = 1, **options: int) -> Iterator[Processes[int, int]]:
    found = Processes[int, int](partial(working, offset), count, errors=(KnownError,), **options)
    try:
        yield found
    finally:
        found.close()


def test_replies_come_with_their_places_and_words_with_theirs() -> None:
    words: list[tuple[int, str]] = []
    with processes(10, 2, threads=3) as some:
        found = dict(some.done([1, 2, 3], lambda place, word: words.append((place, word))))
        assert found == {0: 11, 1: 12, 2: 13}
        assert sorted(words) == [(0, "1 begun"), (1, "2 begun"), (2, "3 begun")]
        # The same processes do the next tasks, and errors do not end them.
        (pid,) = dict(some.done([500])).values()
        assert pid in {process.pid for process in some._running.values()}
        with pytest.raises(KnownError, match="a hundred"):
            list(some.done([100]))
        with pytest.raises(RuntimeError, match=r"(?s)in a worker process:.*ZeroDivisionError"):
            list(some.done([200]))
        assert dict(some.done([400])) == {0: 3}
        assert list(some.done([])) == []


def test_what_goes_wrong_at_the_beginning_is_the_reply_to_a_task() -> None:
    with processes(-1) as some:
        some.start(1)
        with pytest.raises(KnownError, match="offset -1"):
            list(some.done([1]))


def test_a_process_that_dies_is_an_error_and_a_busy_one_is_ended() -> None:
    with processes() as some:
        some.start(1)
        (process,) = some._running.values()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(EndedError, match="exit code -9"):
            list(some.done([1]))
    with processes() as some:
        some.start(1)
        (process,) = some._running.values()

        def interrupted(place: int, word: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(some.done([300], interrupted))
    assert not process.is_alive()
