"""Pools: every result in its place, messages on the way, an end for every trouble."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from autospace.compute.executor import open_pool
from autospace.compute.pool import InProcess, Pool, ProcessPool
from autospace.compute.worker import Plain, Report, Work, WorkerLostError
from autospace.spaces import SpaceError
from tests.evolution.runs import ROOT


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process looks for this module where this one would."""
    monkeypatch.syspath_prepend(ROOT)


class KnownError(ValueError):
    """One that the owner wants to see as it is."""


class SubError(KnownError):
    """A kind of it."""


@dataclass(frozen=True)
class Adding:
    """A job with a request for every purpose."""

    offset: int = 0

    def begin(self, report: Report) -> Work:
        if self.offset < 0:
            raise KnownError(f"offset {self.offset}: allowed: 0 or more")

        def asleep() -> None:
            report("asleep")
            time.sleep(600)

        def slow() -> str:
            time.sleep(1)
            return "slow"

        def failing(error: Exception) -> None:
            raise error

        does: dict[str, Callable[[], Plain]] = {
            "known": lambda: failing(KnownError("a hundred")),
            "sub": lambda: failing(SubError("a kind")),
            "two": lambda: failing(SpaceError("layers[0]", "is empty")),
            "unknown": lambda: 1 / 0,
            "sleep": asleep,
            "slow": slow,
            "threads": torch.get_num_threads,
            "pid": os.getpid,
            "set": lambda: {1},
            "numbers": lambda: [0.1, 1e-320, float("inf"), 2**70, None, "ß"],
        }

        def work(request: Plain) -> Plain:
            if isinstance(request, str):
                return does[request]()
            report(f"{request} begun")
            return request + self.offset

        return work

    def pack(self, folder: Path, *, whole: bool = False) -> Plain:
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.offset}.json"
        path.write_text(json.dumps(self.offset))
        return path.name

    @staticmethod
    def begin_packed(packed: Plain, folder: Path, report: Report) -> Work:
        return Adding(json.loads((folder / packed).read_text())).begin(report)


@dataclass
class Greeting:
    """A job that has something to say before any request."""

    text: str = "hello"

    def begin(self, report: Report) -> Work:
        report(self.text)
        return lambda request: request

    def pack(self, folder: Path, *, whole: bool = False) -> Plain:
        return self.text

    @staticmethod
    def begin_packed(packed: Plain, folder: Path, report: Report) -> Work:
        return Greeting(packed).begin(report)


