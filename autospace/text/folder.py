"""The folder of the training of a language model: checkpoint and result."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from autospace.runs.folder import Document
from autospace.text.session import TextEpoch, TextSession
from autospace.text.settings import TextTrainConfig
from autospace.training.folder import (
    Count,
    EpochDocument,
    NetworkFolder,
    Number,
    Share,
    loaded_record,
    named,
    save_record,
)


class TextEpochDocument(EpochDocument):
    """The record of one epoch; see `autospace.text.session.TextEpoch`."""

    averaged: bool


class TextDataDocument(Document):
    """The text, and the number of tokens in each of its parts."""

    name: str
    sha256: str
    tokens: str
    vocabulary: Count
    train: Count
    validation: Count
    test: Count


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
    madds: Count
    params: Count
    test_accuracy: Share
    test_loss: Number
    test_perplexity: Number
    test_bits_per_character: Number
    validation_loss: Number
    validation_perplexity: Number
    kept_epoch: Count
    averaged: bool
    epochs: Count
    steps: Count
    measured: Count
    seed: Count
    device: str
    data: TextDataDocument
    recipe: dict[str, Any]
    curve: list[TextEpochDocument]
    versions: dict[str, str]


class _Session(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["autospace.text-session"]
    version: Literal[1]
    epoch: Count
    number: Count
    steps: Count
    averaged: Count
    loss_sum: Number
    history: list[TextEpochDocument]


def save_text_session(path: Path, session: TextSession) -> None:
    """Replaces the checkpoint, whole or not at all."""
    record = {
        "format": "autospace.text-session",
        "version": 1,
        "epoch": session.epoch,
        "number": session.number,
        "steps": session.step,
        "averaged": session.averaged,
        "loss_sum": session.loss_sum,
        "history": [asdict(each) for each in session.history],
    }
    groups = {"network": session.network.state_dict(), "mean": session.mean, "best": session.best}
    save_record(path, record, named(groups))


def load_text_session(path: Path, session: TextSession) -> None:
    """Restores the saved state into a new session.

    Raises:
        CheckpointError: the file is damaged, or from another training.
    """
    with loaded_record(path, session.device, _Session) as (record, groups):
        session.network.load_state_dict(groups["network"])
    session.mean, session.best = groups.get("mean", {}), groups.get("best", {})
    session.epoch, session.number, session.step = record.epoch, record.number, record.steps
    session.averaged, session.loss_sum = record.averaged, record.loss_sum
    session.history = [TextEpoch(**each.model_dump()) for each in record.history]


class TextFolder(NetworkFolder[TextTrainConfig]):
    """The folder of the training of a language model."""

    settings = TextTrainConfig
    units = "tokens"
    result = TextResult
    write_session = staticmethod(save_text_session)
    read_session = staticmethod(load_text_session)
