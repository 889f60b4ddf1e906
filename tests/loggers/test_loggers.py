"""Numbers of runs in the real tools, and what becomes of a run whose tool fails."""

import errno
import math
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace import loggers
from autospace.evolution.folder import RunFolder
from autospace.evolution.settings import make_config
from autospace.loggers import LOGGERS, RunLogger, identity, settings_of
from autospace.progress import Event, Silent, Together
from autospace.runs.errors import ConfigError
from autospace.spaces.files.library import load_skeleton

CONFIG = 'command = "train"\nseed = 3\n[data]\nsource = "digits"\n'


@dataclass(frozen=True)
class Part(Event):
    folder: Path
    index: int
    values: Mapping[str, float]

    @property
    def run(self) -> Path:
        return self.folder

    @property
    def step(self) -> int:
        return self.index

    def numbers(self) -> Mapping[str, float]:
        return self.values


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my run"
    path.mkdir()
    (path / "config.toml").write_text(CONFIG)
    return path


def _log(name: str, folder: Path, steps: range) -> list[str]:
    said: list[str] = []
    logger = RunLogger("train", [name], said.append)
    logger.message("a remark")
    for step in steps:
        logger.event(Part(1.0, folder, step, {"loss/train": 1.0 / step}))
        logger.event(Part(1.0, folder, step, {}))
    logger.close()
    return said


def test_tensorboard_reads_the_points(folder: Path) -> None:
    reading = "tensorboard.backend.event_processing.event_accumulator"
    accumulator = pytest.importorskip(reading)
    assert _log("tensorboard", folder, range(1, 4)) == []
    assert _log("tensorboard", folder, range(3, 5)) == []
    found = accumulator.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    points = [(each.step, each.value) for each in found.Scalars("loss/train")]
    assert points == [(step, pytest.approx(1 / step)) for step in range(1, 5)]


def test_a_full_disk_under_tensorboard_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.record_writer").RecordWriter

    def full(*given: Any) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(writer, "write", full)
    before = threading.excepthook
    said = _log("tensorboard", folder, range(1, 9))
    assert len(said) == 1
    assert said[0].startswith("tensorboard is left out from now on: ")
    assert "Traceback" not in capfd.readouterr().err
    threading.excepthook = before


