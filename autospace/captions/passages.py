"""Images with captions for an evaluation: some to train on, others to measure on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from autospace.captions.corpus import CaptionData, CaptionSplit, load_captions
from autospace.data.batches import Augment, Batch, Batches, Normaliser
from autospace.data.errors import DataError
from autospace.data.examples import DataSet, Examples
from autospace.data.images import Split, measured_at_once
from autospace.data.request import Request, thinned
from autospace.data.settings import DataConfig
from autospace.networks.captions import START, packed
from autospace.progress import Tick, no_tick
from autospace.seeds import derived_seed
from autospace.spaces.captions import captioning
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space, refitted

SCORE: Final = "the accuracy of a network on captions is the mean n-gram F of what it writes"


class CaptionBatches:
    """Batches (inputs, references) of images with captions.

    Those to learn have one caption an image, drawn from its references; those to judge by have all
    references. See `autospace.networks.captions.packed` for inputs; targets are [N, R, T].

    Args:
        split: what to draw from.
        size: images of a batch.
        seed: of order, augmentation and captions.
        device: of the batches.
        normaliser: of the images.
        augment: of the images to learn.
        judged: whether captions are judged.
    """

    def __init__(
        self,
        split: CaptionSplit,
        size: int,
        seed: int,
        device: torch.device,
        normaliser: Normaliser,
        *,
        augment: Augment | None = None,
        judged: bool = False,
    ) -> None:
        # Channels first: an input is a row of numbers.
        self._images = Batches(split.images, size, seed, device, normaliser, augment, False)
        self._tokens = split.tokens.to(device)
        self._counts = split.counts.to(device)
        self._seed, self._judged = seed, judged

    def __len__(self) -> int:
        """Batches of a pass."""
        return len(self._images)

    @property
    def size(self) -> int:
        """Images of a batch."""
        return self._images.size

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted over all passes; a function of seed and step."""
        images, numbers = self._images.batch(step)
        references = self._tokens[numbers].long()
        if not self._judged:
            seed = derived_seed(self._seed, "captions", "reference", step)
            draws = torch.rand(len(numbers), generator=torch.Generator().manual_seed(seed))
            place = (draws.to(references.device) * self._counts[numbers]).long()
            references = references[torch.arange(len(place), device=place.device), place][:, None]
        return self._made(images, references)

    def packed(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Images and captions as tensors, and the settings as plain values, for `unpacked`."""
        tensors, plain = self._images.packed()
        return {**tensors, "tokens": self._tokens}, {"images": plain, "judged": self._judged}

    @classmethod
    def unpacked(
        cls, tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any], device: torch.device
    ) -> "CaptionBatches":
        """Batches equal to those that were packed, on a device."""
        own = plain["images"]
        mean, std = (tuple(own["normaliser"][name]) for name in ("mean", "std"))
        images = Examples(tensors["pixels"], tensors["labels"], tensors.get("rows"))
        return cls(
            CaptionSplit(images, tensors["tokens"], 0),
            own["batch_size"],
            own["seed"],
            device,
            Normaliser(mean, std),
            augment=None if own["augment"] is None else Augment(**own["augment"]),
            judged=plain["judged"],
        )

    def evaluation_batches(self) -> Iterator[Batch]:
        """Every image once, in the order of the split."""
        for images, numbers in self._images.evaluation_batches():
            yield self._made(images, self._tokens[numbers].long())

    def _made(self, images: torch.Tensor, references: torch.Tensor) -> Batch:
        first = references[:, 0]
        start = torch.full_like(first[:, :1], START)
        given = torch.cat([start, first[:, :-1]], 1)
        return packed(images, given, judged=self._judged), references


@dataclass(frozen=True)
class Captioned:
    """Disjoint images with captions to train and to measure on; see `Halves`.

    Attributes:
        data: what both were taken from.
        normaliser: fitted to the training images only.
        augment: for training batches.
    """

    data: CaptionData
    training: CaptionSplit
    measured: CaptionSplit
    normaliser: Normaliser
    augment: Augment
    device: torch.device

    @property
    def name(self) -> str:
        """That of the data."""
        return self.data.name

    @property
    def digest(self) -> str:
        """That of the data."""
        return self.data.digest

    @property
    def row(self) -> int:
        """1."""
        return 1

    @property
    def outputs(self) -> int:
        """Number of different tokens."""
        return len(self.data.vocabulary)

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the data, and what scores mean."""
        return (*self.data.notes, SCORE)

    @property
    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What was read, and what scores mean."""
        return (*self.data.lines, SCORE)

    @property
    def record(self) -> dict[str, Any]:
        """The same as values that JSON can hold."""
        return self.data.record

    def fitted(self, space: Space) -> Space:
        """The space for images and tokens like these; if anything changes, without its budget.

        Raises:
            SpaceError: its networks do not describe images.
        """
        return refitted(space, fitted_skeleton(space.skeleton, self.data))

    def batches(self, size: int, seed: int) -> CaptionBatches:
        """Training batches; equal seeds give equal batches."""
        own = derived_seed(seed, "batches", "evaluation")
        return CaptionBatches(
            self.training, size, own, self.device, self.normaliser, augment=self.augment
        )

    def judging_batches(self, size: int, seed: int) -> CaptionBatches:
        """Batches of what is measured, shuffled; captions are judged."""
        return CaptionBatches(self.measured, size, seed, self.device, self.normaliser, judged=True)

    def measured_batches(self) -> CaptionBatches:
        """All that is measured; captions are judged."""
        return self.judging_batches(measured_at_once(self.measured.images), 0)


def fitted_skeleton(skeleton: Skeleton, data: CaptionData) -> Skeleton:
    """The same cells for images of this size and so many tokens.

    Raises:
        SpaceError: its networks do not describe images.
        DataError: images are not square.
    """
    own = captioning(skeleton, "the data are images with captions")
    channels, height, width = data.train.images.shape
    if height != width:
        problem = f"{data.name}: images of {width}x{height} pixels"
        raise DataError(f"{problem}; allowed: square ones; set data.resolution")
    vocabulary = len(data.vocabulary)
    return own.described_by(vocabulary=vocabulary, channels=channels, resolution=height)


def load_captioned(
    data: DataConfig,
    split: Split,
    seed: int,
    device: torch.device,
    cache: Path | None = None,
    tick: Tick = no_tick,
    given: DataSet | None = None,
) -> Captioned:
    """Reads images with captions; with `split` `validation`, the test split is not used.

    Args:
        data: names them.
        split: what is measured.
        seed: unused: images are divided by what names their splits, or by position.
        device: of batches.
        cache: for pixels, if they are many.
        tick: receives the images done and the total.
        given: unused.

    Raises:
        DataError: they cannot be read, or a setting is not for captions.
    """
    check_flip(data.flip)
    request = Request(
        data.resolution,
        limit=data.limit,
        cache=cache,
        tick=thinned(tick),
        aspect=data.aspect,
        ground=data.ground,
    )
    found = load_captions(data.source, request)
    measured = found.test if split == "test" else found.validation
    normaliser = Normaliser.from_examples(found.train.images)
    augment = Augment(data.crop, False, data.cutout)
    return Captioned(found, found.train, measured, normaliser, augment, device)


def check_flip(flip: bool) -> None:
    """Refuses mirrored images.

    Raises:
        DataError: they are asked for.
    """
    if flip:
        problem = "data.flip: true, but a mirrored image has another caption"
        raise DataError(f"{problem}; allowed: false for captions")
