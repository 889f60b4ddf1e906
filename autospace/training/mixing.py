"""Mixup, CutMix and random erasing of whole batches, in a few tensor operations.

The batches are already augmented and normalised, so zero is the mean colour.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

# Shares of an image's area and the widest aspect ratio (Zhong et al., AAAI 2020, section 4).
ERASED_AREA = (0.02, 0.33)
ERASED_ASPECT = 3.3


@dataclass(frozen=True, slots=True)
class Boxes:
    """One rectangle of pixels per image: rows top..bottom-1, columns left..right-1; each int [N].

    An empty rectangle is one whose end is not after its start.
    """

    top: torch.Tensor
    bottom: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor

    def mask(self, height: int, width: int) -> torch.Tensor:
        """Where the rectangles are: bool [N, 1, height, width]."""
        rows = torch.arange(height, device=self.top.device)
        columns = torch.arange(width, device=self.top.device)
        down = (rows >= self.top[:, None]) & (rows < self.bottom[:, None])
        across = (columns >= self.left[:, None]) & (columns < self.right[:, None])
        return down[:, None, :, None] & across[:, None, None, :]


def mixup(
    images: torch.Tensor, targets: torch.Tensor, partner: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each image blended with its partner (Zhang et al., ICLR 2018).

    Args:
        images: [N, C, H, W].
        targets: class probabilities [N, classes].
        partner: index of each image's partner, [N].
        weight: share of the image itself, [N].
    """
    own = weight[:, None, None, None].to(images.dtype)
    blended = images * own + images[partner] * (1 - own)
    return blended, _blended(targets, partner, weight)


def cutmix(
    images: torch.Tensor, targets: torch.Tensor, partner: torch.Tensor, boxes: Boxes
) -> tuple[torch.Tensor, torch.Tensor]:
    """A rectangle of each image taken from its partner (Yun et al., ICCV 2019).

    The weight of a partner's class is the share of pixels that came from it.
    """
    inside = boxes.mask(*images.shape[2:])
    weight = 1 - inside.float().mean(dim=(1, 2, 3))
    return torch.where(inside, images[partner], images), _blended(targets, partner, weight)


def erased(images: torch.Tensor, boxes: Boxes) -> torch.Tensor:
    """The images with their rectangles set to zero (Zhong et al., AAAI 2020)."""
    return images * ~boxes.mask(*images.shape[2:])


@dataclass(frozen=True, slots=True)
class Mixing:
    """Which of the three change a batch; of mixup and CutMix, if both may, a coin chooses one.

    Attributes:
        classes: of the data set.
        mixup: alpha of the Beta distribution of the weights; 0 for none.
        cutmix: likewise, of the share of pixels that stay.
        erasing: probability that an image loses a rectangle.
    """

    classes: int
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0

    @property
    def changes(self) -> bool:
        """Whether it changes a batch at all."""
        return bool(self.mixup or self.cutmix or self.erasing)

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images, and as targets the labels, or probabilities [N, classes] if images are mixed.

        Equal seeds give equal draws on every device.
        """
        rng = np.random.default_rng(seed)
        targets = labels
        if self.mixup or self.cutmix:
            targets = F.one_hot(labels, self.classes).to(images.dtype)
            count, device = len(images), images.device
            partner = torch.from_numpy(rng.permutation(count)).to(device, non_blocking=True)
            cut = self.cutmix > 0 and (not self.mixup or rng.random() < 0.5)
            alpha = self.cutmix if cut else self.mixup
            weight = rng.beta(alpha, alpha, count)
            if cut:
                boxes = _clipped(rng, 1 - weight, images)
                images, targets = cutmix(images, targets, partner, boxes)
            else:
                own = torch.from_numpy(weight.astype(np.float32)).to(device, non_blocking=True)
                images, targets = mixup(images, targets, partner, own)
        if self.erasing:
            images = erased(images, _within(rng, self.erasing, images))
        return images, targets


def _blended(targets: torch.Tensor, partner: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    own = weight[:, None].to(targets.dtype)
    return targets * own + targets[partner] * (1 - own)


def _clipped(rng: np.random.Generator, areas: np.ndarray, images: torch.Tensor) -> Boxes:
    """Boxes of the images' shape around any pixel, cut off at the border."""
    height, width = images.shape[2:]
    side = np.sqrt(areas)
    rows, columns = (side * height).astype(np.int64), (side * width).astype(np.int64)
    top = rng.integers(0, height, len(areas)) - rows // 2
    left = rng.integers(0, width, len(areas)) - columns // 2
    return _boxes(top, top + rows, left, left + columns, images.device)


def _within(rng: np.random.Generator, probability: float, images: torch.Tensor) -> Boxes:
    """Boxes of any area and aspect inside the images; empty ones where none is wanted."""
    count, _, height, width = images.shape
    area = rng.uniform(*ERASED_AREA, count) * height * width
    aspect = np.exp(rng.uniform(-np.log(ERASED_ASPECT), np.log(ERASED_ASPECT), count))
    wanted = rng.random(count) < probability
    rows = np.clip(np.rint(np.sqrt(area * aspect)), 1, height).astype(np.int64) * wanted
    columns = np.clip(np.rint(np.sqrt(area / aspect)), 1, width).astype(np.int64)
    top = rng.integers(0, height - rows + 1)
    left = rng.integers(0, width - columns + 1)
    return _boxes(top, top + rows, left, left + columns, images.device)


def _boxes(
    top: np.ndarray, bottom: np.ndarray, left: np.ndarray, right: np.ndarray, device: torch.device
) -> Boxes:
    edges = torch.from_numpy(np.stack([top, bottom, left, right])).to(device, non_blocking=True)
    return Boxes(*edges)
