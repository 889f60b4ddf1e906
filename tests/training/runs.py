"""Whole trainings of a fraction of a second, in this process or in ones that can be killed.

As a program, this file is the server of `tests.evolution.runs`, with trainings for runs.
"""

import time
from pathlib import Path
from typing import Any

from autospace.progress import Event
from autospace.runs.errors import RunError
from autospace.runs.settings import make_settings
from autospace.spaces import Architecture, load_architecture
from autospace.training.folder import TrainingFolder
from autospace.training.full import train_architecture
from autospace.training.life import EpochEvent
from autospace.training.settings import TrainConfig
from tests.evolution.runs import SKELETON, Counting, interrupt, kill, kill_at_write, serve

EPOCHS, STEPS_PER_EPOCH = 3, 6
STEPS = EPOCHS * STEPS_PER_EPOCH

# Everything that has a state or draws numbers is on.
SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "data": {"source": "synthetic:classes=3,train=60,test=12", "validation": 0.2},
    "augment": {"crop": 1, "erasing": 0.3, "mixup": 0.2, "cutmix": 0.5},
    "optimizer": {"warm_up": 0.5},
    "training": {
        "epochs": EPOCHS,
        "batch": 8,
        "label_smoothing": 0.1,
        "drop_path": 0.2,
        "average": 0.8,
        "keep": "best",
    },
}


class Watcher(Counting):
    """An observer that keeps the epochs, and stops or kills its process after a given step."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.epochs: list[Any] = []

    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == "train":
            super().tick(phase, done, total)

    def event(self, event: Event) -> None:
        if isinstance(event, EpochEvent):
            self.epochs.append(event.epoch)


def config(*changes: dict[str, Any]) -> TrainConfig:
    return make_settings(TrainConfig, SETTINGS, *changes)


def architecture(folder: Path) -> Architecture:
    """Two layers of MBConv k3; the first has a shortcut."""
    folder.mkdir(parents=True, exist_ok=True)
    skeleton = folder / "two.toml"
    skeleton.write_text(SKELETON)
    return load_architecture(f"reference@{skeleton}")


def trained(path: Path, *changes: dict[str, Any]) -> dict[str, Any]:
    """The result of a new training in this process, as plain values."""
    folder = TrainingFolder.create(path, config(*changes))
    result = train_architecture(folder, Watcher(), architecture=architecture(path.parent))
    return result.model_dump(mode="json")


def _child(request: dict[str, Any]) -> dict[str, Any]:
    import torch

    from autospace.training import life as run

    torch.set_num_threads(1)
    run.SECONDS_BETWEEN_CHECKPOINTS = request.get("between", 30.0)
    path, writes = Path(request["path"]), [0]
    given = architecture(path.parent)
    kill_at_write(request.get("write", -1), writes)
    act = interrupt if request.get("interrupt") else kill
    observer = Watcher(request.get("tick", -1), act)
    started = time.perf_counter()
    folder, new = _folder(path, config(request.get("settings", {})), given)
    try:
        train_architecture(folder, observer, architecture=new)
    except KeyboardInterrupt:
        return {"code": 130}
    except ValueError as error:
        return {"code": 2, "error": f"{type(error).__name__}: {error}"}
    seconds = time.perf_counter() - started
    return {"code": 0, "phases": observer.phases, "writes": writes[0], "seconds": seconds}


def _folder(
    path: Path, chosen: TrainConfig, given: Architecture
) -> tuple[TrainingFolder, Architecture | None]:
    """The training to go on with, or a new one if it had not begun, as its message says."""
    if not (path / "config.toml").exists():
        return TrainingFolder.create(path, chosen), given
    folder = TrainingFolder.open(path)
    try:
        _ = folder.architecture
    except RunError:
        return TrainingFolder.create(path, chosen, force=True), given
    return folder, None


if __name__ == "__main__":
    serve(_child)
