"""The folder of the training of a language model: checkpoint and result."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from autospace.runs.errors import CheckpointError
from autospace.runs.folder import Document, Folder
from autospace.runs.state import load_sealed, save_sealed
from autospace.spaces.checks import MAX_COUNT
from autospace.spaces.files.codec import read, to_json
from autospace.spaces.space import Architecture
from autospace.text.session import TextEpoch, TextSession
from autospace.text.settings import TextTrainConfig
from autospace.training.folder import ARCHITECTURE, ONNX, RESULT, SESSION, WEIGHTS, EpochDocument

_RECORD: Final = "session"
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Number = Annotated[float, Field(ge=-1e100, le=1e100)]
_Share = Annotated[float, Field(ge=0, le=1)]


class TextEpochDocument(EpochDocument):
    """The record of one epoch; see `autospace.text.session.TextEpoch`."""

    averaged: bool


class TextDataDocument(Document):
    """The text, and the number of tokens in each of its parts."""

    name: str
    sha256: str
    tokens: str
    vocabulary: _Count
    train: _Count
    validation: _Count
    test: _Count


class TextResult(Document):
    """`result.json` of the training of a language model.

    Attributes:
        choices: id of the cell by choice.
        test_accuracy: share of the tokens of the test text that the network holds most probable.
        test_loss: nats per token.
        kept_epoch: the epoch whose weights were kept.
        averaged: whether they are a mean over steps.
        measured: tokens of the test text that were predicted.
        recipe: the settings, without those that name the network, the seed and the device.
    """

    format: Literal["autospace.training"] = "autospace.training"
    version: Literal[2] = 2
    reads: Literal["text"] = "text"
    architecture: str
    choices: dict[str, str]
    madds: _Count
    params: _Count
    test_accuracy: _Share
    test_loss: _Number
    test_perplexity: _Number
    test_bits_per_character: _Number
    validation_loss: _Number
    validation_perplexity: _Number
    kept_epoch: _Count
    averaged: bool
    epochs: _Count
    steps: _Count
    measured: _Count
    seed: _Count
    device: str
    data: TextDataDocument
    recipe: dict[str, Any]
    curve: list[TextEpochDocument]
    versions: dict[str, str]


class _Session(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["autospace.text-session"]
    version: Literal[1]
    epoch: _Count
    number: _Count
    steps: _Count
    averaged: _Count
    loss_sum: _Number
    history: list[TextEpochDocument]


def save_text_session(path: Path, session: TextSession) -> None:
    """Replaces the checkpoint, whole or not at all."""
    record = {
        "format": "autospace.text-session",
        "version": 1,
        "epoch": session.epoch,
        "number": session.number,
        "steps": session.steps,
        "averaged": session.averaged,
        "loss_sum": session.loss_sum,
        "history": [asdict(each) for each in session.history],
    }
    groups = {"network": session.network.state_dict(), "mean": session.mean, "best": session.best}
    tensors = {
        f"{group}.{name}": value
        for group, values in groups.items()
        for name, value in values.items()
    }
    save_sealed(path, tensors, {_RECORD: json.dumps(record, allow_nan=False)})


def load_text_session(path: Path, session: TextSession) -> None:
    """Restores the saved state into a new session.

    Raises:
        CheckpointError: the file is damaged, or from another training.
    """
    tensors, texts = load_sealed(path, session.device)
    try:
        record = _Session.model_validate_json(texts[_RECORD])
        groups: dict[str, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = value
        session.network.load_state_dict(groups["network"])
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or from another run: {problem}") from None
    session.mean, session.best = groups.get("mean", {}), groups.get("best", {})
    session.epoch, session.number, session.steps = record.epoch, record.number, record.steps
    session.averaged, session.loss_sum = record.averaged, record.loss_sum
    session.history = [TextEpoch(**each.model_dump()) for each in record.history]


class TextFolder(Folder[TextTrainConfig]):
    """A folder that holds one training of a language model; finished with `result.json`."""

    command = "train"
    settings = TextTrainConfig
    results = (ARCHITECTURE, WEIGHTS, ONNX, RESULT)

    def settle(self, architecture: Architecture, data_digest: str) -> None:
        """Begins the training, or checks that a resumed one reads the text that it began with.

        Raises:
            RunError: the text has changed.
        """
        self._begin({ARCHITECTURE: to_json(architecture)}, data_digest)

    @property
    def architecture(self) -> Architecture:
        """The architecture that is trained; fitted to the text once the training has begun.

        Raises:
            RunError: it is not there.
            SpaceError, CheckpointError: the file is damaged.
        """
        begun = self.path / ARCHITECTURE
        path = begun if begun.exists() else self.given
        if not path.exists():
            raise self.not_begun("architecture")
        found = read(path)
        if not isinstance(found, Architecture):
            raise CheckpointError(f"{path}: damaged: it does not hold an architecture")
        return found

    @property
    def session(self) -> Path:
        """Where the state of the training is kept."""
        return self.checkpoint / SESSION

    def log(self, epoch: TextEpoch, seconds: float, tokens: int) -> None:
        """Adds an epoch's line to the event log."""
        speed = tokens / max(seconds, 1e-9)
        extra = {"seconds": round(seconds, 3), "tokens_per_second": round(speed, 1)}
        self.append_event(asdict(epoch) | extra)

    def mend_log(self, history: list[TextEpoch]) -> None:
        """Makes the log have one line for every epoch of the history, and no other lines."""
        self._mend_events("epoch", {each.epoch: asdict(each) for each in history})

    def load_result(self) -> TextResult:
        """The result of a finished training.

        Raises:
            CheckpointError: its file is damaged; the message names key, value and what is allowed.
        """
        return self._load_result(TextResult)
