"""The two values that every reader returns: one split, and a whole data set."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from autospace.data.errors import DataError
from autospace.data.storage import Mapped, is_large

# The C library gives back at once what is larger than 32 MiB, also a copy of one channel of three;
# of smaller pieces it keeps most, because other values come to lie between them.
_PART_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """One split of a data set, of images or of sentences.

    Parts of a large split share its images, which are not copied. What is said of images here and
    elsewhere goes for sentences, too: they are numbers of tokens in place of pixels.

    Attributes:
        store: uint8 [M, C, H, W], 0 to 255; of sentences int32 [M, T], 0 where they are padded.
        labels: int64 [N].
        rows: int64 [N], the images of the store that these examples have; `None` for all of them.
        mapped: The file that the store is mapped from, if it is.

    Raises:
        DataError: Types or shapes differ from the above.
    """

    store: torch.Tensor
    labels: torch.Tensor
    rows: torch.Tensor | None = None
    mapped: Mapped | None = None

    def __post_init__(self) -> None:
        """Checks the types and shapes."""
        if (self.store.dtype, self.store.ndim) not in ((torch.uint8, 4), (torch.int32, 2)):
            raise DataError(
                f"examples: images are {self.store.dtype} {list(self.store.shape)}; "
                "allowed: uint8 [N, C, H, W], or int32 [N, T] for sentences"
            )
        count = len(self.store) if self.rows is None else len(self.rows)
        if self.labels.dtype != torch.int64 or self.labels.shape != (count,):
            raise DataError(
                f"examples: labels are {self.labels.dtype} {list(self.labels.shape)}; "
                f"allowed: int64 [{count}]"
            )

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width of the images; of sentences their length."""
        return tuple(self.store.shape[1:])

    @property
    def of_tokens(self) -> bool:
        """Whether these are sentences."""
        return self.store.ndim == 2

    @property
    def images(self) -> torch.Tensor:
        """The images, uint8 [N, C, H, W]; a copy if they are a part of the store."""
        return self.store if self.rows is None else self.store[self.rows]

    def parts(self) -> Iterator[torch.Tensor]:
        """The images in order, uint8 [n, C, H, W], a few at a time, so that memory stays small."""
        size = max(1, _PART_BYTES // max(1, math.prod(self.shape)))
        for start in range(0, len(self), size):
            if self.rows is None:
                yield self.store[start : start + size]
            else:
                yield self.store[self.rows[start : start + size]]

    def take(self, indices: torch.Tensor | np.ndarray | Sequence[int]) -> "Examples":
        """The examples at `indices`, in that order, as a copy; of a large split, without one.

        Args:
            indices: Whole numbers in 0..N-1, [M].

        Returns:
            M examples.

        Raises:
            DataError: An index is out of range.
        """
        index = torch.as_tensor(indices, dtype=torch.int64, device=self.labels.device)
        if len(index) and not (int(index.min()) >= 0 and int(index.max()) < len(self)):
            raise DataError(
                f"examples: indices {int(index.min())}..{int(index.max())} are out of range; "
                f"allowed: 0..{len(self) - 1}"
            )
        labels = self.labels[index]
        if self.rows is None and not is_large(self.store.nbytes):
            return Examples(self.store[index], labels)
        rows = index if self.rows is None else self.rows[index]
        return Examples(self.store, labels, rows, self.mapped)


@dataclass(frozen=True, slots=True)
class Size:
    """A size that images of a source have.

    Attributes:
        width: Pixels.
        height: Pixels.
        images: How many images have it.
    """

    width: int
    height: int
    images: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """What was not read of a source.

    Attributes:
        reason: A plural, such as `hidden files`.
        count: Files or folders.
        examples: The first names.
    """

    reason: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the images of a source were found.

    Attributes:
        sizes: The most common sizes before resizing, and the smallest and the largest.
        distinct_sizes: How many sizes there are.
        skipped: What was not read.
        train: Training images of each class.
        test: Test images of each class; so nobody has to look at them to say how many there are.
        tokens: What sentences were cut into, `words` or `characters`; empty for images.
    """

    sizes: tuple[Size, ...] = ()
    distinct_sizes: int = 0
    skipped: tuple[Skipped, ...] = ()
    train: tuple[int, ...] = ()
    test: tuple[int, ...] = ()
    tokens: str = ""


NOTHING_MORE = Reading()


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """A labelled data set of images or sentences, ready to train on.

    Attributes:
        name: Short, free of machine-specific paths, such as `digits` or `folder:pets`.
        classes: Class names; label i means `classes[i]`.
        train: Training split.
        test: Test split, images of the same shape.
        digest: SHA-256 (hex) of images, labels and class names: equal content, equal digest.
        notes: Remarks for a person: what was resized, skipped or split.
        reading: How the images were found.
        vocabulary: Of sentences the tokens in the order of their numbers; empty for images.

    Raises:
        DataError: Fewer than two classes, an empty split, a label without a class, or splits
            whose images differ in shape.
    """

    name: str
    classes: tuple[str, ...]
    train: Examples
    test: Examples
    digest: str
    notes: tuple[str, ...] = ()
    reading: Reading = NOTHING_MORE
    vocabulary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that labels, classes and shapes agree."""
        if len(self.classes) < 2:
            raise DataError(
                f"{self.name}: the number of classes is {len(self.classes)}; allowed: 2 or more"
            )
        for title, split in (("train", self.train), ("test", self.test)):
            _check_labels(f"{self.name}: {title}", split.labels, len(self.classes))
        if self.train.shape != self.test.shape:
            raise DataError(
                f"{self.name}: train images are {list(self.train.shape)} and test images "
                f"{list(self.test.shape)}; give a resolution or channels"
            )


def make_data_set(
    name: str,
    classes: tuple[str, ...],
    train: Examples,
    test: Examples,
    notes: tuple[str, ...] = (),
    reading: Reading = NOTHING_MORE,
    vocabulary: tuple[str, ...] = (),
) -> DataSet:
    """Builds a data set together with its digest.

    File systems have names that no JSON file can hold: what in them is not UTF-8 is escaped.

    Args:
        name: Short name.
        classes: Class names in label order.
        train: Training split.
        test: Test split.
        notes: Remarks for a person.
        reading: How the images were found.
        vocabulary: Of sentences, the tokens in the order of their numbers.

    Returns:
        The data set.

    Raises:
        DataError: As `DataSet`.
    """
    name, classes = _text(name), tuple(_text(each) for each in classes)
    digest = content_digest(classes, train, test, vocabulary)
    found = DataSet(name, classes, train, test, digest, notes, reading, vocabulary)
    # Counted when the labels are known to be valid.
    numbers = [_counts(split, len(classes)) for split in (train, test)]
    return replace(found, reading=replace(reading, train=numbers[0], test=numbers[1]))


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _counts(split: Examples, classes: int) -> tuple[int, ...]:
    return tuple(torch.bincount(split.labels, minlength=classes).tolist())


def content_digest(
    classes: Sequence[str], train: Examples, test: Examples, vocabulary: Sequence[str] = ()
) -> str:
    """SHA-256 over class names, shapes, images and labels of both splits, and the vocabulary.

    Args:
        classes: Class names in label order.
        train: Training split.
        test: Test split.
        vocabulary: Of sentences.

    Returns:
        64 hexadecimal digits, equal on every machine for equal content.
    """
    shapes = [[len(split), *split.shape] for split in (train, test)]
    about = [list(classes), shapes, *([list(vocabulary)] if vocabulary else [])]
    digest = hashlib.sha256(json.dumps(about).encode())
    for split in (train, test):
        kind = "<i4" if split.of_tokens else "u1"
        for part in split.parts():
            digest.update(part.cpu().contiguous().numpy().astype(kind, copy=False).data)
        digest.update(split.labels.cpu().contiguous().numpy().astype("<i8", copy=False).data)
    return digest.hexdigest()


def _check_labels(where: str, labels: torch.Tensor, classes: int) -> None:
    if len(labels) == 0:
        raise DataError(f"{where} split is empty; allowed: at least one example")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise DataError(
            f"{where} label {low if low < 0 else high} is out of range; allowed: 0..{classes - 1}"
        )
