"""Doubts about images: what was read may well be wrong, although every file was readable."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from autospace.data.errors import name_few
from autospace.data.examples import Examples

# Values from 0 to 255 that differ by less than this are hardly seen apart.
_FEW_LEVELS = 8
_DARK = 16

# A few blank images, or a few that occur twice, are in many data sets.
_MANY = 0.05
_MOST = 3
MOST_COMPARED: Final = 10_000
"""Images that are compared with each other; of larger data sets it is about so many."""


def doubts(classes: Sequence[str], train: Examples, test: Examples) -> tuple[str, ...]:
    """Remarks on images that a network can hardly learn from.

    Args:
        classes: Class names in label order.
        train: Training split.
        test: Test split.

    Returns:
        A remark each on images without contrast, blank images, classes that hold the same images,
        and test images that are training images, too; none for most data sets.

    Of more than `MOST_COMPARED` images, those are compared whose pixels have certain sums: equal
    images are in this sample together or not at all.
    """
    low, high = _ranges(train, test)
    if len(low) == 0:
        return ()
    parts, sums = _compared(train, test)
    marks = [_marks(split) for split in parts]
    what = "sentences" if train.of_tokens else "images"
    if len(set(marks[0] + marks[1])) == 1 and len(sums.unique()) == 1:
        return (f"all {len(low)} {what} are equal: there is nothing to learn",)
    found = (
        *_same_classes(classes, parts[0], marks[0], what),
        *_seen_before(marks[0], marks[1], what),
    )
    looked = sum(map(len, parts))
    sample = f" (of {looked} {what} that were compared)" if looked < len(low) else ""
    contrast = () if train.of_tokens else _without_contrast(low, high)
    return (*_parts_of_one(classes), *contrast, *(f"{each}{sample}" for each in found))


def _compared(*splits: Examples) -> tuple[list[Examples], torch.Tensor]:
    """The images of each split that are compared, and the sums of the pixels of all images."""
    count = sum(map(len, splits))
    sums = [_sums(split) for split in splits]
    if count <= MOST_COMPARED:
        return list(splits), torch.cat(sums)
    every = -(-count // MOST_COMPARED)
    # That of the first image, so that the sample is never empty. Of images that all have one sum,
    # the first ones are taken.
    kept = torch.cat(sums)[0] % every
    chosen = [(each % every == kept).nonzero().flatten()[:MOST_COMPARED] for each in sums]
    parts = [split.take(index) for split, index in zip(splits, chosen, strict=True)]
    return parts, torch.cat(sums)


def _sums(split: Examples) -> torch.Tensor:
    # By NumPy, which adds bytes up as they are; torch would make all of them larger first.
    parts = (part.cpu().flatten(1).numpy() for part in split.parts())
    sums = [torch.from_numpy(part.sum(1, dtype=np.int64)) for part in parts]
    return torch.cat([torch.zeros(0, dtype=torch.int64), *sums])


def _without_contrast(low: torch.Tensor, high: torch.Tensor) -> tuple[str, ...]:
    darkest, brightest = int(low.min()), int(high.max())
    if brightest - darkest < _FEW_LEVELS:
        return (f"all pixels lie between {darkest} and {brightest} of 0 to 255: no contrast",)
    black = int((high <= _DARK).sum())
    blank = int((high - low < _FEW_LEVELS).sum())
    if black >= _MANY * len(low):
        return (f"{_share(black, len(low))} nearly black (no pixel above {_DARK})",)
    if blank >= _MANY * len(low):
        return (f"{_share(blank, len(low))} of one colour",)
    return ()


_PARTS: Final = frozenset({
    "image", "images", "img", "imgs", "jpegimages", "photos", "pictures", "mask", "masks", "label",
    "labels", "annotation", "annotations", "groundtruth", "gt", "trimap", "trimaps", "segmentation",
    "segmentations", "bbox", "bboxes", "xml", "xmls", "depth", "edges",
})  # fmt: skip


def _parts_of_one(classes: Sequence[str]) -> tuple[str, ...]:
    """A remark on folders that hold one thing of all images each, and no class."""
    plain = {"".join(filter(str.isalnum, name.casefold())) for name in classes}
    if not plain <= _PARTS:
        return ()
    named = f"classes {name_few(classes)} are named like parts of one data set"
    return (f"{named}, not like classes: name the folder that holds the folders of the classes",)


def _share(count: int, total: int) -> str:
    return f"{count} of {total} images {'is' if count == 1 else 'are'}"


def _same_classes(
    classes: Sequence[str], train: Examples, marks: Sequence[bytes], what: str
) -> tuple[str, ...]:
    of_class: dict[int, set[bytes]] = defaultdict(set)
    for label, mark in zip(train.labels.tolist(), marks, strict=True):
        of_class[label].add(mark)
    alike: dict[frozenset[bytes], list[str]] = defaultdict(list)
    for label in sorted(of_class):
        alike[frozenset(of_class[label])].append(classes[label])
    equal = [names for names in alike.values() if len(names) > 1]
    remarks = [f"classes {name_few(names)} hold the same {what}" for names in equal[:_MOST]]
    if len(equal) > _MOST:
        remarks.append(f"{len(equal) - _MOST} more groups of classes hold the same {what}")
    images = sum(map(len, of_class.values())) - len(set().union(*of_class.values()))
    if not equal and images >= max(2, _MANY * len(marks)):
        remarks.append(f"{images} training {what} lie in two or more classes")
    return tuple(remarks)


def seen_before(train: Examples, test: Examples) -> tuple[str, ...]:
    """A remark, if many test images are training images, too."""
    parts, _ = _compared(train, test)
    return _seen_before(_marks(parts[0]), _marks(parts[1]), "images")


def _seen_before(train: Sequence[bytes], test: Sequence[bytes], what: str) -> tuple[str, ...]:
    known = set(train)
    seen = sum(mark in known for mark in test)
    if seen < max(2, _MANY * len(test)):
        return ()
    return (f"{seen} of {len(test)} test {what} are training {what}, too",)


def _ranges(*splits: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    found = [part.flatten(1).aminmax(dim=1) for split in splits for part in split.parts()]
    low, high = (torch.cat(ends).int() for ends in zip(*found, strict=True))
    return low, high


def _marks(split: Examples) -> list[bytes]:
    return [
        hashlib.blake2b(image.data, digest_size=16).digest()
        for part in split.parts()
        for image in part.cpu().contiguous().numpy()
    ]
