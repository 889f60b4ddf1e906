"""Trainings in several processes on this machine, connected as torchrun connects them.

As a program, this file is one of the processes: it does the trainings of a plan, one after the
other, and writes down what became of each, and which threads there are at the end.
"""

import atexit
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import autospace
from tests.training.runs import Watcher

ROOT = Path(__file__).parents[2]


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun sets for a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    return {
        **os.environ,
        **{name: str(value) for name, value in numbers.items()},
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
    }


def free_port() -> int:
    """A port that nothing listens on, below those that systems hand out by themselves.

    Another process could be given one of the latter before the first process listens on it.
    """
    while True:
        with socket.socket() as found, suppress(OSError):
            port = 20_000 + secrets.randbelow(10_000)
            found.bind(("127.0.0.1", port))
            return port


def started(command: Sequence[str], count: int, cwd: Path = ROOT) -> list["subprocess.Popen[str]"]:
    """The processes of a command; with `PYTHONPATH` they find this checkout from anywhere."""
    port, pipe = free_port(), subprocess.PIPE
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env={**environment(rank, count, port), "PYTHONPATH": str(ROOT)},
            cwd=cwd,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for rank in range(count)
    ]


def done(plan: list[dict[str, Any]], place: Path, count: int) -> list[list[dict[str, Any]]]:
    """What became of each training of a plan, by process."""
    (place / "plan.json").write_text(json.dumps(plan))
    running = started(["-W", "error", "-m", "tests.training.ranked", str(place)], count)
    for each in running:
        out, err = each.communicate(timeout=200)
        assert (each.returncode, out, err) == (0, "", ""), (each.returncode, out, err)
    return [json.loads((place / f"done-{rank}.json").read_text()) for rank in range(count)]


def _interrupt() -> None:
    raise KeyboardInterrupt


def _result(arguments: dict[str, Any], stop: int) -> dict[str, Any]:
    try:
        found = autospace.train(**arguments, observer=Watcher(stop, _interrupt))
    except KeyboardInterrupt as error:
        return {"error": type(error).__name__}
    except autospace.AutospaceError as error:
        return {"error": type(error).__name__, "text": str(error)}
    return found.result.model_dump(mode="json")


def _note_threads(place: Path) -> None:
    found = sorted(each.read_text().strip() for each in Path("/proc/self/task").glob("*/comm"))
    (place / f"threads-{os.environ['RANK']}.json").write_text(json.dumps(found))


def main(place: Path) -> None:
    # What is registered first is called last.
    atexit.register(_note_threads, place)
    plan = json.loads((place / "plan.json").read_text())
    found = [_result(each["arguments"], each.get("stop", -1)) for each in plan]
    (place / f"done-{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
