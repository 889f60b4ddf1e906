"""Runs whose candidates are trained in several processes: equal bytes, and no loss in any end."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from autospace.evolution.folder import RunError, RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.spaces import Space
from tests.evolution.runs import ROOT, Counting, interrupt, settings


class AtScoring(Counting):
    """An observer that acts at the n-th word from the processes."""

    def __init__(self, stop: int, act: Callable[[], None]) -> None:
        super().__init__()
        self._left, self._does = stop, act

    def tick(self, phase: str, done: int, total: int) -> None:
        super().tick(phase, done, total)
        self._left -= phase == "score"
        if not self._left:
            self._does()


def _kill_one() -> None:
    child = multiprocessing.active_children()[0]
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)


def test_a_shared_run_that_loses_a_process_goes_on_in_one(tmp_path: Path) -> None:
    config = make_config(settings(tmp_path))
    learn(RunFolder.create(tmp_path / "one", config), Counting())
    run = tmp_path / "two"
    message = "exit code -9, perhaps for lack of memory; nothing is lost; resume with fewer"
    with pytest.raises(RunError, match=message):
        learn(RunFolder.create(run, config), AtScoring(25, _kill_one), workers=2)
    assert multiprocessing.active_children() == []
    rounds = len(_memory(run))
    assert rounds >= 1
    learn(RunFolder.open(run), Counting())
    assert (run / "space.json").read_bytes() == (tmp_path / "one" / "space.json").read_bytes()
    memory = _memory(run)
    if sys.platform == "linux":  # elsewhere the memory of others is not told
        assert min(memory[:rounds]) > max(memory[rounds:]) + 300  # two processes more, with torch


@pytest.mark.slow
def test_a_run_is_finished_when_the_files_of_its_processes_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished run is only read: what it left would stay for ever."""
    save, seen = RunFolder.save_space, list[bool]()

    def saved(folder: RunFolder, space: Space) -> None:
        seen.append((folder.path / "checkpoint" / "pool").exists())
        save(folder, space)

    monkeypatch.setattr(RunFolder, "save_space", saved)
    config = make_config(settings(tmp_path))
    learn(RunFolder.create(tmp_path / "run", config), Counting(), workers=2)
    assert seen == [False]


@pytest.mark.slow
def test_a_shared_run_that_is_interrupted_goes_on_in_as_many_as_there_are(tmp_path: Path) -> None:
    config = make_config(settings(tmp_path))
    learn(RunFolder.create(tmp_path / "one", config), Counting())
    run = tmp_path / "two"
    with pytest.raises(KeyboardInterrupt):
        learn(RunFolder.create(run, config), AtScoring(25, interrupt), workers=2)
    assert multiprocessing.active_children() == []
    assert not (run / "checkpoint" / "pool").exists()
    learn(RunFolder.open(run), Counting(), workers=None)
    assert (run / "space.json").read_bytes() == (tmp_path / "one" / "space.json").read_bytes()


def _memory(run: Path) -> list[int]:
    lines = (run / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["memory_mb"] for line in lines]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.evolution.test_shared_runs import *\n"
        "if __name__ == '__main__':\n"
        "    def die():\n"
        "        print(*[each.pid for each in multiprocessing.active_children()], flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    folder = Path(sys.argv[1])\n"
        "    config = make_config(settings(folder))\n"
        "    learn(RunFolder.create(folder / 'run', config), AtScoring(9, die), workers=3)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 3
    last = time.monotonic() + 60
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < last, "a process outlived its owner"
        time.sleep(0.1)
    learn(RunFolder.open(tmp_path / "run"), Counting())
    assert not (tmp_path / "run" / "checkpoint" / "pool").exists()


def _alive(pid: int) -> bool:
    with suppress(OSError):
        return " (zombie)" not in Path(f"/proc/{pid}/status").read_text()
    return False