@contextmanager
def processes(folder: Path, count: int = 1, thread_count: int = 1) -> Iterator[ProcessPool]:
    found = ProcessPool(count, folder / "pool", thread_count, errors=(KnownError, SpaceError))
    try:
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """Two processes that have worked before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        with open_pool(2, tmp_path_factory.mktemp("pair") / "pool", errors=(KnownError,)) as found:
            yield found


def check(pool: Pool, job: Adding) -> None:
    """What every pool has to do; for one on a cluster, too."""
    messages: list[tuple[int, str]] = []
    found = dict(pool.results(job, [1, 2, 3], lambda *message: messages.append(message)))
    assert found == {0: 11, 1: 12, 2: 13}
    assert sorted(messages) == [(0, "1 begun"), (1, "2 begun"), (2, "3 begun")]
    with pytest.raises(KnownError, match="a hundred"):
        list(pool.results(job, ["known"]))
    # An error does not end the workers.
    assert dict(pool.results(job, ["threads"])) == {0: 3}
    assert dict(pool.results(job, ["numbers"])) == {
        0: [0.1, 1e-320, float("inf"), 2**70, None, "ß"]
    }
    assert list(pool.results(job, [])) == []
    # What is not plain passes nowhere.
    with pytest.raises(TypeError, match="not JSON serializable"):
        list(pool.results(job, [1, torch.zeros(1)]))
    assert dict(pool.results(job, [5])) == {0: 15}


def test_this_process_does_what_a_pool_has_to() -> None:
    before = torch.get_num_threads()
    check(InProcess(3), Adding(10))
    assert torch.get_num_threads() == before
    with pytest.raises(TypeError, match="not JSON serializable"):
        list(InProcess().results(Adding(), ["set"]))
    with pytest.raises(ZeroDivisionError):
        list(InProcess().results(Adding(), ["unknown"]))
    assert dict(InProcess().results(Adding(), ["threads"])) == {0: before}


def test_processes_do_what_a_pool_has_to(tmp_path: Path) -> None:
    left = tmp_path / "pool" / "left.safetensors"
    left.parent.mkdir()
    left.touch()
    with processes(tmp_path, 2, thread_count=3) as pool:
        assert not left.exists()  # of an owner that was killed
        job = Adding(10)
        check(pool, job)
        (pid,) = dict(pool.results(job, ["pid"])).values()
        assert pid in {process.pid for process in pool._workers.values()}
        with pytest.raises(KnownError, match="a kind"):
            list(pool.results(job, ["sub"]))
        # An exception that is made of more than its message.
        with pytest.raises(SpaceError) as caught:
            list(pool.results(job, ["two"]))
        assert (caught.value.path, caught.value.problem) == ("layers[0]", "is empty")
        with pytest.raises(RuntimeError, match=r"(?s)in a worker process:.*ZeroDivisionError"):
            list(pool.results(job, ["unknown"]))
        with pytest.raises(RuntimeError, match=r"(?s)in a worker process:.*not JSON serial"):
            list(pool.results(job, ["set"]))
        assert (tmp_path / "pool").exists()
    assert not (tmp_path / "pool").exists()


def test_the_results_of_a_call_that_was_stopped_do_not_get_into_the_next(pair: Pool) -> None:
    job = Adding(10)
    assert dict(pair.results(job, [1, 2])) == {0: 11, 1: 12}
    with pytest.raises(KnownError):
        list(pair.results(job, ["known", "slow"]))
    assert dict(pair.results(job, [3, 4, 5, 6])) == {0: 13, 1: 14, 2: 15, 3: 16}


def test_another_job_takes_the_place_of_the_first(pair: Pool) -> None:
    ten, twenty = Adding(10), Adding(20)
    for pool in (InProcess(), pair):
        for job in (ten, twenty, twenty, ten):
            expected = {place: place + job.offset for place in range(4)}
            assert dict(pool.results(job, range(4))) == expected


def test_what_goes_wrong_at_the_beginning_is_the_result_of_a_request(pair: Pool) -> None:
    with pytest.raises(KnownError, match="offset -1"):
        list(pair.results(Adding(-1), [1]))


def test_a_process_that_dies_is_an_error_and_a_busy_one_is_ended(tmp_path: Path) -> None:
    with processes(tmp_path) as pool:
        pool.start(1)
        (process,) = pool._workers.values()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(WorkerLostError, match="exit code -9"):
            list(pool.results(Adding(), [1]))
    with processes(tmp_path) as pool:
        pool.start(1)
        (process,) = pool._workers.values()

        def interrupted(place: int, message: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(pool.results(Adding(), ["sleep"], interrupted))
    assert not process.is_alive()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without a signal")
def test_only_the_owner_of_processes_decides_what_a_scheduler_stops(tmp_path: Path) -> None:
    """A scheduler sends SIGTERM to all processes of a job at once."""
    with processes(tmp_path) as pool:
        ((_, pid),) = pool.results(Adding(1), ["pid"])
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(pid, number)
        assert [result for _, result in pool.results(Adding(1), ["pid", 4])] == [pid, 5]
    assert not _alive(pid)


def test_one_is_this_process_and_more_are_others(tmp_path: Path) -> None:
    with open_pool(1, tmp_path / "pool") as one, open_pool(3, tmp_path / "pool") as three:
        assert isinstance(one, InProcess)
        assert isinstance(three, ProcessPool)
        assert (one.count, three.count) == (1, 3)
        assert not three._workers  # until there is work, or if asked for


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_busy_process_ends_with_its_owner(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.compute.test_pool import Adding, open_pool\n"
        "if __name__ == '__main__':\n"
        "    def die(place, message):\n"
        "        print(*[each.pid for each in pool._workers.values()], flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    with open_pool(2, Path(sys.argv[1]), ahead=True) as pool:\n"
        "        list(pool.results(Adding(), ['sleep'], die))\n"
    )
    done = subprocess.run(
        [sys.executable, script, tmp_path / "pool"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2
    last = time.monotonic() + 60  # far less than the 600 seconds of the request
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < last, "a process outlived its owner"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no signals that can be blocked")
def test_python_ends_at_once_where_nobody_has_closed_a_pool(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "from autospace.compute.pool import ProcessPool\n"
        "from tests.compute.test_pool import Adding\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPool(1, Path(sys.argv[1]))\n"
        "    following = pool.results(Adding(), ['sleep'], lambda *_: sys.exit(3))\n"
        "    list(following)\n"
    )
    done = subprocess.run(
        [sys.executable, script, tmp_path / "pool"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=120,  # far less than the 600 seconds of the request
        check=False,
    )
    assert done.returncode == 3


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return " (zombie)" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.slow
def test_what_a_job_says_while_it_begins_comes_with_its_first_request(tmp_path: Path) -> None:
    said: list[tuple[int, Plain]] = []
    with processes(tmp_path) as pool:
        for text in ("hello", "again"):
            job = Greeting(text)
            for _ in range(2):
                found = pool.results(job, [1, 2], lambda place, each: said.append((place, each)))
                assert sorted(found) == [(0, 1), (1, 2)]
    assert said == [(0, "hello"), (0, "again")]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="one process suffices")
def test_modules_in_the_current_folder_do_not_stand_in_for_those_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "socket", "pickle", "signal", "torch", "autospace"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a file of the user')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    # As when the program is a script: the current folder is not where it looks.
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    pool = ProcessPool(1, tmp_path / "jobs")
    try:
        assert list(pool.results(Adding(1), [1])) == [(0, 2)]
    finally:
        pool.close()
    assert "PYTHONSAFEPATH" not in os.environ
