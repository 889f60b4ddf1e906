"""The images of an evaluation: some to train on, others to measure on."""

import math
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import torch

from autospace.data.batches import Augment, Batch, Batches, BatchSource, Normaliser
from autospace.data.errors import DataError
from autospace.data.examples import DataSet, Examples
from autospace.data.load import load_data
from autospace.data.settings import DataConfig
from autospace.data.splits import divide
from autospace.data.summary import record, told_of, warnings_of
from autospace.progress import Tick, no_tick
from autospace.seeds import derived_seed
from autospace.spaces.captions import captioning
from autospace.spaces.encoder import encoder
from autospace.spaces.sequence import sequence
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space, refitted

MEASURED_AT_ONCE: Final = 250
"""Images of a batch that is only measured, if their sides have no more pixels than `_SMALL`."""
_SMALL: Final = 64
AUGMENTATIONS = ("crop", "flip", "cutout")

Split = Literal["test", "validation"]


class Passes(Protocol):
    """What can be gone through from beginning to end."""

    def evaluation_batches(self) -> Iterator[Batch]:
        """One pass."""


class Halves(Protocol):
    """What networks are trained on and, apart from it, measured on; `Images` for example."""

    @property
    def device(self) -> torch.device:
        """Where batches are."""

    @property
    def name(self) -> str:
        """A short name."""

    @property
    def digest(self) -> str:
        """A digest of all that networks see."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on what was read."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes it hopeless to learn from these data."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What was read, for people."""

    @property
    def outputs(self) -> int:
        """Number of classes, or of different tokens."""

    @property
    def training(self) -> Sized:
        """What networks are trained on: images, or tokens."""

    @property
    def measured(self) -> Sized:
        """What is measured, likewise."""

    @property
    def row(self) -> int:
        """How many of them a row of a batch holds: 1 image, or the tokens of a segment."""

    @property
    def record(self) -> dict[str, Any]:
        """The same as values that JSON can hold."""

    def fitted(self, space: Space) -> Space:
        """The space for these data."""

    def batches(self, size: int, seed: int) -> BatchSource:
        """Training batches; equal seeds give equal batches."""

    def judging_batches(self, size: int, seed: int) -> BatchSource:
        """Batches, in any order, of what is measured."""

    def measured_batches(self) -> Passes:
        """All that is measured."""


@dataclass(frozen=True)
class Images:
    """Disjoint training and evaluation images, and the device that their batches are made on.

    Sentences are examples of classes as images are: with a normaliser that leaves them as they are.

    Attributes:
        data: the data set that both were taken from.
        normaliser: fitted to the training images only.
        augment: for training batches.
    """

    data: DataSet
    training: Examples
    measured: Examples
    normaliser: Normaliser
    augment: Augment
    device: torch.device

    @property
    def row(self) -> int:
        """1."""
        return 1

    @property
    def name(self) -> str:
        """That of the data set."""
        return self.data.name

    @property
    def digest(self) -> str:
        """That of the data set."""
        return self.data.digest

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the data set."""
        return self.data.notes

    @property
    def outputs(self) -> int:
        """Number of classes."""
        return len(self.data.classes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes it hopeless to learn from these images."""
        return warnings_of(self.data)

    @property
    def lines(self) -> tuple[str, ...]:
        """What was read, the notes, and what makes it hopeless to learn from these images."""
        return told_of(self.data)

    def fitted(self, space: Space) -> Space:
        """The space for images of this size, or sentences of this length, and so many classes."""
        return refitted(space, skeleton_for(space.skeleton, self.data))

    def batches(self, size: int, seed: int) -> Batches:
        """Training batches; equal seeds give equal batches."""
        stream = derived_seed(seed, "batches", "evaluation")
        return Batches(self.training, size, stream, self.device, self.normaliser, self.augment)

    def plain_batches(self, size: int, seed: int) -> Batches:
        """Training images without augmentation, shuffled."""
        stream = derived_seed(seed, "batches", "plain")
        return Batches(self.training, size, stream, self.device, self.normaliser)

    @property
    def record(self) -> dict[str, Any]:
        """What was read, as values that JSON can hold."""
        return record(self.data)

    def judging_batches(self, size: int, seed: int) -> Batches:
        """Batches of the images that are measured, shuffled, without augmentation."""
        return Batches(self.measured, size, seed, self.device, self.normaliser)

    def measured_batches(self) -> Batches:
        """Batches of the images that are measured."""
        return Batches(
            self.measured, measured_at_once(self.measured), 0, self.device, self.normaliser
        )


