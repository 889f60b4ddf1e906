"""Trainings that are killed anywhere go on to the bytes of one that was not."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.evolution.runs import Server
from tests.training.runs import EPOCHS, STEPS, config

# After the step with this number, or before it is done: the first, ends of epochs, the last.
TICKS = (1, 5, 6, 7, 13, STEPS)
WRITES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.92, 0.96, 1.0)
EVERY_STEP = -1.0


class Whole(NamedTuple):
    """What an uninterrupted training left."""

    files: dict[str, bytes]
    writes: int
    seconds: float


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server("tests.training.runs")
    yield running
    running.close()


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    path = tmp_path_factory.mktemp("whole") / "run"
    found = server.run(path, between=EVERY_STEP)
    assert found["phases"] == ["train"] * STEPS
    return Whole(_lasting(path), found["writes"], found["seconds"])


def _lasting(run: Path) -> dict[str, bytes]:
    """All files of a training but the log, which holds seconds."""
    return {
        each.relative_to(run).as_posix(): each.read_bytes()
        for each in sorted(run.rglob("*"))
        if each.is_file() and each.name not in {"events.jsonl", ".lock"}
    }


def _check_equal(run: Path, whole: Whole) -> None:
    assert _lasting(run) == whole.files
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["epoch"] for event in events] == list(range(1, EPOCHS + 1))


def _killed_then_resumed(server: Server, run: Path, whole: Whole, **kill: Any) -> None:
    assert server.run(run, **kill)["code"] == -signal.SIGKILL
    assert server.run(run)["code"] == 0
    _check_equal(run, whole)


@pytest.mark.parametrize("tick", TICKS)
def test_killed_after_any_step_a_training_resumes_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path, tick: int
) -> None:
    _killed_then_resumed(server, tmp_path / "run", whole, tick=tick, between=EVERY_STEP)


@pytest.mark.parametrize("share", WRITES)
def test_killed_while_it_writes_a_training_resumes_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path, share: float
) -> None:
    write = 1 + round(share * (whole.writes - 1))
    _killed_then_resumed(server, tmp_path / "run", whole, write=write, between=EVERY_STEP)


def test_without_a_checkpoint_it_starts_over_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    _killed_then_resumed(server, tmp_path / "run", whole, tick=STEPS - 1)


def test_killed_again_and_again_at_random_moments_a_training_ends_with_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    rng = random.Random(0)
    hits = 0
    for _ in range(5):
        process = server.start(tmp_path / "run", between=EVERY_STEP)
        # In shares of a whole training: on a fast machine, a fixed delay comes after its end.
        time.sleep(rng.uniform(0.0, whole.seconds / 3))
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        code = server.wait()["code"]
        assert code in {0, -signal.SIGKILL}
        hits += code != 0
    assert server.run(tmp_path / "run")["code"] == 0
    _check_equal(tmp_path / "run", whole)
    assert hits > 0


@pytest.mark.slow
def test_killed_at_every_step_and_every_write_a_training_resumes_to_the_same_bytes(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    for tick in range(1, STEPS + 1):
        kill = {"tick": tick, "between": EVERY_STEP}
        _killed_then_resumed(server, tmp_path / f"tick{tick}" / "run", whole, **kill)
    for write in range(1, whole.writes + 1):
        kill = {"write": write, "between": EVERY_STEP}
        _killed_then_resumed(server, tmp_path / f"write{write}" / "run", whole, **kill)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"method": "adamw"}},
        {"optimizer": {"momentum": 0.0}, "training": {"average": 0.0, "keep": "last"}},
        {"data": {"validation": 0.0}, "training": {"keep": "last", "precision": "bfloat16"}},
    ],
    ids=["adamw", "plain SGD", "bfloat16"],
)
def test_every_kind_of_training_resumes_to_the_same_bytes(
    server: Server, tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert server.run(tmp_path / "whole/run", settings=changes)["code"] == 0
    parts = tmp_path / "parts/run"
    assert server.run(parts, settings=changes, tick=9, between=EVERY_STEP)["code"] < 0
    assert server.run(parts)["code"] == 0
    assert _lasting(parts) == _lasting(tmp_path / "whole/run")


@pytest.mark.parametrize("tick", [1, 6, STEPS])
def test_interrupted_a_training_saves_the_step_just_done(
    server: Server, whole: Whole, tmp_path: Path, tick: int
) -> None:
    run = tmp_path / "run"
    assert server.run(run, tick=tick, interrupt=True)["code"] == 130
    assert (run / "checkpoint/session.safetensors").exists()
    assert not list(run.rglob(".*.part"))
    assert not (run / "result.json").exists()
    # Nothing is done twice: what is left are the other steps.
    assert server.run(run)["phases"] == ["train"] * (STEPS - tick)
    _check_equal(run, whole)


def test_a_damaged_or_foreign_checkpoint_is_one_line_and_stays(
    server: Server, whole: Whole, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert server.run(run, tick=9, between=EVERY_STEP)["code"] < 0
    path = run / "checkpoint/session.safetensors"
    sound, settings = path.read_bytes(), (run / "config.toml").read_text()
    flipped = sound[:-1] + bytes([sound[-1] ^ 1])
    for raw in (b"", sound[:100], sound[:-7], flipped):
        path.write_bytes(raw)
        found = server.run(run)
        assert found["code"] == 2
        assert found["error"].startswith(f"CheckpointError: {path}: damaged")
        assert "\n" not in found["error"]
        assert path.read_bytes() == raw
    path.write_bytes(sound)
    (run / "config.toml").write_text(settings.replace("momentum = 0.9", "momentum = 0.8"))
    problem = "optimizer.momentum is 0.8, but was 0.9 when this run began; put it back"
    assert problem in server.run(run)["error"]
    (run / "config.toml").write_text(settings)
    assert server.run(run)["code"] == 0
    _check_equal(run, whole)


def test_other_images_are_refused(server: Server, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert server.run(run, tick=9, between=EVERY_STEP)["code"] < 0
    text = (run / "config.toml").read_text()
    source = config().data.source
    assert source in text
    (run / "config.toml").write_text(text.replace(source, f"{source},seed=1"))
    problem = (
        "the data has changed since this run began; start a new run with --out (out= in Python)"
    )
    assert server.run(run)["error"] == f"RunError: {run}: {problem}"
