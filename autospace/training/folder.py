"""The folder of a training: configuration, architecture, log, checkpoint, weights and result.

The checkpoint is one safetensors file: the state of the training as tensors, and a JSON record in
the metadata.
"""

import json
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, model_serializer

from autospace.progress import Message
from autospace.runs.errors import FORCE, CheckpointError, RunError
from autospace.runs.folder import Document, Folder, Settings
from autospace.runs.state import load_sealed, save_sealed
from autospace.spaces.checks import MAX_COUNT
from autospace.spaces.files.codec import read, to_json
from autospace.spaces.files.reading import read_text
from autospace.spaces.space import Architecture
from autospace.training.session import Epoch, Session
from autospace.training.settings import TrainConfig

FORMAT: Final = "autospace.session"
_RECORD: Final = "session"
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Number = Annotated[float, Field(ge=-1e100, le=1e100)]
Share = Annotated[float, Field(ge=0, le=1)]


class EpochDocument(Document):
    """The record of one epoch; see `autospace.training.session.Epoch`."""

    epoch: Count
    learning_rate: Number
    train_loss: Number
    validation_loss: Number | None
    validation_accuracy: Share | None


class TrainingDataDocument(Document):
    """The data set, and the number of images in each of its parts."""

    name: str
    sha256: str
    classes: list[str]
    train: Count
    validation: Count
    test: Count


class TrainingResult(Document):
    """`result.json` of a training.

    Attributes:
        version: 1 is also read: it differs in nothing but the number.
        choices: id of the cell by layer.
        kept_epoch: the epoch whose weights were kept.
        recipe: the settings, without those that name the network, the seed and the device.
        processes: that trained together; the file says so if it was more than one.
    """

    format: Literal["autospace.training"] = "autospace.training"
    version: Literal[1, 2] = 2
    architecture: str
    choices: dict[str, str]
    madds: Count
    params: Count
    test_accuracy: Share
    test_loss: Number
    validation_accuracy: Share | None
    validation_loss: Number | None
    kept_epoch: Count
    epochs: Count
    steps: Count
    seed: Count
    device: str
    data: TrainingDataDocument
    recipe: dict[str, Any]
    curve: list[EpochDocument]
    versions: dict[str, str]
    processes: Annotated[int, Field(ge=1, le=MAX_COUNT)] = 1

    @model_serializer(mode="wrap")
    def _without_one(self, plain: Any) -> dict[str, Any]:
        found: dict[str, Any] = plain(self)
        return {k: v for k, v in found.items() if not (k == "processes" and v == 1)}


class _Session(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["autospace.session"]
    version: Literal[1]
    step: Count
    history: list[EpochDocument]


Record = TypeVar("Record", bound=BaseModel)
Groups = dict[str, dict[str, torch.Tensor]]


def save_session(path: Path, session: Session) -> None:
    """Replaces the checkpoint, whole or not at all.

    Raises:
        ConfigError: the training diverged; the old checkpoint is left.
    """
    session.check()
    history = [asdict(each) for each in session.history]
    record = {"format": FORMAT, "version": 1, "step": session.step, "history": history}
    save_record(path, record, dict(_tensors(session)))


def load_session(path: Path, session: Session) -> None:
    """Restores the saved state into a new session.

    Raises:
        CheckpointError: the file is damaged, or from another training.
    """
    with loaded_record(path, session.device, _Session) as (record, groups):
        if not record.step <= session.steps:
            raise ValueError(f"step {record.step} of {session.steps}")
        _restore(session, groups)
    session.history = [Epoch(**each.model_dump()) for each in record.history]
    session.begin_at(record.step)


def save_record(path: Path, record: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Replaces the checkpoint of a training, whole or not at all."""
    save_sealed(path, tensors, {_RECORD: json.dumps(record, allow_nan=False)})


def named(groups: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The tensors of groups under the names by which `loaded_record` finds their groups."""
    return {
        f"{group}.{name}": value
        for group, values in groups.items()
        for name, value in values.items()
    }


@contextmanager
def loaded_record(
    path: Path, device: torch.device, kind: type[Record]
) -> Iterator[tuple[Record, Groups]]:
    """What `save_record` wrote: the record, and the tensors by the first part of their names.

    Raises:
        CheckpointError: the file is damaged, or does not fit what the block makes of it.
    """
    tensors, texts = load_sealed(path, device)
    try:
        record = kind.model_validate_json(texts[_RECORD])
        groups: Groups = {}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups.setdefault(group, {})[rest] = value
        yield record, groups
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or from another run: {problem}") from None


def _tensors(session: Session) -> Iterator[tuple[str, torch.Tensor]]:
    yield "loss_sum", session.loss_sum
    for name, value in session.network.state_dict().items():
        yield f"network.{name}", value
    if session.average is not None:
        for name, value in session.average.model.state_dict().items():
            yield f"average.{name}", value
    if session.auxiliary is not None:
        for name, value in session.auxiliary.state_dict().items():
            yield f"auxiliary.{name}", value
    for name, value in session.best.items():
        yield f"best.{name}", value
    yield from optimizer_tensors(session.optimizer)


def _restore(session: Session, groups: Groups) -> None:
    session.loss_sum.copy_(groups["loss_sum"][""])
    session.network.load_state_dict(groups["network"])
    if session.average is not None:
        session.average.model.load_state_dict(groups["average"])
    if session.auxiliary is not None:
        session.auxiliary.load_state_dict(groups["auxiliary"])
    session.best = groups.get("best", {})
    restore_optimizer(session.optimizer, groups)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, torch.Tensor]]:
    """The state of an optimiser, by the names under which `restore_optimizer` finds it."""
    for index, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                yield f"optimizer.{index}.{name}", value


