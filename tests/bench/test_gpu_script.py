"""benchmarks/gpu.sh: the whole of it on the CPU, what it does when time is up or a part fails."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.scorers.make import SCORERS
from tests.benchmarks.scripts import script
from tests.evolution.runs import ROOT

__all__ = ["script"]
PARTS = ("card", "search_step", "rounds", "training_images_per_s", "depthwise", "candidates")


@pytest.mark.slow
def test_the_whole_script_runs_on_a_cpu_when_asked_for_smoke(tmp_path: Path) -> None:
    out = tmp_path / "new" / "gpu.json"
    words = ["--smoke", "--out", str(out), "--run", str(tmp_path / "run")]
    command = [str(ROOT / "benchmarks" / "gpu.sh"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert {name for name in PARTS if "error" in found[name] or not found[name]} == set()
    assert {name for name, row in found["correctness"].items() if row["right"]} == {*SCORERS} - {
        "predicted"
    }
    assert found["evolve"]["finished"]
    assert (tmp_path / "run" / "space.json").is_file()
    assert found["smoke"]
    assert not found["recorded"]
    assert found["versions"]["torch"]
    assert len(found["depthwise"]) == 3 * 2 * 2
    assert found["search_step"]["plain eager float32 nchw"]["times_plain"] == 1


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured(tmp_path: Path) -> None:
    command = [str(ROOT / "benchmarks" / "gpu.sh"), "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--smoke" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_evolve_whose_time_is_up_goes_on_in_the_next_call(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = script("gpu")
    call = (tmp_path / "run", gpu.SMOKE_RUN, "cpu")

    def up_when_scoring(watch: Any, phase: str, done: int, total: int) -> None:
        if phase == "score":
            raise gpu.TimeUpError

    with monkeypatch.context() as patch:
        patch.setattr(gpu.Watch, "tick", up_when_scoring)
        first = gpu.evolved(*call, 1000.0, {"seconds": 1000.0})
    assert not first["finished"]
    assert first["remarks"][-1].startswith("the time was up")
    assert first["seconds"] < 500
    second = gpu.evolved(*call, 1000.0, {"seconds": 1000.0})
    assert second["finished"]
    assert 1000 < second["seconds"] < 1500
    # A finished run is not gone on with, but made anew.
    assert gpu.evolved(*call, 1000.0, second)["seconds"] < 500


def test_a_part_that_fails_leaves_its_error_and_the_others_are_done(
    script: Any, tmp_path: Path
) -> None:
    gpu = script("gpu")
    report = gpu.Report(tmp_path / "gpu.json", {"smoke": True})

    def fail() -> None:
        raise RuntimeError("no such kernel")

    report.part("correctness", lambda: {"probe": {"right": True}, "local": {"right": False}})
    report.part("card", fail)
    report.part("rounds", lambda: 3)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["card"] == {"error": "RuntimeError: no such kernel"}
    assert (found["rounds"], report.failed) == (3, True)
    assert gpu.wrong(report) == ["local"]
    assert set(found["seconds"]) == {"correctness", "card", "rounds"}


def test_a_scorer_that_is_wrong_on_the_device_is_found(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = script("gpu_steps")
    found = {"a": [[1.0, 2.0]], "b": [[1.0, 2.2]]}
    assert steps._furthest(found["a"], found["a"]) == 0
    assert steps._furthest(found["a"], found["b"]) == pytest.approx(0.1)
    monkeypatch.setattr(steps, "SCORERS", {"probe": None})
    ways = steps.executions(torch.device("cpu"), print)

    def fitness(
        _amount: Any, _method: str, execution: Any, _rounding: int | None = None
    ) -> list[list[float]]:
        return found["b"] if execution is ways["recorded float32"] else found["a"]

    monkeypatch.setattr(steps, "_fitness", fitness)
    (row,) = steps.correctness(steps.SMOKE, torch.device("cpu"), ways).values()
    assert not row["right"]
    assert row["furthest"]["float32 against the CPU"] == 0


def test_fitness_that_is_0_everywhere_is_not_divided_by(script: Any) -> None:
    steps = script("gpu_steps")
    assert steps._furthest([[0.0]], [[0.0]]) == 0
    assert steps._furthest([[0.0, 0.0]], [[1.0, 0.0]]) > 1


def test_a_part_alone_keeps_what_was_measured_of_the_others(script: Any, tmp_path: Path) -> None:
    gpu = script("gpu")
    path = tmp_path / "gpu.json"
    whole = gpu.Report(path, {"smoke": True})
    for name in ("card", "rounds"):
        whole.part(name, lambda: 1)
    alone = gpu.Report(path, {"smoke": True}, gpu.parts("rounds"))
    for name in ("card", "rounds"):
        alone.part(name, lambda: 2)
    found = json.loads(path.read_text())
    assert (found["card"], found["rounds"]) == (1, 2)
    assert gpu.wrong(alone) == []
    with pytest.raises(argparse.ArgumentTypeError, match=r"x: no such part; allowed: correctness"):
        gpu.parts("card,x")


def test_no_part_begins_when_the_time_is_up(script: Any, tmp_path: Path) -> None:
    gpu = script("gpu")
    report = gpu.Report(tmp_path / "gpu.json", {"smoke": True}, limit=-1.0)
    report.part("card", pytest.fail)
    assert report.found["remarks"] == ["card: not measured, the time was up"]


@pytest.mark.slow
def test_it_runs_from_a_checkout_that_nothing_was_installed_in(tmp_path: Path) -> None:
    bare, out = tmp_path / "bare", tmp_path / "gpu.json"
    for name in ("autospace", "cli", "spaces", "benchmarks"):
        leave = shutil.ignore_patterns("_native*", "__pycache__", "results")
        shutil.copytree(ROOT / name, bare / name, ignore=leave)
    shutil.copy(ROOT / "pyproject.toml", bare)
    # An interpreter that sees the packages, but not the one that was installed from a checkout.
    python = tmp_path / "python"
    paths = Path(torch.__file__).parents[1]
    base = sys._base_executable  # type: ignore[attr-defined]
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{paths}" exec "{base}" -s "$@"\n'
    )
    python.chmod(0o755)
    words = ["--smoke", "--only", "card", "--out", str(out)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [str(bare / "benchmarks" / "gpu.sh"), *words],
        env={**environment, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["card"]["launch_us"] > 0
    assert "no kernels" not in done.stderr
