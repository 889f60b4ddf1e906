"""Batches of normalised images, augmented by random crops, flips and cutout.

A batch is a pure function of the step, so nothing has to be stored or restored. Each augmentation
changes a whole batch in a few tensor operations.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

import torch
from torch.utils.weak import WeakTensorKeyDictionary

from autospace.data.errors import DataError
from autospace.data.examples import Examples
from autospace.data.splits import check_seed
from autospace.seeds import derived_seed


@dataclass(frozen=True, slots=True)
class Augment:
    """The augmentations of a training batch.

    Attributes:
        crop: Zero padding on every side, in pixels, from which a window of the image's size is
            cut at random; 0 for none.
        flip: Mirror each image left to right with probability one half.
        cutout: Side of a square of zeros, in pixels, centred on a random pixel and clipped at the
            border; 0 for none.

    Raises:
        DataError: A negative number of pixels.
    """

    crop: int = 4
    flip: bool = True
    cutout: int = 0

    def __post_init__(self) -> None:
        """Checks the values."""
        for name, pixels in (("crop", self.crop), ("cutout", self.cutout)):
            if pixels < 0:
                raise DataError(f"augment: {name} {pixels} is negative; allowed: 0 or more")

    def __call__(
        self,
        images: torch.Tensor,
        generator: torch.Generator,
        rows: tuple[int, slice] | None = None,
    ) -> torch.Tensor:
        """Augments a batch of normalised images, in which zero is the mean colour.

        Args:
            images: Floating point [N, C, H, W]; not changed.
            generator: Source of all randomness. The numbers are drawn on its device: a generator
                of the CPU gives equal batches whatever the images' device is.
            rows: The number of images of the whole batch, and which of them these are; `None` for
                all. An image is changed as in the whole batch.

        Returns:
            Same shape, type, device and memory format.
        """
        if not (self.crop or self.flip or self.cutout):
            return images
        height, width = images.shape[2:]
        count, part = rows or (len(images), slice(None))
        draws = torch.rand(5, count, generator=generator, device=generator.device)[:, part]
        draws = draws.to(images.device, non_blocking=True)
        if self.crop or self.flip:
            images = self._crop_and_flip(images, draws)
        if self.cutout:
            images = images * self._kept(draws[3], draws[4], height, width).to(images.dtype)
        return images

    def _crop_and_flip(self, images: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
        # Both are one gather: a flipped image reads its columns in falling order. On channels-last
        # images every gathered element is a run of C values, and the layout is kept.
        count, _, height, width = images.shape
        reach = 2 * self.crop + 1
        across = torch.arange(width, device=images.device).expand(count, width)
        if self.flip:
            across = torch.where(draws[2, :, None] < 0.5, width - 1 - across, across)
        columns = across + (draws[1] * reach).long()[:, None]
        down = torch.arange(height, device=images.device)
        rows = down + (draws[0] * reach).long()[:, None]
        # After padding, rows and columns run from 0: no index is negative or too large.
        padded = torch.nn.functional.pad(images.permute(0, 2, 3, 1), self._margins())
        first = torch.arange(count, device=images.device)[:, None, None]
        cropped = padded[first, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        return cropped.contiguous(memory_format=_layout(images))

    def _margins(self) -> tuple[int, ...]:
        return (0, 0, self.crop, self.crop, self.crop, self.crop)

    def _kept(
        self, down: torch.Tensor, across: torch.Tensor, height: int, width: int
    ) -> torch.Tensor:
        rows = _covered(down, height, self.cutout)
        columns = _covered(across, width, self.cutout)
        return ~(rows[:, None, :, None] & columns[:, None, None, :])


def _covered(draw: torch.Tensor, extent: int, side: int) -> torch.Tensor:
    start = (draw * extent).long()[:, None] - side // 2
    pixels = torch.arange(extent, device=draw.device)
    return (pixels >= start) & (pixels < start + side)


def _layout(images: torch.Tensor) -> torch.memory_format:
    if images.is_contiguous():
        return torch.contiguous_format
    return torch.channels_last


_ORDER = "data order"
_AUGMENT = "data augmentation"


@dataclass(frozen=True, slots=True)
class Normaliser:
    """Maps uint8 images to floats of mean 0 and standard deviation 1 per channel.

    That of sentences has no channels, and only widens the numbers of tokens.

    Attributes:
        mean: Per channel, in units of a pixel value (0 to 255).
        std: Per channel, same units, above 0.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_examples(cls, train: Examples) -> "Normaliser":
        """The normaliser that fits the training images.

        Args:
            train: At least one example. Pass the training part only, never validation or test.

        Returns:
            The exact mean and standard deviation; a constant channel gets a deviation of 1.

        Raises:
            DataError: No examples.
        """
        if not len(train):
            raise DataError("normaliser: no examples to measure; allowed: at least one")
        if train.of_tokens:
            return cls((), ())
        # Counts of the 256 values make both numbers exact, on any machine and in any order.
        counts = sum(
            map(_counts, train.parts()), torch.zeros(train.shape[0], 256, dtype=torch.int64)
        )
        moments = [_moments(channel) for channel in counts.double()]
        return cls(tuple(mean for mean, _ in moments), tuple(std for _, std in moments))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Normalises.

        Args:
            images: uint8 [N, C, H, W].

        Returns:
            float32 [N, C, H, W] on the same device, in the same memory format; of sentences int64
            [N, T].
        """
        if not self.mean:
            return images.long()
        scale, shift = _constants(self.mean, self.std, images.device)
        return (images * scale).add_(shift)


class Batches:
    """Shuffled training batches of a split, whose images are kept as uint8.

    They lie on the device, once for all batches of a split. Images that would take more than
    `DEVICE_SHARE` of a GPU's free memory stay in that of the host, and batches are copied.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int,
        device: torch.device | str,
        normaliser: Normaliser,
        augment: Augment | None = None,
        channels_last: bool = True,
    ) -> None:
        """Moves the examples to the device, where there is room for them.

        Args:
            examples: What to draw from, at least one.
            batch_size: Examples per batch; with fewer examples the batch is all of them.
            seed: Determines order and augmentation; 0 or more.
            device: Where the batches are made.
            normaliser: From the training examples.
            augment: The augmentation of training batches; `None` for none.
            channels_last: Memory format of the images.

        Raises:
            DataError: No examples, a batch size below 1 or a negative seed; too little memory.
        """
        if batch_size < 1:
            raise DataError(f"batches: batch size {batch_size} is too small; allowed: 1 or more")
        if not len(examples):
            raise DataError("batches: no examples; allowed: at least one")
        self._device = _with_index(torch.device(device))
        channels_last = channels_last and not examples.of_tokens
        self._pixels, self._labels, self._rows = _resident(examples, self._device, channels_last)
        self._channels_last = channels_last
        # In the file, channels are the last.
        self._mapped = examples.mapped if channels_last else None
        self._size = min(batch_size, len(examples))
        self._seed = check_seed(seed)
        self._normaliser = normaliser
        self._augment = augment
        self._order: tuple[int, torch.Tensor] | None = None

    def __len__(self) -> int:
        """Batches per epoch, at least 1; a last partial batch is left out."""
        return len(self._labels) // self._size

    @property
    def size(self) -> int:
        """Images of a batch."""
        return self._size

    def batch(self, step: int, part: slice | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of one step: equal arguments give equal batches, in any order of calls.

        Args:
            step: 0, 1, 2, ... through all epochs.
            part: The rows of the batch that are wanted; `None` for all.

        Returns:
            float32 images [B, C, H, W] and int64 labels [B], on the device.

        Raises:
            DataError: A negative step.
        """
        if step < 0:
            raise DataError(f"batches: step {step} is negative; allowed: 0 or more")
        epoch, index = divmod(step, len(self))
        chosen = self._epoch_order(epoch)[index * self._size : (index + 1) * self._size]
        if part is not None:
            chosen = chosen[part]
        rows = chosen if self._rows is None else self._rows.index_select(0, chosen)
        images = self._images(self._pixels.index_select(0, rows))
        if self._augment is not None:
            own = None if part is None else (self._size, part)
            images = self._augment(images, _generator(self._seed, _AUGMENT, step), own)
        return images, self._moved(self._labels.index_select(0, chosen))

    def packed(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """The images and labels as tensors, and the settings as plain values, for `unpacked`.

        Images that lie in a file are not among the tensors; `mapped` names the file and the entry.
        """
        tensors = {"labels": self._labels}
        if self._mapped is None:
            tensors["pixels"] = self._pixels
        if self._rows is not None:
            tensors["rows"] = self._rows
        return tensors, {
            "batch_size": self._size,
            "seed": self._seed,
            "normaliser": asdict(self._normaliser),
            "augment": None if self._augment is None else asdict(self._augment),
            "channels_last": self._channels_last,
            "mapped": None
            if self._mapped is None
            else [str(self._mapped.file), self._mapped.entry],
        }

    @classmethod
    def unpacked(
        cls,
        tensors: Mapping[str, torch.Tensor],
        plain: Mapping[str, Any],
        device: torch.device | None = None,
    ) -> "Batches":
        """Batches equal to those that were packed, on a device; by default that of the tensors.

        The tensors need `pixels`, too where `mapped` names a file: whoever maps it, adds them.
        Images that lie there already are not copied: several processes can share those of a file.
        `moved_pixels` moves them, for all batches that take theirs from the same tensor.
        """
        channels_last, pixels = plain["channels_last"], tensors["pixels"]
        images = pixels.permute(0, 3, 1, 2) if channels_last else pixels
        mean, std = (tuple(plain["normaliser"][name]) for name in ("mean", "std"))
        return cls(
            Examples(images, tensors["labels"], tensors.get("rows")),
            plain["batch_size"],
            plain["seed"],
            device or pixels.device,
            Normaliser(mean, std),
            None if plain["augment"] is None else Augment(**plain["augment"]),
            channels_last,
        )

    def evaluation_batches(
        self, first: int = 0, every: int = 1
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Every example once, in the order of the split, without augmentation.

        Args:
            first: The number of the first batch.
            every: How many batches further the next one is.

        Yields:
            float32 images [B, C, H, W] and int64 labels [B]; the last batch may be smaller.
        """
        for start in range(first * self._size, len(self._labels), every * self._size):
            part = slice(start, start + self._size)
            pixels = self._pixels[part if self._rows is None else self._rows[part]]
            yield self._images(pixels), self._moved(self._labels[part])

    def _epoch_order(self, epoch: int) -> torch.Tensor:
        # Only remembered, never advanced: the order is derived from (seed, epoch) alone.
        if self._order is None or self._order[0] != epoch:
            generator = _generator(self._seed, _ORDER, epoch)
            order = torch.randperm(len(self._labels), generator=generator)
            # Not waiting: the copy is taken before the call returns, and a GPU goes on working.
            self._order = (epoch, order.to(self._labels.device, non_blocking=True))
        return self._order[1]

    def _moved(self, values: torch.Tensor) -> torch.Tensor:
        if values.device == self._device or self._device.type != "cuda":
            return values
        # From pinned memory, so that the host goes on while the copy is made.
        return values.pin_memory().to(self._device, non_blocking=True)

    def _images(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = self._moved(pixels)
        if self._channels_last:
            pixels = pixels.permute(0, 3, 1, 2)
        return self._normaliser(pixels)


DEVICE_SHARE: Final = 0.5
"""Of a GPU's free memory; images that would take more of it stay in the memory of the host."""

_placed: Final = WeakTensorKeyDictionary()
"""Per tensor of images, its pixels by device and layout, for as long as batches use them."""


def _resident(
    examples: Examples, device: torch.device, channels_last: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Pixels, labels and rows where batches are taken from: one tensor for all batches of a store.

    Rows are those of the pixels that the examples have; None for all.
    """
    images, rows = examples.store, examples.rows
    known = _placed.setdefault(images, WeakValueDictionary())
    pixels = known.get((device, channels_last))
    try:
        if pixels is None and _too_large(images, device):
            return _resident(examples, images.device, channels_last)
        if pixels is None:
            pixels = known[device, channels_last] = _pixels(images.to(device), channels_last)
        return pixels, examples.labels.to(device), None if rows is None else rows.to(device)
    except torch.OutOfMemoryError:
        problem = f"there is too little memory on {device} for {len(images)} images"
        size = "x".join(map(str, images.shape[2:]))
        advice = "allowed: fewer images (data.limit) or smaller ones (data.resolution)"
        raise DataError(f"data: {problem} of {size} pixels; {advice}") from None


def moved_pixels(pixels: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Pixels that were packed, on the device if it has room for them, otherwise where they are."""
    return pixels if _too_large(pixels, device) else pixels.to(device)


def _too_large(images: torch.Tensor, device: torch.device) -> bool:
    if device.type != "cuda" or images.device == device:
        return False
    return images.nbytes > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def _with_index(device: torch.device) -> torch.device:
    # So that it equals the device of its tensors.
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())


def _pixels(images: torch.Tensor, channels_last: bool) -> torch.Tensor:
    # Stored as N, H, W, C for channels-last: picking examples then yields that layout for free,
    # whereas index_select on a strided tensor falls back to the default one.
    if channels_last:
        images = images.permute(0, 2, 3, 1)
    return images.contiguous()


def _generator(seed: int, stream: str, index: int) -> torch.Generator:
    # Always of the CPU, so that a batch does not depend on the device.
    return torch.Generator().manual_seed(derived_seed(seed, stream, index))


def _counts(images: torch.Tensor) -> torch.Tensor:
    """How often every channel has each value, int64 [C, 256]."""
    channels = images.unbind(1)
    return torch.stack([torch.bincount(each.reshape(-1), minlength=256) for each in channels]).cpu()


def _moments(counts: torch.Tensor) -> tuple[float, float]:
    values = torch.arange(256, dtype=torch.float64)
    mean = float((counts * values).sum() / counts.sum())
    variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
    return mean, variance**0.5 or 1.0


@lru_cache(maxsize=64)
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    # Remembered because building a tensor from a list costs a blocking copy to the device.
    means, deviations = torch.tensor([mean, std], dtype=torch.float64).view(2, 1, -1, 1, 1)
    scale, shift = 1 / deviations, -means / deviations
    return scale.float().to(device), shift.float().to(device)


Batch = tuple[torch.Tensor, torch.Tensor]


class BatchSource(Protocol):
    """Training batches as a pure function of the step: a resumed run gets the same batches."""

    def batch(self, step: int) -> Batch:
        """Images [N, C, H, W] and labels [N] of a step."""
        ...
