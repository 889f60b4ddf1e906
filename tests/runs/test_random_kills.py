"""Killed at random moments, with the default pool of workers: the same bytes, and nothing left."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.evolution.runs import Server
from tests.slow import slowly

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
COMMANDS: Final = ("evolve", "compare", "search", "train")
MEASURED: Final = ("seconds", "memory_mb", "trajectory", "command")
"""What two runs of the same work do not share."""
VARYING: Final = ("events.jsonl", ".lock", "report.html", "search.safetensors")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server("tests.runs.killed")
    yield running
    running.close()


def _lasting(run: Path) -> dict[str, object]:
    """All files of a run by name: bytes, or the values of a JSON file without measurements."""
    found: dict[str, object] = {}
    for each in sorted(run.rglob("*")):
        name = each.relative_to(run).as_posix()
        if each.is_file() and each.name not in VARYING:
            found[name] = each.read_bytes()
            if each.name in ("result.json", "comparison.json"):
                plain = json.loads(each.read_text())
                found[name] = {key: plain[key] for key in plain if key not in MEASURED}
    return found


def _alive(group: int) -> list[int]:
    """Processes of a group that still run; those that are dead and not yet waited for are not."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, member_of = stat.read_text().rpartition(")")[2].split()[:3]
            if int(member_of) == group and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def _nobody_stays(group: int) -> None:
    deadline = time.monotonic() + 60
    while alive := _alive(group):
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.05)


def _killed(server: Server, command: str, path: Path, after: float) -> int:
    process = server.start(path, command=command)
    time.sleep(after)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    code: int = server.wait()["code"]
    _nobody_stays(process)
    return code


def _kill_and_resume(server: Server, command: str, kills: int, folder: Path) -> None:
    """Kills runs, each at one moment, or at two if there is time; all end with the same files."""
    whole: dict[str, Any] = server.run(folder / "whole" / "run", command=command)
    assert whole["code"] == 0, whole
    expected, rng = _lasting(folder / "whole" / "run"), random.Random(command)
    seconds, hits = whole["seconds"], 0
    for index in range(kills):
        path = folder / str(index) / "run"
        path.parent.mkdir()
        # Stratified, so that the kills are spread over the whole run.
        moment = seconds * (index + rng.random()) / kills
        hit = _killed(server, command, path, moment) == -signal.SIGKILL
        hits += hit
        if not hit:  # the machine had more to do when the whole run was timed
            seconds = min(seconds, moment)
        found = server.run(path, command=command)
        assert found["code"] == 0, found
        assert _lasting(path) == expected
        left = [each.name for each in path.rglob("*") if each.name.endswith(".part")]
        assert left == []
    # The last moments may come after the end of a fast run.
    assert hits >= kills // 2


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("command", "kills"),
    [("search", 2), ("train", 4), *slowly(*((command, 20) for command in COMMANDS))],
)
def test_killed_at_random_moments_a_run_is_resumed_and_nothing_is_left(
    server: Server, command: str, kills: int, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    _kill_and_resume(server, command, kills, tmp_path)
