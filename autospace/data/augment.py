"""Random crop, flip and cutout of a whole batch in a handful of tensor operations."""

from dataclasses import dataclass

import torch

from autospace.data.errors import DataError


@dataclass(frozen=True, slots=True)
class Augment:
    """Which augmentations a training batch goes through.

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
                raise DataError(f"augment: {name} {pixels} is negative, 0 or more is allowed")

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augments a batch of normalised images, in which zero is the mean colour.

        Args:
            images: Floating point [N, C, H, W]; not changed.
            generator: Source of all randomness. The numbers are drawn on its device: a generator
                of the CPU gives equal batches whatever the images' device is.

        Returns:
            Same shape, type, device and memory format.
        """
        count, _, height, width = images.shape
        draws = torch.rand(5, count, generator=generator, device=generator.device)
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
