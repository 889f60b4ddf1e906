"""`--log` of the commands, read by TensorBoard itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autospace.cli.main import app
from tests.evolution.runs import SKELETON

IMAGES = "synthetic:classes=3,train=60,test=12"


def _points(folder: str, name: str) -> list[tuple[int, float]]:
    reading = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(reading)
    found = accumulator.EventAccumulator(f"{folder}/tensorboard")
    found.Reload()
    return [(each.step, each.value) for each in found.Scalars(name)]


def _run(*arguments: object) -> None:
    common: tuple[object, ...] = ("--device", "cpu", "--log", "tensorboard", "-q")
    done = CliRunner().invoke(app, [str(each) for each in (*arguments, *common)])
    assert done.exit_code == 0, done.stderr


def test_a_search_logs_its_trajectory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--steps", 3, "--evaluations", 4, "--set", "trial.steps=2", "--set", "finalists=1")
    _run("search", "mbconv@digits", "--data", IMAGES, "--out", "s", *small)
    trajectory = json.loads(Path("s/result.json").read_text())["trajectory"]
    found = _points("s", "score")
    assert [step for step, _ in found] == [each["step"] for each in trajectory]
    assert [value for _, value in found] == pytest.approx([each["score"] for each in trajectory])


def test_evolution_logs_every_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.toml").write_text(SKELETON)
    sizes = ("--generations", 1, "--population", 4, "--candidates", 2, "--keep", 2, "--steps", 2)
    sets = ("evolution.tournament=2", "warm_up.steps=3", "scoring.validation_batches=1")
    settings = [each for one in sets for each in ("--set", one)]
    _run(
        "evolve",
        "--skeleton",
        "two.toml",
        "--data",
        IMAGES,
        "--workers",
        1,
        "--out",
        "e",
        *sizes,
        *settings,
    )
    rounds = [json.loads(line) for line in Path("e/events.jsonl").read_text().splitlines()]
    points = _points("e", "fitness of layer_00")
    assert [step for step, _ in points] == list(range(1, len(rounds) + 1))
    best = [each["layers"][0]["best"] for each in rounds]
    assert [value for _, value in points] == pytest.approx(best)


def test_training_logs_its_test_accuracy_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--data", IMAGES, "--epochs", 2, "--batch", 16, "--out", "t")
    _run("train", "reference@digits", *options)
    result = json.loads(Path("t/result.json").read_text())
    expected: list[Any] = [(2, pytest.approx(result["test_accuracy"]))]
    assert _points("t", "accuracy/test") == expected
    assert len(_points("t", "loss/train")) == 2
    _run("train", "--resume", "t")
    assert _points("t", "accuracy/test") == expected


def test_a_comparison_logs_its_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ("--samples", 4, "--steps", 2, "--workers", 1, "--set", "evaluator.batch=8")
    _run("compare", "mbconv@digits", "mbconv@digits", "--data", IMAGES, "--out", "c", *small)
    result = json.loads(Path("c/comparison.json").read_text())
    low, high = result["pairs"][0]["interval"]
    for name, value in (
        ("difference", 100 * result["pairs"][0]["difference"]),
        ("difference low", 100 * low),
        ("difference high", 100 * high),
        ("decided", {"a": 1, "b": -1, "none": 0}[result["pairs"][0]["verdict"]]),
    ):
        point: list[Any] = [(4, pytest.approx(value, abs=1e-4))]
        assert _points("c", name) == point
