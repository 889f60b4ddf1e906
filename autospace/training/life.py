"""The life of a training, whatever it trains: begun or resumed, epoch by epoch, and tested once.

A kind of training brings its data and network (`Prepared`), the work itself (`TrainingSession`) and
a folder (`NetworkFolder`). Everything else is here: a training that cannot start leaves its folder
as it was, one that is stopped loses nothing, and test data are looked at once.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import torch
from pydantic import BaseModel

from autospace.compute.ranks import DismissedError, Ranks
from autospace.progress import Event, Message, Observer, Planned
from autospace.runs.errors import ConfigError
from autospace.runs.folder import Document
from autospace.spaces.space import Architecture
from autospace.training.folder import NetworkFolder
from autospace.training.session import Epoch

SECONDS_BETWEEN_CHECKPOINTS = 30.0
CURVES: Final = {
    "learning_rate": "learning rate",
    "train_loss": "loss/train",
    "validation_loss": "loss/validation",
    "validation_accuracy": "accuracy/validation",
}


@dataclass(frozen=True)
class EpochEvent(Event):
    """An epoch is complete and logged.

    Attributes:
        epoch: its record.
        epochs: the number of all epochs.
        folder: of the training.
    """

    epoch: Epoch
    epochs: int
    folder: Path

    @property
    def run(self) -> Path:
        """The folder of the training."""
        return self.folder

    @property
    def step(self) -> int:
        """The number of the epoch."""
        return self.epoch.epoch

    @property
    def measured(self) -> str:
        """The accuracy on validation data, for people; empty if there are none."""
        found = self.epoch.validation_accuracy
        return "" if found is None else f"validation {found:.2%}"

    def numbers(self) -> Mapping[str, float]:
        """The curves of the training."""
        values = {curve: getattr(self.epoch, name) for name, curve in CURVES.items()}
        return {curve: value for curve, value in values.items() if value is not None}


class TrainingSession(Protocol):
    """A training in progress; every step is a function of the seed and of what was done before."""

    device: torch.device
    step: int
    """Steps done."""

    @property
    def history(self) -> Sequence[Epoch]:
        """The epochs that are over."""
        ...

    @property
    def units(self) -> int:
        """What the present epoch has trained on so far: the number of images or tokens."""
        ...

    @property
    def progress(self) -> tuple[int, int]:
        """How much is done, and how much there is in all, in parts of any size."""
        ...

    @property
    def epoch_is_over(self) -> bool:
        """Whether an epoch's steps are done and its record is still to be made."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether there are no more steps."""
        ...

    def advance(self) -> None:
        """Does the next step."""
        ...

    def close_epoch(self) -> Epoch:
        """Makes the record of the epoch whose last step was just done."""
        ...


class Prepared(Protocol):
    """A training that can begin: its data were read, and its network fits them.

    Attributes:
        event: the type of what observers receive of an epoch.
    """

    event: ClassVar[type[EpochEvent]]

    @property
    def architecture(self) -> Architecture:
        """What is trained."""
        ...

    @property
    def epochs(self) -> int:
        """The number of all epochs."""
        ...

    @property
    def digest(self) -> str:
        """Of everything in the data that the result depends on."""
        ...

    @property
    def data_record(self) -> Mapping[str, Any]:
        """What was read, as values that JSON can hold."""
        ...

    def session(self, on_message: Message) -> Any:
        """The training before its first step: a `TrainingSession`."""
        ...

    def plan(self, session: Any) -> Planned:
        """What a training that begins will do."""
        ...

    def finish(self, session: Any, folder: Any) -> Document:
        """Looks at the test data, for the first and only time; writes weights and result."""
        ...


