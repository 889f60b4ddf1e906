"""Whole trainings in this process: what they leave, and what they refuse."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.evolution.folder import RunFolder
from autospace.evolution.settings import Config
from autospace.networks.network import Network
from autospace.networks.weights import load_metadata, load_weights
from autospace.progress import Event
from autospace.runs.errors import CheckpointError, ConfigError, RunError
from autospace.runs.settings import to_toml
from autospace.spaces import Architecture, load_architecture
from autospace.training import full as run
from autospace.training import life
from autospace.training.folder import TrainingFolder
from autospace.training.full import fitted, train_architecture
from autospace.training.session import Session
from autospace.training.short import measure
from tests.training.runs import EPOCHS, STEPS, Watcher, architecture, config, trained

NO_MIXING = {"augment": {"crop": 0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0}}


def _files(path: Path) -> dict[str, bytes]:
    """All files of a training but the log, which holds seconds."""
    return {
        each.relative_to(path).as_posix(): each.read_bytes()
        for each in sorted(path.rglob("*"))
        if each.is_file() and each.name not in {"events.jsonl", ".lock"}
    }


def test_a_training_leaves_weights_result_and_a_line_an_epoch(tmp_path: Path) -> None:
    result = trained(tmp_path / "run")
    assert set(_files(tmp_path / "run")) == {
        "architecture.json",
        "config.toml",
        "data.json",
        "model.safetensors",
        "result.json",
        "checkpoint/began.json",
        "checkpoint/data.sha256",
        "checkpoint/session.safetensors",
    }
    assert json.loads((tmp_path / "run/result.json").read_text()) == result
    events = [json.loads(each) for each in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    assert [event["epoch"] for event in events] == [1, 2, 3]
    for event, point in zip(events, result["curve"], strict=True):
        assert event.items() >= point.items()
        assert event["seconds"] >= 0
        assert event["images_per_second"] > 0
    assert (result["epochs"], result["steps"], result["seed"]) == (EPOCHS, STEPS, 0)
    counts = {"train": 48, "validation": 12, "test": 12}
    assert result["data"].items() >= counts.items()
    own = load_architecture(tmp_path / "run/architecture.json")
    assert (result["madds"], result["params"], 0) == own.cost


def test_the_saved_weights_have_the_accuracy_that_the_result_states(tmp_path: Path) -> None:
    result = trained(tmp_path / "run", {"training": {"epochs": 8}})
    own, weights = load_weights(tmp_path / "run/model.safetensors")
    network = Network(own.skeleton, own.cells)
    network.load_state_dict(weights)
    about = load_metadata(tmp_path / "run/model.safetensors")
    norm = json.loads(about["normalisation"])
    data = load_data("synthetic:classes=3,train=60,test=12", resolution=8)
    mean, std = (torch.tensor(norm[key])[:, None, None] for key in ("mean", "std"))
    found = measure(network, [((data.test.images.float() - mean) / std, data.test.labels)])
    assert found.accuracy == result["test_accuracy"] == float(about["test_accuracy"])
    assert found.loss == pytest.approx(result["test_loss"], rel=1e-4)
    assert json.loads(about["classes"]) == list(data.classes) == result["data"]["classes"]


class _Stopping(Watcher):
    """Stops the training after its first epoch."""

    def event(self, event: Event) -> None:
        raise KeyboardInterrupt


def test_an_observer_that_stops_at_an_epoch_loses_no_step(tmp_path: Path) -> None:
    folder = TrainingFolder.create(tmp_path / "run", config())
    with pytest.raises(KeyboardInterrupt):
        train_architecture(folder, _Stopping(), architecture=architecture(tmp_path))
    watcher = Watcher()
    train_architecture(TrainingFolder.open(folder.path), watcher)
    assert watcher.phases == ["train"] * (STEPS - STEPS // EPOCHS)


def test_a_resume_says_which_lines_of_the_log_were_lost(tmp_path: Path) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    folder = TrainingFolder.create(tmp_path / "run", config())
    with pytest.raises(KeyboardInterrupt):
        train_architecture(folder, Watcher(STEPS - 1, stop), architecture=architecture(tmp_path))
    log = folder.path / "events.jsonl"
    first, *others = log.read_text().splitlines(keepends=True)
    log.write_text("".join((first[:-9], "\n", *others)))
    watcher = Watcher()
    train_architecture(TrainingFolder.open(folder.path), watcher)
    (said,) = (each for each in watcher.messages if "events.jsonl" in each)
    assert said.startswith(f"warning: {log}: lost or damaged: 1 epoch (1); written again with")
    lines = [json.loads(each) for each in log.read_text().splitlines()]
    assert [each["epoch"] for each in lines] == list(range(1, EPOCHS + 1))
    assert ["seconds" in each for each in lines] == [False, True, True]


def test_speed_counts_what_was_trained_since_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    counts: list[int] = []
    log = TrainingFolder.log

    def counted(self: TrainingFolder, epoch: Any, seconds: float, units: int) -> None:
        counts.append(units)
        log(self, epoch, seconds, units)

    monkeypatch.setattr(TrainingFolder, "log", counted)
    # Batches of 9 leave 3 of the 48 images out.
    folder = TrainingFolder.create(tmp_path / "run", config({"training": {"batch": 9}}))
    with pytest.raises(KeyboardInterrupt):
        train_architecture(folder, Watcher(2, stop), architecture=architecture(tmp_path))
    train_architecture(TrainingFolder.open(folder.path), Watcher())
    assert counts == [3 * 9, 5 * 9, 5 * 9]


class _Guarded:
    """A data set that notes after how many steps its test split is looked at."""

    def __init__(self, data: DataSet, steps: Callable[[], int]) -> None:
        self._data, self._steps = data, steps
        self.looked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    @property
    def test(self) -> Any:
        self.looked.append(self._steps())
        return self._data.test


def test_the_test_split_is_looked_at_once_after_the_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = [0]
    advance = Session.advance

    def counted(self: Session) -> None:
        advance(self)
        done[0] += 1

    monkeypatch.setattr(Session, "advance", counted)
    guarded: list[_Guarded] = []

    def load(*arguments: Any, **options: Any) -> _Guarded:
        guarded.append(_Guarded(load_data(*arguments, **options), lambda: done[0]))
        return guarded[-1]

    monkeypatch.setattr(run, "load_data", load)
    trained(tmp_path / "run")
    assert [each.looked for each in guarded] == [[STEPS]]


def test_other_test_images_change_no_weight_and_no_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = trained(tmp_path / "a/run")

    def other(*arguments: Any, **options: Any) -> DataSet:
        data = load_data(*arguments, **options)
        return replace(data, test=replace(data.test, labels=(data.test.labels + 1) % 3))

    monkeypatch.setattr(run, "load_data", other)
    second = trained(tmp_path / "b/run")
    assert first["test_loss"] != second["test_loss"]
    assert first["curve"] == second["curve"]
    one, two = (load_weights(tmp_path / each / "run/model.safetensors")[1] for each in "ab")
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_weights(tmp_path: Path) -> None:
    trained(tmp_path / "a/run")
    trained(tmp_path / "b/run")
    trained(tmp_path / "c/run", {"seed": 1})
    a, b, c = (_files(tmp_path / each / "run") for each in "abc")
    assert a == b
    assert a["model.safetensors"] != c["model.safetensors"]


def test_planted_classes_are_learned(tmp_path: Path) -> None:
    result = trained(
        tmp_path / "run",
        NO_MIXING,
        {
            "data": {"source": "synthetic:classes=3,train=600,test=150,resolution=8"},
            "training": {"epochs": 8, "batch": 16, "drop_path": 0.05, "average": 0.95},
        },
    )
    assert result["test_accuracy"] > 0.95
    assert result["validation_accuracy"] > 0.95


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_planted_classes_are_learned_on_a_gpu(tmp_path: Path, precision: str) -> None:
    changes = {
        "device": "cuda",
        "data": {"source": "synthetic:classes=3,train=600,test=150,resolution=8"},
        "training": {"epochs": 8, "batch": 16, "average": 0.95, "precision": precision},
    }
    result = trained(tmp_path / "run", NO_MIXING, changes)
    assert (result["device"], result["test_accuracy"] > 0.95) == ("cuda", True)


def test_without_validation_all_images_train_and_the_last_weights_are_kept(tmp_path: Path) -> None:
    result = trained(tmp_path / "run", {"data": {"validation": 0.0}, "training": {"keep": "last"}})
    assert (result["data"]["train"], result["data"]["validation"]) == (60, 0)
    assert result["validation_accuracy"] is None
    assert result["kept_epoch"] == EPOCHS
    assert result["steps"] == EPOCHS * (60 // 8)


def test_the_best_weights_cannot_be_kept_without_validation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training\.keep: best needs validation images"):
        trained(tmp_path / "run", {"data": {"validation": 0.0}})
    assert not (tmp_path / "run").exists()


def test_the_architecture_is_fitted_to_the_images_and_its_new_cost_told(tmp_path: Path) -> None:
    given = load_architecture("reference@cifar")
    changes = {"data": {"source": "synthetic:classes=3,train=30,test=9,channels=1,resolution=8"}}
    folder = TrainingFolder.create(
        tmp_path / "run", config(changes, {"data": {"resolution": 8}, "training": {"epochs": 1}})
    )
    watcher = Watcher()
    result = train_architecture(folder, watcher, architecture=given)
    own = load_architecture(tmp_path / "run/architecture.json")
    assert (own.skeleton.in_channels, own.skeleton.resolution, own.skeleton.classes) == (1, 8, 3)
    assert own.cells == given.cells
    (said,) = (each for each in watcher.messages if each.startswith("fitted"))
    assert said.startswith("fitted to 8x8x1 images, 3 classes: MAdds 43.5M -> ")
    assert f", params 272k -> {own.cost.params / 1000:.0f}k" in said
    assert len(said) <= 80
    assert result.madds == own.cost.madds < given.cost.madds


def test_the_plan_is_told_and_its_timed_steps_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {}
    for name, few in (("timed", 1), ("untimed", 10**6)):
        monkeypatch.setattr(run, "FEW_STEPS", few)
        folder, watcher = TrainingFolder.create(tmp_path / name, config()), Watcher()
        train_architecture(folder, watcher, architecture=architecture(tmp_path))
        told[name] = [each for each in watcher.messages if each.startswith("plan: ")]
    assert told["timed"][:2] == told["untimed"]
    assert f"{EPOCHS} epochs, {STEPS} steps of 8 images" in told["untimed"][1]
    assert re.fullmatch(
        r"plan: about \d+ s and [\d,]+ MB on cpu with 1 worker, .*", told["timed"][2]
    )
    assert _files(tmp_path / "timed") == _files(tmp_path / "untimed")


def test_fitting_what_fits_changes_nothing(tmp_path: Path) -> None:
    given: Architecture = architecture(tmp_path)
    data = load_data("synthetic:classes=3,train=30,test=9", resolution=8)
    assert fitted(given, data) == given


def test_a_diverged_training_keeps_the_checkpoint_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(life, "SECONDS_BETWEEN_CHECKPOINTS", -1.0)
    advance = Session.advance

    def broken(self: Session) -> None:
        if self.step == 8:
            with torch.no_grad():
                self.network.classifier.weight.fill_(float("nan"))
        advance(self)

    monkeypatch.setattr(Session, "advance", broken)
    folder = TrainingFolder.create(tmp_path / "run", config())
    with pytest.raises(ConfigError, match="not finite at step 9 of 18; try a lower rate"):
        train_architecture(folder, Watcher(), architecture=architecture(tmp_path))
    with safe_open(tmp_path / "run/checkpoint/session.safetensors", "pt") as stream:
        assert json.loads(json.loads(stream.metadata()["state"])["session"])["step"] == 8
    assert not (tmp_path / "run/model.safetensors").exists()
    assert not (tmp_path / "run/result.json").exists()
    monkeypatch.setattr(Session, "advance", advance)
    # From the last sound checkpoint it goes on as if nothing had happened.
    train_architecture(TrainingFolder.open(tmp_path / "run"), Watcher())
    trained(tmp_path / "other/run")
    assert _files(tmp_path / "run") == _files(tmp_path / "other/run")


def test_a_finished_training_is_only_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = trained(tmp_path / "run")
    monkeypatch.setattr(run, "load_data", None)
    folder = TrainingFolder.open(tmp_path / "run")
    assert train_architecture(folder, Watcher()).model_dump(mode="json") == result


def test_a_result_of_version_1_is_read_and_a_damaged_one_names_the_place(tmp_path: Path) -> None:
    result = trained(tmp_path / "run")
    path = tmp_path / "run/result.json"
    path.write_text(json.dumps(result | {"version": 1}))
    folder = TrainingFolder.open(tmp_path / "run")
    assert folder.load_result().model_dump(mode="json") == result | {"version": 1}
    for change, problem in (
        ({"version": 3}, "version: 3; allowed: 1 or 2"),
        ({"test_accuracy": 81.5}, "test_accuracy: 81.5; allowed: 1 or less"),
        ({"curve": [{"epoch": "1"}]}, r'curve\[0\]\.epoch: "1"; allowed: an integer'),
    ):
        path.write_text(json.dumps(result | change))
        with pytest.raises(CheckpointError, match=rf"result\.json: {problem}"):
            folder.load_result()


def test_runs_of_evolution_and_trainings_keep_out_of_each_other(tmp_path: Path) -> None:
    trained(tmp_path / "training")
    path = tmp_path / "evolution"
    path.mkdir()
    RunFolder.create(path / "run", Config())
    for attempt, problem in (
        (lambda: TrainingFolder.open(path / "run"), "holds a run of autospace evolve"),
        (lambda: TrainingFolder.create(path / "run", config(), force=True), "autospace evolve"),
        (lambda: RunFolder.open(tmp_path / "training"), "holds a run of autospace train"),
        (lambda: RunFolder.create(tmp_path / "training", Config(), force=True), "autospace train"),
    ):
        with pytest.raises(RunError, match=problem):
            attempt()
    assert (path / "run/config.toml").read_text() == f'command = "evolve"\n{to_toml(Config())}'


def test_force_replaces_what_a_training_wrote_and_nothing_else(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    for name in ("notes.txt", "model.onnx"):
        (tmp_path / "run" / name).write_text("x")
    (tmp_path / "run/tensorboard").mkdir()
    (tmp_path / "run/tensorboard/events").write_text("x")
    before = _files(tmp_path / "run")
    folder = TrainingFolder.create(tmp_path / "run", config({"seed": 3}), force=True)
    assert _files(tmp_path / "run") == before
    train_architecture(folder, Watcher(), architecture=architecture(tmp_path))
    after = _files(tmp_path / "run")
    assert set(before) - set(after) == {"model.onnx", "tensorboard/events"}
    assert set(after) - set(before) == {"checkpoint/replaced"}
    assert after["model.safetensors"] != before["model.safetensors"]
    assert after["notes.txt"] == b"x"
