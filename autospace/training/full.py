"""A whole training: data, network, epochs and one test at the end; resumable at any point."""

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Final

import torch

from autospace.compute.cuda_graphs import NO_GRAPHS, Graphs, make_graphs
from autospace.compute.device import memory_mb, resolve_device
from autospace.compute.execution import Execution
from autospace.compute.ranks import ALONE, DismissedError, Ranks
from autospace.compute.timing import FORWARD_SHARE, Forecast, seconds_of_step
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.load import load_data
from autospace.data.splits import divide
from autospace.data.summary import record, told_of
from autospace.networks.network import Network
from autospace.networks.weights import NORMALISATION, save_weights
from autospace.progress import Event, Message, Observer, Planned, Silent, no_message
from autospace.runs.errors import ConfigError
from autospace.seeds import derived_seed
from autospace.spaces.errors import AutospaceError
from autospace.spaces.space import Architecture
from autospace.spaces.text import human, plural
from autospace.training.folder import (
    WEIGHTS,
    EpochDocument,
    TrainingDataDocument,
    TrainingFolder,
    TrainingResult,
    load_session,
    save_session,
)
from autospace.training.session import PRECISIONS, Epoch, Session
from autospace.training.settings import TrainConfig
from autospace.training.short import Measured, measure

SECONDS_BETWEEN_CHECKPOINTS = 30.0
EVALUATION_BATCH: Final = 250
FEW_STEPS: Final = 100
"""A training of fewer steps is over before its time is known."""
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
        """The accuracy on validation images, for people; empty if there are none."""
        found = self.epoch.validation_accuracy
        return "" if found is None else f"validation {found:.2%}"

    def numbers(self) -> Mapping[str, float]:
        """The curves of the training."""
        values = {curve: getattr(self.epoch, name) for name, curve in CURVES.items()}
        return {curve: value for curve, value in values.items() if value is not None}


@dataclass(frozen=True)
class PreparedTraining:
    """Everything that a training needs before it begins.

    Attributes:
        train: images that the weights are trained on.
        validation: images that the learning curve is measured on; None for none.
        ranks: the processes that train together.
    """

    config: TrainConfig
    architecture: Architecture
    data: DataSet
    train: Examples
    validation: Examples | None
    normaliser: Normaliser
    device: torch.device
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Job:
    """What process 0 tells the others of a training that it begins or goes on with.

    Attributes:
        cache: where it keeps decoded images.
        device: the kind of device that all compute on.
    """

    config: TrainConfig
    architecture: Architecture
    cache: Path
    device: str