def test_a_writer_that_is_stopped_at_its_first_word_is_heard(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its thread may end before the constructor returns."""
    import torch.utils.tensorboard as board

    made, before = board.SummaryWriter, threading.excepthook

    def begun(*given: Any, **named: Any) -> Any:
        def stop() -> None:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

        thread = threading.Thread(target=stop)
        thread.start()
        thread.join()
        return made(*given, **named)

    monkeypatch.setattr(board, "SummaryWriter", begun)
    assert _log("tensorboard", folder, range(1, 3)) == []
    assert "Traceback" not in capfd.readouterr().err
    threading.excepthook = before


def _records(raw: bytes) -> Iterator[bytes]:
    """The records of W&B's file: LevelDB's log format after a header of 7 bytes."""
    place, part = 7, b""
    while place + 7 <= len(raw):
        left = 32_768 - place % 32_768
        if left < 7:
            place += left
            continue
        size, kind = struct.unpack("<HB", raw[place + 4 : place + 7])
        part += raw[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            yield part
            part = b""


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_the_points_offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    assert _log("wandb", folder, range(1, 4)) == []
    (path,) = Path("wandb").glob("offline-run-*/run-*.wandb")
    assert identity(folder) in path.name
    rows: list[dict[str, str]] = []
    config: dict[str, str] = {}
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            rows.append(
                {
                    each.key or "/".join(each.nested_key): each.value_json
                    for each in record.history.item
                }
            )
        for each in record.run.config.update:
            config[each.key or "/".join(each.nested_key)] = each.value_json
    assert [float(row["loss/train"]) for row in rows] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [int(row["_step"]) for row in rows] == [1, 2, 3]
    assert config["data.source"] == '"digits"'


@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_one_run_that_a_resumed_run_continues(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    assert _log("mlflow", folder, range(1, 3)) == []
    assert _log("mlflow", folder, range(3, 5)) == []
    client = MlflowClient()
    experiment = client.get_experiment_by_name("autospace")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "my run"
    assert run.data.params == {"seed": "3", "data.source": "digits"}
    points = [
        (each.step, each.value) for each in client.get_metric_history(run.info.run_id, "loss/train")
    ]
    assert sorted(points) == [(step, pytest.approx(1 / step)) for step in range(1, 5)]


class Broken:
    """A tool that fails: at once, at the second number, or at the end."""

    def __init__(self, when: str) -> None:
        self.when, self.added = when, 0
        if when == "open":
            raise OSError("no network\nat all")

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        self.added += 1
        if self.when == "add" and self.added == 2:
            raise RuntimeError("quota")

    def close(self) -> None:
        if self.when == "close":
            raise RuntimeError("gone")


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("open", "wandb is left out from now on: OSError: no network"),
        ("add", "wandb is left out from now on: RuntimeError: quota"),
        ("close", "wandb is left out from now on: RuntimeError: gone"),
        ("never", None),
    ],
)
def test_a_tool_that_fails_is_left_out_and_the_run_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, when: str, said: str | None
) -> None:
    def make(*_: Any) -> Broken:
        return Broken(when)

    monkeypatch.setattr(loggers, "LOGGERS", {"wandb": ("json", make)})
    assert _log("wandb", folder, range(1, 5)) == ([] if said is None else [said])


def test_what_is_unknown_or_missing_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r'log: "wandbb": unknown; did you mean wandb\? Allowed'):
        RunLogger("train", ["wandbb"], print)
    missing = {"mlflow": ("no_such_package", LOGGERS["mlflow"][1])}
    monkeypatch.setattr(loggers, "LOGGERS", missing)
    with pytest.raises(ConfigError, match=r"needs the package no_such_package: pip install 'autos"):
        RunLogger("train", ["mlflow"], print)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_a_run_has_one_identity_whatever_its_name(name: str) -> None:
    found = identity(Path("/runs") / name)
    assert found == identity(Path("/runs") / name)
    assert math.log2(int(found, 16) + 1) <= 64
    assert found != identity(Path("/runs") / name / "other")


def test_a_run_that_replaces_another_has_an_identity_of_its_own(tmp_path: Path) -> None:
    def begun() -> str:
        folder = RunFolder.create(tmp_path / "run", make_config({"seed": 1}), force=True)
        folder.settle(load_skeleton("digits"), "digest")
        assert identity(tmp_path / "run") == identity(tmp_path / "run")
        return identity(tmp_path / "run")

    first, second = begun(), begun()
    assert first != second
    RunFolder.open(tmp_path / "run").settle(load_skeleton("digits"), "digest")
    assert identity(tmp_path / "run") == second


def test_settings_have_dotted_names(folder: Path) -> None:
    assert settings_of(folder) == {"seed": 3, "data.source": "digits"}
    assert settings_of(folder / "gone") == {}


def test_observers_together_hear_the_same() -> None:
    heard: list[str] = []

    class Ear(Silent):
        def message(self, text: str) -> None:
            heard.append(text)

        def tick(self, phase: str, done: int, total: int) -> None:
            heard.append(f"{phase} {done}/{total}")

        def event(self, event: Event) -> None:
            heard.append(str(event.seconds))

    both = Together(Ear(), Ear())
    both.message("a")
    both.tick("data", 1, 2)
    both.event(Event(3.0))
    assert heard == ["a", "a", "data 1/2", "data 1/2", "3.0", "3.0"]
    assert (Event(1.0).run, Event(1.0).step, Event(1.0).numbers()) == (Path(), 0, {})
