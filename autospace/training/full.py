"""A whole training on images, in one process or in several that torchrun has started."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import nn

from autospace.compute.cuda_graphs import NO_GRAPHS, Graphs, make_graphs
from autospace.compute.device import memory_mb, resolve_device
from autospace.compute.execution import Execution
from autospace.compute.ranks import ALONE, Ranks
from autospace.compute.timing import FORWARD_SHARE, Forecast, seconds_of_step
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.images import (
    check_augment,
    check_source,
    measured_at_once,
    skeleton_for,
)
from autospace.data.load import load_data
from autospace.data.splits import divide
from autospace.data.summary import record, told_of
from autospace.networks.weights import NORMALISATION, save_weights
from autospace.progress import Message, Observer, Planned, Silent, no_message
from autospace.runs.errors import ConfigError
from autospace.seeds import derived_seed
from autospace.spaces.errors import AutospaceError
from autospace.spaces.space import Architecture
from autospace.spaces.text import human, plural
from autospace.training.auxiliary import check_auxiliary
from autospace.training.drop_path import check_drop_path
from autospace.training.folder import (
    WEIGHTS,
    EpochDocument,
    TrainingDataDocument,
    TrainingFolder,
    TrainingResult,
)
from autospace.training.life import EpochEvent, described, follow, live
from autospace.training.session import PRECISIONS, Epoch, Session
from autospace.training.settings import TrainConfig
from autospace.training.short import Measured, measure

FEW_STEPS: Final = 100
"""A training of fewer steps is over before its time is known."""


@dataclass(frozen=True)
class PreparedTraining:
    """Everything that a training on images needs before it begins.

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
    event: ClassVar[type[EpochEvent]] = EpochEvent

    @property
    def epochs(self) -> int:
        """The number of all epochs."""
        return self.config.training.epochs

    @property
    def digest(self) -> str:
        """Of the images."""
        return self.data.digest

    @property
    def data_record(self) -> Mapping[str, Any]:
        """What was read of the images."""
        return record(self.data)

    def session(self, on_message: Message) -> Session:
        """The training before its first step."""
        return _session(self, on_message)

    def plan(self, session: Session) -> Planned:
        """What the training will do, and how long that takes by a few steps on a copy."""
        return _plan(self, session.steps)

    def finish(self, session: Session, folder: TrainingFolder) -> TrainingResult:
        """Looks at the test images, for the first and only time; writes weights and result."""
        return _finish(self, session, folder)


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

    def begin() -> PreparedTraining:
        given = architecture or folder.architecture
        prepared = prepare(folder.config, folder.cache, observer, given, device, images, ranks)
        _share(prepared, folder.cache)
        return prepared

    found: TrainingResult = live(folder, observer, begin, ranks)
    return found


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
    if images is None:
        check_source(architecture.skeleton, config.data.source)
    data = load_data(
        images or config.data.source,
        resolution=config.data.resolution or architecture.skeleton.side,
        limit=config.data.limit,
        seed=config.seed,
        cache=cache,
        tick=partial(observer.tick, "data"),
        aspect=config.data.aspect,
        ground=config.data.ground,
    )
    own = fitted(architecture, data)
    check_augment(data, {f"augment.{name}": each for name, each in config.augment})
    check_drop_path(own.skeleton, config.training.drop_path)
    check_auxiliary(own.skeleton, config.training.auxiliary)
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
    follow(session, TrainingFolder, ranks)
    network, _ = session.kept()
    with ranks.together():
        _tested(prepared, network)


def _share(prepared: PreparedTraining, cache: Path) -> None:
    """Tells the other processes what is trained, and waits until they have the same images."""
    ranks = prepared.ranks
    ranks.told(Job(prepared.config, prepared.architecture, cache, prepared.device.type))
    with ranks.together():
        ranks.agree(prepared.data.digest, None)


def fitted(architecture: Architecture, data: DataSet) -> Architecture:
    """The same cells on a skeleton that fits the images or sentences, and their classes."""
    return replace(architecture, skeleton=skeleton_for(architecture.skeleton, data))


def _change(given: Architecture, own: Architecture) -> list[str]:
    """Remarks on how the fitting changed the costs."""
    if given.cost == own.cost:
        return []
    skeleton = own.skeleton
    images = f"{skeleton.resolution}x{skeleton.resolution}x{skeleton.in_channels} images"
    if skeleton.side is None:
        images = f"sentences of {skeleton.resolution} tokens"
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
    units = "sentences" if prepared.train.of_tokens else "images"
    lines = (
        f"plan: {len(prepared.train):,} {units} train a network of {human(cost.madds)} MAdds",
        f"plan: {plural(config.epochs, 'epoch')}, {plural(steps, 'step')} of {batch:,} {units}",
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
    seconds, device = each * (steps + shown), prepared.device
    return Forecast(seconds, device, memory_mb=memory, most=device.type == "cuda")


def _session(
    prepared: PreparedTraining, on_message: Message, graphs: Graphs | None = None
) -> Session:
    config, device, norm = prepared.config, prepared.device, prepared.normaliser
    augment = Augment(config.augment.crop, config.augment.flip, config.augment.cutout)
    seed = derived_seed(config.seed, "batches")
    train = Batches(prepared.train, config.training.batch, seed, device, norm, augment)
    validation = None
    if prepared.validation is not None:
        validation = Batches(
            prepared.validation, measured_at_once(prepared.validation), 0, device, norm
        )
    if prepared.ranks.count > 1:
        graphs = NO_GRAPHS  # what processes send to each other is not recorded
    recorded = graphs or make_graphs(device, on_message)
    execution = Execution(device, PRECISIONS[config.training.precision], recorded)
    return Session(
        prepared.architecture, train, validation, config, device, execution, prepared.ranks
    )


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
    if prepared.data.vocabulary:  # what turns a sentence into numbers
        about["vocabulary"] = json.dumps(prepared.data.vocabulary)
        about["tokens"] = prepared.data.reading.tokens
    save_weights(folder.path / WEIGHTS, network, prepared.architecture, about)
    folder.save_result(result)
    return result


def _tested(prepared: PreparedTraining, network: nn.Module) -> Measured:
    norm, device, ranks = prepared.normaliser, prepared.device, prepared.ranks
    split = prepared.data.test
    test = Batches(split, measured_at_once(split), 0, device, norm)
    return measure(network, test.evaluation_batches(ranks.rank, ranks.count), ranks=ranks)


def _result(
    prepared: PreparedTraining, session: Session, kept: Epoch, tested: Measured
) -> TrainingResult:
    data = prepared.data
    return TrainingResult(
        **described(prepared.config, prepared.architecture, session, data.name),
        test_accuracy=tested.accuracy,
        test_loss=tested.loss,
        validation_accuracy=kept.validation_accuracy,
        validation_loss=kept.validation_loss,
        kept_epoch=kept.epoch,
        data=TrainingDataDocument(
            name=data.name,
            sha256=data.digest,
            classes=list(data.classes),
            train=len(prepared.train),
            validation=len(prepared.validation or ()),
            test=tested.images,
        ),
        curve=[EpochDocument(**asdict(each)) for each in session.history],
        processes=prepared.ranks.count,
    )
