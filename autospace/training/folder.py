"""The folder of a training: configuration, architecture, log, checkpoint, weights, result."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from autospace.evolution.checkpoint import CheckpointError
from autospace.runs.files import write_atomically
from autospace.runs.folder import Folder, RunError
from autospace.runs.settings import make_settings, read_config
from autospace.spaces.files.codec import read, to_json
from autospace.spaces.space import Architecture
from autospace.training.session import Epoch
from autospace.training.settings import TrainConfig

ARCHITECTURE: Final = "architecture.json"
WEIGHTS: Final = "model.safetensors"
ONNX: Final = "model.onnx"
RESULT: Final = "result.json"
BOARD: Final = "tensorboard"
SESSION: Final = "session.safetensors"


class TrainingFolder(Folder[TrainConfig]):
    """A folder that holds one training; finished once `result.json` is there."""

    command = "train"
    results = (ARCHITECTURE, WEIGHTS, ONNX, RESULT)

    def settle(self, architecture: Architecture, data_digest: str) -> None:
        """Begins the training, or makes sure that it goes on with the images it began with.

        Raises:
            RunError: the data is not the same.
        """
        self._begin({ARCHITECTURE: to_json(architecture)}, data_digest)

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return (self.path / ARCHITECTURE).is_file()

    @property
    def architecture(self) -> Architecture:
        """What is trained, fitted to the images.

        Raises:
            RunError: the training was stopped before it began.
            SpaceError, CheckpointError: the file is damaged.
        """
        path = self.path / ARCHITECTURE
        if not self.begun:
            problem = "was stopped before it began; start it again, with --force"
            raise RunError(f"{self.path}: {problem}")
        found = read(path)
        if not isinstance(found, Architecture):
            raise CheckpointError(f"{path}: damaged: holds no architecture")
        return found

    @property
    def session(self) -> Path:
        """Where the state of the training is kept."""
        return self.checkpoint / SESSION

    def log(self, epoch: Epoch, seconds: float, images: int) -> None:
        """Adds an epoch's line to the event log.

        Args:
            epoch: its record.
            seconds: that it took, validation included.
            images: that it trained on.
        """
        speed = images / max(seconds, 1e-9)
        extra = {"seconds": round(seconds, 3), "images_per_second": round(speed, 1)}
        self.append_event(asdict(epoch) | extra)

    def mend_log(self, history: list[Epoch]) -> None:
        """Makes the log hold one line for every epoch of the history, and no other."""
        self._mend_events("epoch", {each.epoch: asdict(each) for each in history})

    def save_result(self, result: dict[str, Any]) -> None:
        """Writes the result; with it, the training is finished."""
        text = json.dumps(result, indent=2, sort_keys=True, allow_nan=False)
        write_atomically(self.path / RESULT, f"{text}\n")

    def load_result(self) -> dict[str, Any]:
        """The result of a finished training.

        Raises:
            CheckpointError: its file is damaged.
        """
        path = self.path / RESULT
        try:
            result = json.loads(path.read_text("utf-8"))
            if result["format"] != "autospace.training":
                raise ValueError("not a result")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CheckpointError(f"{path}: damaged: {str(error)[:80]}") from None
        found: dict[str, Any] = result
        return found

    def _remove_run(self) -> None:
        super()._remove_run()
        shutil.rmtree(self.path / BOARD, ignore_errors=True)

    @staticmethod
    def _read_config(path: Path) -> TrainConfig:
        return make_settings(TrainConfig, read_config(path), path=path)