def restore_optimizer(optimizer: torch.optim.Optimizer, groups: Groups) -> None:
    """Restores the state of an optimiser that has not done a step."""
    parameters = _parameters(optimizer)
    for name, value in groups.get("optimizer", {}).items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        # The layout of a buffer follows its weight, as the optimiser itself would have it; the
        # count of steps, a single number, stays where the optimiser wants it: on the CPU, unless
        # its steps are recorded.
        recorded = optimizer.defaults.get("capturable", False)
        place = parameter.device if recorded else torch.device("cpu")
        like = torch.empty_like(parameter) if value.ndim else torch.empty((), device=place)
        optimizer.state[parameter][key] = like.copy_(value)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"]]


ARCHITECTURE: Final = "architecture.json"
WEIGHTS: Final = "model.safetensors"
ONNX: Final = "model.onnx"
RESULT: Final = "result.json"
BOARD: Final = "tensorboard"
SESSION: Final = "session.safetensors"
PROCESSES: Final = "checkpoint/processes"


class NetworkFolder(Folder[Settings]):
    """A folder that holds one training; finished once `result.json` is there.

    Attributes:
        units: what an epoch passes over.
        result: the type of the result.
    """

    command = "train"
    results = (ARCHITECTURE, WEIGHTS, ONNX, RESULT)
    units: ClassVar[str]
    result: ClassVar[type[Document]]

    @staticmethod
    @abstractmethod
    def write_session(path: Path, session: Any) -> None:
        """Replaces a checkpoint, whole or not at all."""

    @staticmethod
    @abstractmethod
    def read_session(path: Path, session: Any) -> None:
        """Restores a checkpoint into a new session.

        Raises:
            CheckpointError: the file is damaged, or from another training.
        """

    def settle(self, architecture: Architecture, data_digest: str, processes: int = 1) -> None:
        """Begins the training, or checks that a resumed one uses the data that it began with.

        Raises:
            RunError: the data has changed.
        """
        files = {ARCHITECTURE: to_json(architecture)}
        if processes > 1:
            files[PROCESSES] = f"{processes}\n"
        self._begin(files, data_digest)

    def check_processes(self, now: int) -> None:
        """Checks that a training goes on in as many processes as it began in.

        The number decides how sums are rounded.

        Raises:
            RunError: it does not.
        """
        if self.replacing or not self.begun:
            return
        path, then = self.path / PROCESSES, "1"
        if path.is_file():
            then = read_text(path).strip()
        if then != str(now):
            how = "without torchrun" if then == "1" else f"with torchrun and {then[:9]} processes"
            began = f"began in {then[:9]} process{'' if then == '1' else 'es'}, but this is {now}"
            raise RunError(f"{self.path}: {began}; resume {how}, or start again with {FORCE}")

    @property
    def begun(self) -> bool:
        """Whether the training has begun, so that it can be resumed."""
        return (self.path / ARCHITECTURE).exists()

    @property
    def architecture(self) -> Architecture:
        """The architecture that is trained; fitted to the data once the training has begun.

        Raises:
            RunError: it is not there.
            SpaceError, CheckpointError: the file is damaged.
        """
        path = self.path / ARCHITECTURE if self.begun else self.given
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

    def log(self, epoch: Epoch, seconds: float, units: int) -> None:
        """Adds an epoch's line to the event log.

        Args:
            epoch: its record.
            seconds: duration, validation included; of an epoch that was resumed, since then.
            units: what it trained on in that time: the number of images or tokens.
        """
        speed = units / max(seconds, 1e-9)
        extra = {"seconds": round(seconds, 3), f"{self.units}_per_second": round(speed, 1)}
        self.append_event(asdict(epoch) | extra)

    def mend_log(self, history: Sequence[Epoch], on_message: Message) -> None:
        """Makes the log have one line for every epoch of the history, and tells what was lost."""
        self._mend_events("epoch", {each.epoch: asdict(each) for each in history}, on_message)

    def load_result(self) -> Any:
        """The result of a finished training.

        Raises:
            CheckpointError: its file is damaged; the message names key, value and what is allowed.
        """
        return self._load_result(self.result)

    def _remove_run(self) -> None:
        super()._remove_run()
        shutil.rmtree(self.path / BOARD, ignore_errors=True)


class TrainingFolder(NetworkFolder[TrainConfig]):
    """The folder of a training on images."""

    settings = TrainConfig
    units = "images"
    result = TrainingResult
    write_session = staticmethod(save_session)
    read_session = staticmethod(load_session)
