"""The images of an evaluation: some to train on, others to measure on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.load import load_data
from autospace.data.settings import DataConfig
from autospace.data.splits import divide
from autospace.progress import Tick, no_tick
from autospace.seeds import derived_seed

MEASURED_AT_ONCE = 250

Split = Literal["test", "validation"]


@dataclass(frozen=True)
class Images:
    """Disjoint training and measured images, on the way to one device.

    Attributes:
        data: the data set that both were taken from.
        normaliser: measured on the training images only.
        augment: for training batches.
    """

    data: DataSet
    training: Examples
    measured: Examples
    normaliser: Normaliser
    augment: Augment
    device: torch.device

    def batches(self, size: int, seed: int) -> Batches:
        """Training batches: equal seeds, equal batches."""
        stream = derived_seed(seed, "batches", "evaluation")
        return Batches(self.training, size, stream, self.device, self.normaliser, self.augment)

    def plain_batches(self, size: int, seed: int) -> Batches:
        """Training images without augmentation, shuffled."""
        stream = derived_seed(seed, "batches", "plain")
        return Batches(self.training, size, stream, self.device, self.normaliser)

    def measured_batches(self) -> Batches:
        """The measured images."""
        return Batches(self.measured, MEASURED_AT_ONCE, 0, self.device, self.normaliser)


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

    With `split` `test`, all of the train split is trained on and the test split measured: a
    learned space has seen all of the train split, so that part of it would favour that space.
    With `validation`, a part of the train split is measured and the test split left alone.
    Images that a program passes, `given`, are read in place of the source.

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
    )
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