def measured_at_once(examples: Examples) -> int:
    """How many images a batch has that is only measured: fewer large ones, for memory's sake."""
    sides = (1, 1) if examples.of_tokens else examples.shape[1:]
    return max(1, min(MEASURED_AT_ONCE, MEASURED_AT_ONCE * _SMALL**2 // math.prod(sides)))


def skeleton_for(skeleton: Skeleton, data: DataSet) -> Skeleton:
    """The same network for the images or sentences of a data set, and its classes.

    Raises:
        SpaceError: it reads something else.
    """
    classes = len(data.classes)
    if data.vocabulary:
        own = encoder(skeleton, "the data are sentences")
        return own.for_sentences(len(data.vocabulary), data.train.shape[0], classes)
    channels, resolution, _ = data.train.shape
    return skeleton.fitted(in_channels=channels, resolution=resolution, classes=classes)


READERS: Final[Mapping[str, tuple[Callable[[Skeleton, str], Skeleton], str]]] = {
    "text": (sequence, "the data are a text"),
    "sentences": (encoder, "the data are sentences"),
    "captions": (captioning, "the data are images with captions"),
}
"""For each kind of source that is not images with classes, what refuses other networks."""


def check_source(skeleton: Skeleton, source: str) -> None:
    """Refuses data that a network does not read, before they are looked at.

    Args:
        skeleton: of the network.
        source: as `--data` names it; images with classes are refused once their size is known.

    Raises:
        SpaceError: the data are a text, sentences or captions, and the network reads other data.
    """
    found = READERS.get(source.partition(":")[0])
    if found is not None:
        check, work = found
        check(skeleton, work)


def check_augment(data: DataSet, settings: Mapping[str, object]) -> None:
    """Refuses augmentations of images for sentences.

    Args:
        data: images or sentences.
        settings: of augmentations, by name; those that are 0 or False do nothing.

    Raises:
        DataError: one changes images, and there are none.
    """
    for name, value in settings.items():
        if value and data.vocabulary:
            raise DataError(f"{name}: {value}, for images; allowed for sentences: leave it out")


def as_images(halves: Halves, work: str) -> Images:
    """Images, for work that text is nothing for.

    Args:
        halves: what networks are trained and measured on.
        work: what needs images.

    Raises:
        DataError: they are something else.
    """
    if not isinstance(halves, Images):
        raise DataError(f"{halves.name}: no images, which {work} needs; allowed: images")
    return halves


def load_images(
    data: DataConfig,
    split: Split,
    seed: int,
    device: torch.device,
    cache: Path | None = None,
    tick: Tick = no_tick,
    given: DataSet | None = None,
) -> Images:
    """Reads the data set and divides it.

    With `split` `test`, networks are trained on the whole train split and measured on the test
    split. A learned space has seen the whole train split, so measuring on a part of it would
    favour that space. With `validation`, networks are measured on a part of the train split, and
    the test split is not used. Images that a program passes, `given`, are read in place of the
    source.

    Raises:
        DataError: the images cannot be read or divided.
    """
    found = load_data(
        given or data.source,
        resolution=data.resolution,
        limit=data.limit,
        seed=seed,
        cache=cache,
        tick=tick,
        aspect=data.aspect,
        ground=data.ground,
    )
    check_augment(found, {f"data.{name}": getattr(data, name) for name in AUGMENTATIONS})
    training, measured = found.train, found.test
    if split == "validation":
        training, measured = divide(found.train, data.validation, seed)
    return Images(
        found,
        training,
        measured,
        Normaliser.from_examples(training),
        Augment(data.crop, data.flip, data.cutout),
        device,
    )
