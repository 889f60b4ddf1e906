"""Whole runs in processes of their own that can be killed, without paying for torch every time.

`Server` starts one process that imports everything once; every run is a fork of it. As a program,
this file is that process: a request a line on stdin, a reply a line on stdout.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autospace.progress import Silent

ROOT = Path(__file__).resolve().parents[2]

SKELETON = """\
format = "autospace.skeleton"
version = 1
name = "two"
in_channels = 1
resolution = 8
classes = 3
layers = [{ channels = 4 }, { channels = 6, stride = 2 }]
[stem]
channels = 4
stride = 1
"""

SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "data": {"source": "synthetic:classes=3,train=60,test=12"},
    "evolution": {
        "generations": 3,
        "population": 5,
        "candidates": 2,
        "tournament": 2,
        "keep": 2,
        "confirm": 1,
    },
    "cells": {"reference_expansion": 1},
    "scoring": {"steps": 2, "batch": 8, "validation_batches": 1},
    "warm_up": {"steps": 5, "batch": 8},
}
ROUNDS = 3 + 3 + 2

Child = Callable[[dict[str, Any]], dict[str, Any]]
"""Carries out a request in a process of its own and says how it went."""


def settings(folder: Path, **changes: dict[str, Any] | Any) -> dict[str, Any]:
    """The settings of a run of about half a second; its skeleton is written beside the run."""
    skeleton = folder / "two.toml"
    skeleton.write_text(SKELETON)
    merged = {**SETTINGS, "skeleton": str(skeleton)}
    for name, value in changes.items():
        merged[name] = {**merged.get(name, {}), **value} if isinstance(value, dict) else value
    return merged


class Counting(Silent):
    """An observer that counts, and stops or kills its own process at a given count."""

    def __init__(self, stop: int = -1, act: Callable[[], None] = lambda: None) -> None:
        self.phases: list[str] = []
        self.messages: list[str] = []
        self._stop, self._act = stop, act

    def message(self, text: str) -> None:
        self.messages.append(text)

    def tick(self, phase: str, done: int, total: int) -> None:
        del done, total
        self.phases.append(phase)
        if len(self.phases) == self._stop:
            self._act()


class Server:
    """Forks runs: of evolution, or of whatever another module like this one serves."""

    def __init__(self, module: str = "tests.evolution.runs") -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def start(self, path: Path, **request: Any) -> int:
        """Starts a run, a new one if `settings` are given; returns its process id."""
        if self._process.stdin is None:
            raise RuntimeError("closed")
        self._process.stdin.write(json.dumps({"path": str(path), **request}) + "\n")
        self._process.stdin.flush()
        return int(self._reply()["pid"])

    def wait(self) -> dict[str, Any]:
        """What became of the run: `code`, negative if it was killed, and what it counted."""
        return self._reply()

    def run(self, path: Path, **request: Any) -> dict[str, Any]:
        self.start(path, **request)
        return self.wait()

    def close(self) -> None:
        self._process.communicate()

    def _reply(self) -> dict[str, Any]:
        if self._process.stdout is None:
            raise RuntimeError("closed")
        reply: dict[str, Any] = json.loads(self._process.stdout.readline())
        return reply


def kill() -> None:
    """Ends this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    """What Ctrl-C does at a tick."""
    raise KeyboardInterrupt


def kill_at_write(stop: int, counted: list[int]) -> None:
    """Dies just before the n-th system call that makes something last."""
    for name in ("fsync", "replace", "unlink", "mkdir"):
        original = getattr(os, name)

        def counting(*arguments: Any, original: Any = original, **options: Any) -> Any:
            counted[0] += 1
            if counted[0] == stop:
                kill()
            return original(*arguments, **options)

        setattr(os, name, counting)


def _child(request: dict[str, Any]) -> dict[str, Any]:
    import torch

    from autospace.evolution.folder import RunFolder
    from autospace.evolution.learn import learn
    from autospace.evolution.settings import make_config

    torch.set_num_threads(1)
    writes = [0]
    kill_at_write(request.get("write", -1), writes)
    act = interrupt if request.get("interrupt") else kill
    observer = Counting(request.get("tick", -1), act)
    started = time.perf_counter()
    path = Path(request["path"])
    if "settings" in request and not (path / "config.toml").exists():
        folder = RunFolder.create(path, make_config(request["settings"]))
    else:
        folder = RunFolder.open(path)
    try:
        learn(folder, observer)
    except KeyboardInterrupt:
        return {"code": 130}
    except ValueError as error:
        return {"code": 2, "error": f"{type(error).__name__}: {error}"}
    seconds = time.perf_counter() - started
    return {"code": 0, "phases": observer.phases, "writes": writes[0], "seconds": seconds}


def _forked(request: dict[str, Any], child_of: Child) -> dict[str, Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            os.write(writing, json.dumps(child_of(request)).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    print(json.dumps({"pid": child}), flush=True)
    with os.fdopen(reading, "rb") as stream:
        raw = stream.read()
    _, status = os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(raw) if raw else {"code": os.waitstatus_to_exitcode(status)}
    return found


def serve(child_of: Child) -> None:
    """Forks a process for every request, and prints what it says of itself."""
    # The first optimiser of a process imports the compiler, and the first interval statistics;
    # better here than in every fork: they take longer than the rest of a run.
    import scipy.stats  # noqa: F401
    import torch._dynamo  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_forked(json.loads(line), child_of)), flush=True)


if __name__ == "__main__":
    import autospace.evolution.learn  # noqa: F401

    serve(_child)