def live(
    folder: NetworkFolder[Any],
    observer: Observer,
    prepare: Callable[[], Prepared],
    ranks: Ranks,
) -> Any:
    """Trains what a folder holds, from where it stopped, and returns the result.

    A finished training is only read. One that cannot start leaves the folder as it was.

    Args:
        folder: new, or of a training that was stopped.
        observer: receives its progress; nothing is lost if its `tick` raises.
        prepare: reads the data; may raise if the request is invalid.
        ranks: the processes that train together; this one is process 0.

    Raises:
        DataError, SpaceError, ConfigError, RunError: the request is invalid, or the training
            diverged.
        CheckpointError: the folder was damaged.
    """
    with folder.locked():
        if folder.finished:
            ranks.told(None)
            return folder.load_result()
        try:
            folder.check_unchanged()
            folder.check_processes(ranks.count)
            prepared = prepare()
        except BaseException:
            folder.abandon()
            raise
        folder.settle(prepared.architecture, prepared.digest, ranks.count)
        folder.save_data(prepared.data_record)
        session = _restored(prepared, folder, observer.message, ranks)
        folder.mend_log(session.history, observer.message)
        if not session.step:
            observer.planned(prepared.plan(session))
        _train(session, prepared, folder, observer, ranks)
        return prepared.finish(session, folder)


def follow(session: TrainingSession, folder: type[NetworkFolder[Any]], ranks: Ranks) -> None:
    """Restores, and does the steps and measurements of `live`, whenever process 0 does.

    Args:
        session: before its first step.
        folder: the type of that of process 0.
        ranks: the processes that train together.
    """
    saved: bytes = ranks.told(b"")
    if saved:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "session"
            path.write_bytes(saved)
            folder.read_session(path, session)
    while True:
        if session.epoch_is_over:
            with ranks.together():
                try:
                    session.close_epoch()
                except ConfigError:
                    raise DismissedError("process 0 has the same error") from None
        if session.is_over:
            return
        with ranks.together():
            session.advance()


def described(
    config: BaseModel, architecture: Architecture, session: TrainingSession, source: str
) -> dict[str, Any]:
    """What the results of all trainings say.

    Args:
        config: the settings.
        architecture: what was trained.
        session: after its last step.
        source: what the data are called, wherever they lie: a place belongs to a machine.
    """
    settings = config.model_dump(mode="json")
    recipe = {k: v for k, v in settings.items() if k not in ("seed", "device", "architecture")}
    recipe["data"]["source"] = source
    versions = {name: metadata.version(name) for name in ("autospace", "torch", "numpy")}
    return {
        "architecture": settings["architecture"],
        "choices": architecture.choices,
        "madds": architecture.cost.madds,
        "params": architecture.cost.params,
        "epochs": len(session.history),
        "steps": session.step,
        "seed": settings["seed"],
        "device": session.device.type,
        "recipe": recipe,
        "versions": {**versions, "python": ".".join(map(str, sys.version_info[:2]))},
    }


def _restored(
    prepared: Prepared, folder: NetworkFolder[Any], on_message: Message, ranks: Ranks
) -> Any:
    """The session from where it stopped, in all processes."""
    saved = folder.session.exists()
    with ranks.together():
        session = prepared.session(on_message)
    if saved:
        folder.read_session(folder.session, session)
    if ranks.count > 1:
        ranks.told(folder.session.read_bytes() if saved else b"")
    return session


def _train(
    session: TrainingSession,
    prepared: Prepared,
    folder: NetworkFolder[Any],
    observer: Observer,
    ranks: Ranks,
) -> None:
    saved = started = time.monotonic()
    before = session.units  # what was trained before a resume took no time of this process
    while True:
        late = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
        if session.epoch_is_over:
            units, before = session.units - before, 0
            with ranks.together():
                record = session.close_epoch()
            seconds, started = time.monotonic() - started, time.monotonic()
            # The event first: of an epoch that the checkpoint does not know, it is dropped again.
            folder.log(record, seconds, units)
            late = late or session.is_over
            with _saved_if_stopped(folder, session):
                observer.event(prepared.event(seconds, record, prepared.epochs, folder.path))
        if late:
            folder.write_session(folder.session, session)
            saved = time.monotonic()
        if session.is_over:
            return
        with ranks.together():
            session.advance()
        with _saved_if_stopped(folder, session):
            observer.tick("train", *session.progress)


@contextmanager
def _saved_if_stopped(folder: NetworkFolder[Any], session: TrainingSession) -> Iterator[None]:
    """Saves the session if the observer raises."""
    try:
        yield
    except BaseException:
        folder.write_session(folder.session, session)
        raise
