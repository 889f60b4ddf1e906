"""A whole training of a network for captions: its folder, its data and its result."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict

from autospace.captions.corpus import CaptionData, load_captions
from autospace.captions.passages import fitted_skeleton
from autospace.captions.session import CaptionEpoch, CaptionSession, CaptionTrainConfig
from autospace.captions.source import FORM, is_captions
from autospace.compute.device import resolve_device
from autospace.compute.ranks import ALONE, Ranks
from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.request import Request, thinned
from autospace.networks.weights import NORMALISATION, save_weights
from autospace.progress import Message, Observer, Planned
from autospace.runs.errors import ConfigError
from autospace.runs.folder import Document
from autospace.runs.settings import read_config
from autospace.spaces.captions import captioning
from autospace.spaces.errors import shown
from autospace.spaces.space import Architecture
from autospace.spaces.text import human, plural
from autospace.training.folder import (
    WEIGHTS,
    Count,
    EpochDocument,
    NetworkFolder,
    Number,
    Share,
    loaded_record,
    named,
    optimizer_tensors,
    restore_optimizer,
    save_record,
)
from autospace.training.life import EpochEvent, described, live


class CaptionEpochDocument(EpochDocument):
    """The record of one epoch; see `autospace.captions.session.CaptionEpoch`."""

    validation_exact: Share


class CaptionDataDocument(Document):
    """The images with captions, and how many each part has."""

    name: str
    sha256: str
    vocabulary: Count
    length: Count
    train: Count
    validation: Count
    test: Count


class WrittenDocument(Document):
    """A caption that the network wrote, and the first reference of its image."""

    written: str
    reference: str


class CaptionResult(Document):
    """`result.json` of the training of a network for captions.

    Attributes:
        choices: id of the cell by choice.
        test_accuracy: exact match: the share of captions that are one of their references.
        test_ngram_f: mean n-gram F score; see `autospace.training.captioning`.
        test_loss: nats per token of the first references.
        validation_ngram_f: of the kept epoch, as are the other numbers of validation.
        examples: what the network writes of the first test images.
        recipe: the settings, without those that name the network, the seed and the device.
    """

    format: Literal["autospace.training"] = "autospace.training"
    version: Literal[2] = 2
    reads: Literal["captions"] = "captions"
    architecture: str
    choices: dict[str, str]
    madds: Count
    params: Count
    test_accuracy: Share
    test_ngram_f: Share
    test_loss: Number
    validation_ngram_f: Share
    validation_accuracy: Share
    validation_loss: Number
    kept_epoch: Count
    epochs: Count
    steps: Count
    seed: Count
    device: str
    data: CaptionDataDocument
    recipe: dict[str, Any]
    curve: list[CaptionEpochDocument]
    examples: list[WrittenDocument]
    versions: dict[str, str]


class _Session(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["autospace.caption-session"]
    version: Literal[1]
    step: Count
    loss_sum: Number
    history: list[CaptionEpochDocument]


def save_caption_session(path: Path, session: CaptionSession) -> None:
    """Replaces the checkpoint, whole or not at all."""
    record = {
        "format": "autospace.caption-session",
        "version": 1,
        "step": session.step,
        "loss_sum": session.loss_sum,
        "history": [asdict(each) for each in session.history],
    }
    groups = {"network": session.network.state_dict(), "best": session.best}
    save_record(path, record, named(groups) | dict(optimizer_tensors(session.optimizer)))


def load_caption_session(path: Path, session: CaptionSession) -> None:
    """Restores the saved state into a new session.

    Raises:
        CheckpointError: the file is damaged, or from another training.
    """
    with loaded_record(path, session.device, _Session) as (record, groups):
        if not record.step <= session.steps:
            raise ValueError(f"step {record.step} of {session.steps}")
        session.network.load_state_dict(groups["network"])
        restore_optimizer(session.optimizer, groups)
    session.best = groups.get("best", {})
    session.step, session.loss_sum = record.step, record.loss_sum
    session.history = [CaptionEpoch(**each.model_dump()) for each in record.history]


class CaptionFolder(NetworkFolder[CaptionTrainConfig]):
    """The folder of the training of a network for captions."""

    settings = CaptionTrainConfig
    units = "images"
    result = CaptionResult
    write_session = staticmethod(save_caption_session)
    read_session = staticmethod(load_caption_session)


@dataclass(frozen=True)
class CaptionEpochEvent(EpochEvent):
    """An epoch of a network for captions is complete and logged."""

    @property
    def measured(self) -> str:
        """The n-gram F score, for people."""
        return f"validation n-gram F {self.epoch.validation_accuracy or 0.0:.3f}"

    def numbers(self) -> Mapping[str, float]:
        """The curves of the training."""
        found = dict(super().numbers())
        score = found.pop("accuracy/validation", 0.0)
        exact = self.epoch.validation_exact if isinstance(self.epoch, CaptionEpoch) else 0.0
        return {**found, "ngram_f/validation": score, "accuracy/validation": exact}


@dataclass(frozen=True)
class PreparedCaptions:
    """Everything that the training needs before it begins."""

    config: CaptionTrainConfig
    architecture: Architecture
    data: CaptionData
    device: torch.device
    event: ClassVar[type[EpochEvent]] = CaptionEpochEvent

    @property
    def epochs(self) -> int:
        """The number of all epochs."""
        return self.config.training.epochs

    @property
    def digest(self) -> str:
        """Of the data."""
        return self.data.digest

    @property
    def data_record(self) -> Mapping[str, Any]:
        """What was read."""
        return self.data.record

    def session(self, on_message: Message) -> CaptionSession:
        """The training before its first step."""
        return CaptionSession(self.architecture, self.data, self.config, self.device)

    def plan(self, session: CaptionSession) -> Planned:
        """What the training will do."""
        cost, epochs = self.architecture.cost, self.epochs
        steps, images = len(session.batches), len(self.data.train)
        batch = min(self.config.training.batch, images)
        lines = (
            f"plan: {images:,} images with captions train a network of {human(cost.params)} params",
            f"plan: {plural(epochs, 'epoch')} of {steps:,} steps of {batch:,} images",
        )
        values = {
            "captions": self.data.record,
            "network": {"madds": cost.madds, "params": cost.params},
            "epochs": epochs,
            "steps_per_epoch": steps,
            "batch": batch,
            "estimate": None,
        }
        return Planned(lines, values)

    def finish(self, session: CaptionSession, folder: CaptionFolder) -> CaptionResult:
        """Looks at the test images, for the first and only time; writes weights and result."""
        result = _result(session, self.architecture)
        norm = session.normaliser
        about = {
            "vocabulary": json.dumps(self.data.vocabulary),
            "data": self.data.name,
            NORMALISATION: json.dumps({"mean": norm.mean, "std": norm.std}),
            "test_ngram_f": str(result.test_ngram_f),
        }
        with session.with_best():
            save_weights(folder.path / WEIGHTS, session.network, self.architecture, about)
        folder.save_result(result)
        return result


def train_captioner(
    folder: CaptionFolder,
    observer: Observer,
    *,
    architecture: Architecture | None = None,
    device: str | None = None,
    images: DataSet | None = None,
    ranks: Ranks = ALONE,
) -> CaptionResult:
    """Trains the network of a folder, from where it stopped; see `live` for what it promises.

    Args:
        folder: new, or of a training that was stopped.
        observer: receives its progress; nothing is lost if its `tick` raises.
        architecture: what to train, if the training is new.
        device: overrides that of the configuration.
        images: what a program passed; they have no captions.
        ranks: the processes that train together; one trains a network for captions.
    """

    def begin() -> PreparedCaptions:
        if ranks.count > 1:
            problem = f"{ranks.count} processes, but one trains a network for captions"
            raise ConfigError(f"torchrun: {problem}; allowed: autospace train alone")
        given = architecture or folder.architecture
        chosen = resolve_device(device or folder.config.device)
        data = _data(folder, given, images, observer)
        own = replace(given, skeleton=fitted_skeleton(given.skeleton, data))
        for line in data.lines:
            observer.message(line)
        return PreparedCaptions(folder.config, own, data, chosen)

    found: CaptionResult = live(folder, observer, begin, ranks)
    return found


def _data(
    folder: CaptionFolder, architecture: Architecture, images: DataSet | None, observer: Observer
) -> CaptionData:
    asked = folder.config.data
    if images is not None or not is_captions(asked.source):
        name = architecture.skeleton.name
        raise DataError(f"data: {asked.source[:80]}, but {name} reads captions; allowed: {FORM}")
    own = captioning(architecture.skeleton, "the data are images with captions")

    def tick(done: int, total: int) -> None:
        observer.tick("data", done, total)

    request = Request(
        asked.resolution or own.resolution,
        limit=asked.limit,
        tick=thinned(tick),
        aspect=asked.aspect,
        ground=asked.ground,
    )
    return load_captions(asked.source, request)


def caption_recipe(name: str | None) -> dict[str, Any]:
    """The settings of a file of settings; without one the defaults.

    Raises:
        ConfigError: there is no such recipe.
    """
    if name is None:
        return {}
    if not name.endswith(".toml"):
        raise ConfigError(f"recipe {shown(name)}: allowed for captions: a .toml file, or none")
    return read_config(Path(name), "train")


def _result(session: CaptionSession, architecture: Architecture) -> CaptionResult:
    data, kept, tested = session.data, session.kept, session.tested()
    sizes = {name: len(split) for name, split in data.splits.items()}
    # Where the images lie belongs to a machine, not to the result.
    source = replace(data.source, path=None).text
    return CaptionResult(
        **described(session.config, architecture, session, source),
        test_accuracy=tested.exact,
        test_ngram_f=tested.ngram_f,
        test_loss=tested.loss,
        validation_ngram_f=(kept and kept.validation_accuracy) or 0.0,
        validation_accuracy=kept.validation_exact if kept else 0.0,
        validation_loss=(kept and kept.validation_loss) or 0.0,
        kept_epoch=kept.epoch if kept else 0,
        data=CaptionDataDocument(
            name=data.name,
            sha256=data.digest,
            vocabulary=len(data.vocabulary),
            length=data.length,
            **sizes,
        ),
        curve=[CaptionEpochDocument(**asdict(each)) for each in session.history],
        examples=[WrittenDocument(written=w, reference=r) for w, r in tested.written],
    )