def train_architecture(
    folder: TrainingFolder,
    observer: Observer,
    *,
    architecture: Architecture | None = None,
    device: str | None = None,
    images: DataSet | None = None,
    ranks: Ranks = ALONE,
) -> TrainingResult:
    """Trains the architecture of a folder, from where it stopped, and returns the result.

    A finished training is only read. One that cannot start leaves the folder as it was.

    Args:
        folder: new, or of a training that was stopped.
        observer: receives its progress; nothing is lost if its `tick` raises.
        architecture: what to train, if the training is new.
        device: overrides that of the configuration.
        images: in place of the source that the configuration names.
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
        folder.check_unchanged()
        folder.check_processes(ranks.count)
        try:
            given = architecture or folder.architecture
            prepared = prepare(folder.config, folder.cache, observer, given, device, images, ranks)
            _share(prepared, folder.cache)
        except BaseException:
            folder.abandon()
            raise
        folder.settle(prepared.architecture, prepared.data.digest, ranks.count)
        folder.save_data(record(prepared.data))
        session = _restored(prepared, folder, observer.message)
        folder.mend_log(session.history)
        if not session.step:
            observer.planned(_plan(prepared, session.steps))
        _train(session, len(prepared.train), folder, observer, ranks)
        return _finish(prepared, session, folder)


def prepare(
    config: TrainConfig,
    cache: Path,
    observer: Observer,
    architecture: Architecture,
    device: str | None = None,
    images: DataSet | None = None,
    ranks: Ranks = ALONE,
) -> PreparedTraining:
    """Reads and divides the images and fits the architecture to them; trains nothing."""
    chosen = ranks.device(resolve_device(device or config.device))
    if config.training.keep == "best" and not config.data.validation:
        problem = "best needs validation images, but data.validation is 0"
        raise ConfigError(f"training.keep: {problem}; allowed: last")
    data = load_data(
        images or config.data.source,
        resolution=config.data.resolution or architecture.skeleton.resolution,
        limit=config.data.limit,
        seed=config.seed,
        cache=cache,
        tick=partial(observer.tick, "data"),
        aspect=config.data.aspect,
        ground=config.data.ground,
    )
    own = fitted(architecture, data)
    train, validation = data.train, None
    if config.data.validation:
        train, validation = divide(data.train, config.data.validation, config.seed)
    for note in (*told_of(data), *_change(architecture, own)):
        observer.message(note)
    ranks.check_batch(config.training.batch, len(train))
    norm = Normaliser.from_examples(train)
    return PreparedTraining(config, own, data, train, validation, norm, chosen, ranks)


def follow_training(ranks: Ranks, images: DataSet | None = None) -> None:
    """Trains with process 0, in any other process; reports to nobody and writes nothing.

    Args:
        ranks: the processes that train together.
        images: in place of the source that the configuration names.

    Raises:
        DismissedError, LostError: process 0 ended the training, or another process is gone.
        ConfigError: the memory of the GPU is too small.
    """
    job: Job | None = ranks.told(None)
    if job is None:
        return
    try:
        given = (job.config, job.cache, Silent(), job.architecture, job.device, images, ranks)
        prepared, problem = prepare(*given), None
    except AutospaceError as error:
        problem = str(error)
    with ranks.together():
        ranks.agree("" if problem else prepared.data.digest, problem)
    with ranks.together():
        session = _session(prepared, no_message)
    _receive(session, ranks.told(b""))
    _follow(session, ranks)
    network, _ = session.kept()
    with ranks.together():
        _tested(prepared, network)


def _share(prepared: PreparedTraining, cache: Path) -> None:
    """Tells the other processes what is trained, and waits until they have the same images."""
    ranks = prepared.ranks
    ranks.told(Job(prepared.config, prepared.architecture, cache, prepared.device.type))
    with ranks.together():
        ranks.agree(prepared.data.digest, None)


def _restored(prepared: PreparedTraining, folder: TrainingFolder, on_message: Message) -> Session:
    """The session from where it stopped, in all processes."""
    ranks, saved = prepared.ranks, folder.session.exists()
    with ranks.together():
        session = _session(prepared, on_message)
    if saved:
        load_session(folder.session, session)
    if ranks.count > 1:
        ranks.told(folder.session.read_bytes() if saved else b"")
    return session


def _receive(session: Session, saved: bytes) -> None:
    """Restores what process 0 has read."""
    if saved:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "session"
            path.write_bytes(saved)
            load_session(path, session)


def _follow(session: Session, ranks: Ranks) -> None:
    """Does the steps and measurements of `_train`, whenever process 0 does."""
    while True:
        if session.epoch_is_over:
            with ranks.together():
                try:
                    session.close_epoch()
                except ConfigError:
                    raise DismissedError("process 0 has the same error") from None
        if session.step == session.steps:
            return
        with ranks.together():
            session.advance()


def fitted(architecture: Architecture, data: DataSet) -> Architecture:
    """The same cells on a skeleton that fits the channels, size and classes of the images."""
    channels, resolution, _ = data.train.shape
    skeleton = architecture.skeleton.fitted(
        in_channels=channels, resolution=resolution, classes=len(data.classes)
    )
    return replace(architecture, skeleton=skeleton)


def _change(given: Architecture, own: Architecture) -> list[str]:
    """Remarks on how the fitting changed the costs."""
    if given.cost == own.cost:
        return []
    skeleton = own.skeleton
    images = f"{skeleton.resolution}x{skeleton.resolution}x{skeleton.in_channels} images"
    madds, params = (
        f"{human(before)} -> {human(after)}"
        for before, after in zip(given.cost[:2], own.cost[:2], strict=True)
    )
    classes = f"{skeleton.classes} classes"
    return [f"fitted to {images}, {classes}: MAdds {madds}, params {params}"]


def _plan(prepared: PreparedTraining, steps: int) -> Planned:
    """What a training that begins will do, and how long that takes by a few steps on a copy."""
    config, cost = prepared.config.training, prepared.architecture.cost
    alone, batch = prepared.ranks.count == 1, min(config.batch, len(prepared.train))
    forecast = _timed(prepared, steps) if steps >= FEW_STEPS and alone else None
    lines = (
        f"plan: {len(prepared.train):,} images train a network of {human(cost.madds)} MAdds",
        f"plan: {plural(config.epochs, 'epoch')}, {plural(steps, 'step')} of {batch:,} images",
        *(() if forecast is None else forecast.lines),
    )
    values = {
        "images": record(prepared.data),
        "images_training_weights": len(prepared.train),
        "images_validating": len(prepared.validation or ()),
        "network": {"madds": cost.madds, "params": cost.params},
        "epochs": config.epochs,
        "steps": steps,
        "batch": batch,
        "estimate": None if forecast is None else forecast.record,
    }
    return Planned(lines, values)


def _timed(prepared: PreparedTraining, steps: int) -> Forecast:
    config = prepared.config.training
    copy = _session(prepared, no_message, NO_GRAPHS)

    def run(count: int) -> None:
        for _ in range(count):
            copy.advance()

    each = seconds_of_step(run, prepared.device)
    shown = FORWARD_SHARE * config.epochs * len(prepared.validation or ()) / config.batch
    memory = memory_mb(prepared.device)
    return Forecast(each * (steps + shown), prepared.device, memory_mb=memory)


def _session(
    prepared: PreparedTraining, on_message: Message, graphs: Graphs | None = None
) -> Session:
    config, device, norm = prepared.config, prepared.device, prepared.normaliser
    augment = Augment(config.augment.crop, config.augment.flip, config.augment.cutout)
    seed = derived_seed(config.seed, "batches")
    train = Batches(prepared.train, config.training.batch, seed, device, norm, augment)
    validation = None
    if prepared.validation is not None:
        validation = Batches(prepared.validation, EVALUATION_BATCH, 0, device, norm)
    if prepared.ranks.count > 1:
        graphs = NO_GRAPHS  # what processes send to each other is not recorded
    recorded = graphs or make_graphs(device, on_message)
    execution = Execution(device, PRECISIONS[config.training.precision], recorded)
    return Session(
        prepared.architecture, train, validation, config, device, execution, prepared.ranks
    )


def _train(
    session: Session, images: int, folder: TrainingFolder, observer: Observer, ranks: Ranks
) -> None:
    epochs = session.config.training.epochs
    saved = started = time.monotonic()
    while True:
        late = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
        if session.epoch_is_over:
            with ranks.together():
                record = session.close_epoch()
            seconds, started = time.monotonic() - started, time.monotonic()
            # The event first: of an epoch that the checkpoint does not know, it is dropped again.
            folder.log(record, seconds, images)
            late = late or session.step == session.steps
            with _saved_if_stopped(folder, session):
                observer.event(EpochEvent(seconds, record, epochs, folder.path))
        if late:
            save_session(folder.session, session)
            saved = time.monotonic()
        if session.step == session.steps:
            return
        with ranks.together():
            session.advance()
        with _saved_if_stopped(folder, session):
            observer.tick("train", session.step, session.steps)


@contextmanager
def _saved_if_stopped(folder: TrainingFolder, session: Session) -> Iterator[None]:
    """Saves the session if the observer raises."""
    try:
        yield
    except BaseException:
        save_session(folder.session, session)
        raise


def _finish(prepared: PreparedTraining, session: Session, folder: TrainingFolder) -> TrainingResult:
    """Looks at the test images, for the first and only time, and writes weights and result."""
    network, kept = session.kept()
    with prepared.ranks.together():
        tested = _tested(prepared, network)
    if not math.isfinite(tested.loss):
        raise ConfigError("training: the test loss is not finite; try a lower learning rate")
    result = _result(prepared, session, kept, tested)
    norm = prepared.normaliser
    about = {
        NORMALISATION: json.dumps({"mean": norm.mean, "std": norm.std}),
        "classes": json.dumps(prepared.data.classes),
        "data": prepared.data.name,
        "test_accuracy": str(tested.accuracy),
    }
    save_weights(folder.path / WEIGHTS, network, prepared.architecture, about)
    folder.save_result(result)
    return result


def _tested(prepared: PreparedTraining, network: Network) -> Measured:
    norm, device, ranks = prepared.normaliser, prepared.device, prepared.ranks
    test = Batches(prepared.data.test, EVALUATION_BATCH, 0, device, norm)
    return measure(network, test.evaluation_batches(ranks.rank, ranks.count), ranks=ranks)


def _result(
    prepared: PreparedTraining, session: Session, kept: Epoch, tested: Measured
) -> TrainingResult:
    config, data, cost = prepared.config, prepared.data, prepared.architecture.cost
    recipe = config.model_dump(mode="json", exclude={"seed", "device", "architecture"})
    # Where the images lie belongs to a machine, not to the result.
    recipe["data"]["source"] = data.name
    versions = {name: metadata.version(name) for name in ("autospace", "torch", "numpy")}
    return TrainingResult(
        architecture=config.architecture,
        choices=prepared.architecture.choices,
        madds=cost.madds,
        params=cost.params,
        test_accuracy=tested.accuracy,
        test_loss=tested.loss,
        validation_accuracy=kept.validation_accuracy,
        validation_loss=kept.validation_loss,
        kept_epoch=kept.epoch,
        epochs=len(session.history),
        steps=session.steps,
        seed=config.seed,
        device=prepared.device.type,
        data=TrainingDataDocument(
            name=data.name,
            sha256=data.digest,
            classes=list(data.classes),
            train=len(prepared.train),
            validation=len(prepared.validation or ()),
            test=tested.images,
        ),
        recipe=recipe,
        curve=[EpochDocument(**asdict(each)) for each in session.history],
        versions={**versions, "python": ".".join(map(str, sys.version_info[:2]))},
        processes=prepared.ranks.count,
    )
