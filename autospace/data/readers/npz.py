"""Reads `npz:PATH`: arrays of images and labels under the names that people give them.

The headers are checked before an array is read, and pickled objects are refused.
"""

import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

import numpy as np

from autospace.data.errors import LARGEST_BYTES, DataError, name_few, no_file, reason
from autospace.data.examples import DataSet, Examples
from autospace.data.readers.arrays import channels_first
from autospace.data.readers.convert import as_examples, finish
from autospace.data.readers.depth import to_bytes
from autospace.data.request import Request, Source
from autospace.data.splits import Role, role_of

What = Literal["images", "labels"]
_Part = tuple[Role | None, What]
_WORDS: Final[dict[str, What]] = {
    **dict.fromkeys(
        ("x", "xs", "image", "images", "img", "imgs", "data", "features", "inputs", "pixels"),
        "images",
    ),
    **dict.fromkeys(("y", "ys", "label", "labels", "target", "targets", "class"), "labels"),
}
_ALLOWED: Final = "x_train, y_train, x_test, y_test, or images and labels"

# Floats of one image may be saved as 64 bits each, of which 8 bits remain.
_LARGEST_ITEM = 8
_LONGEST_NAME = 4 * 256  # of a class, in bytes


def read_npz(source: Source, request: Request) -> DataSet:
    """Reads an .npz file with images and labels, in two splits or together.

    Arrays are found by name, in any case: `x_train`, `X_train`, `train_images`, `images`, `data`.
    Without a test split a validation split serves as one. Images are [N, C, H, W], [N, H, W, C] or
    [N, H, W]; whole numbers and floats become bytes by the rule of `depth.py`, from the range of
    all splits, unless that would be a guess. Labels are numbers or names [N] or [N, 1], or one-hot
    rows.

    Args:
        source: Names the file.
        request: Resolution, channels, limit, seed, aspect and ground are used.

    Returns:
        The data set; classes are named by their number or name in the file.

    Raises:
        DataError: Keys, types, shapes or sizes are not as above; pickled objects are refused.
    """
    path = source.path
    if path is None or not path.is_file():
        raise DataError(f"{source.where}: {no_file(path)}; allowed: an .npz file")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(source, path, archive, request)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, SyntaxError) as error:
        raise DataError(f"{path}: is not a valid .npz file: {reason(error)}") from error


@dataclass(frozen=True, slots=True)
class _Pair:
    """The keys of a split."""

    images: str
    labels: str


def _read(source: Source, path: Path, archive: zipfile.ZipFile, request: Request) -> DataSet:
    keys = sorted({name.removesuffix(".npy") for name in archive.namelist()})
    train, test, notes = _pairs(path, keys)
    pairs = [train] if test is None else [train, test]
    raw = [_array(path, archive, pair.images) for pair in pairs]
    shaped = [
        channels_first(f"{path}: {pair.images}", array)
        for pair, array in zip(pairs, raw, strict=True)
    ]
    pixels, remarks = to_bytes([f"{path}: {pair.images}" for pair in pairs], shaped)
    labels = [
        _labels(f"{path}: {pair.labels}", _array(path, archive, pair.labels)) for pair in pairs
    ]
    numbers, classes = _named(path, labels)
    splits = [
        as_examples(f"{path}: {pair.images}", *both)
        for pair, both in zip(pairs, zip(pixels, numbers, strict=True), strict=True)
    ]
    rest: Examples | None = splits[1] if len(splits) > 1 else None
    return finish(source.name, request, splits[0], rest, classes, (*notes, *remarks))


def _pairs(path: Path, keys: list[str]) -> tuple[_Pair, _Pair | None, tuple[str, ...]]:
    """The keys of the training and test images, and remarks on what is not read."""
    parts: dict[_Part, str] = {}
    for key, part in _recognised(keys):
        if part in parts:
            problem = f"the keys {parts[part]} and {key} mean the same"
            raise DataError(f"{path}: {problem}; allowed: one of them")
        parts[part] = key
    found = {role: pair for role in ("train", "test", "validation", None)
             if (pair := _pair(parts, role)) is not None}  # fmt: skip
    train = found.get("train") or found.get(None)
    if train is None and keys == ["arr_0", "arr_1"]:  # numpy.savez(file, images, labels)
        train = _Pair("arr_0", "arr_1")
    if train is None:
        raise DataError(f"{path}: has the keys {name_few(keys, 8) or 'none'}; allowed: {_ALLOWED}")
    test = None if "train" not in found else found.get("test") or found.get("validation")
    used = {key for pair in (train, test) if pair is not None for key in (pair.images, pair.labels)}
    notes = []
    if test is not None and test is found.get("validation"):
        notes.append(f"{test.images} is the test split")
    unread = [key for key in keys if key not in used]
    if unread:
        notes.append(f"not read: arrays ({len(unread)}): {name_few(unread, 8)}")
    return train, test, tuple(notes)


def _pair(parts: Mapping[_Part, str], role: Role | None) -> _Pair | None:
    images, labels = parts.get((role, "images")), parts.get((role, "labels"))
    return None if images is None or labels is None else _Pair(images, labels)


def _recognised(keys: list[str]) -> Iterator[tuple[str, _Part]]:
    for key in keys:
        words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).casefold())
        # `xtrain` and `trainy` have no gap.
        apart = [part for word in words for part in _apart(word)]
        what = {_WORDS[word] for word in apart if word in _WORDS}
        if len(what) == 2 and "data" in apart:  # `train_data_labels`
            what -= {"images"}
        if len(what) == 1:
            yield key, (role_of(" ".join(apart)), what.pop())


def _apart(word: str) -> tuple[str, ...]:
    """The two words of one without a gap: a split, and what is in it."""
    if word in _WORDS:
        return (word,)
    for what in sorted(_WORDS, key=len, reverse=True):
        for rest in (word.removesuffix(what), word.removeprefix(what)):
            if rest != word and role_of(rest) is not None:
                return rest, what
    return (word,)


def _array(path: Path, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    member = archive.getinfo(f"{key}.npy")
    if member.file_size > LARGEST_BYTES:
        raise DataError(
            f"{path}: {key} unpacks to {member.file_size} bytes; allowed: at most {LARGEST_BYTES}"
        )
    with archive.open(member) as stream:
        _check_header(f"{path}: {key}", stream, member.file_size)
    with archive.open(member) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    return np.asarray(array)


def _check_header(where: str, stream: IO[bytes], size: int) -> None:
    # numpy allocates what the header asks for before it looks how much there is.
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    names = dtype.kind in "US" and len(shape) < 3 and 0 < dtype.itemsize <= _LONGEST_NAME
    if not names and (dtype.kind not in "uifb" or dtype.itemsize > _LARGEST_ITEM):
        raise DataError(f"{where}: has the type {dtype}; {_allowed_types(dtype)}")
    promised = math.prod(shape) * dtype.itemsize
    if promised != size - stream.tell():
        raise DataError(
            f"{where}: the header promises {promised} bytes, but the file has "
            f"{size - stream.tell()}; it is damaged or truncated"
        )


def _allowed_types(dtype: np.dtype) -> str:
    if dtype.kind == "O":  # What numpy.savez makes of lists of unequal things, and pandas of names.
        advice = "array.astype(str) or array.astype(float) before it is saved"
        return f"objects may run code when they are read, so they are not; allowed: {advice}"
    return "allowed: uint8, floats or whole numbers"


def _labels(where: str, array: np.ndarray) -> np.ndarray:
    """Labels as whole numbers or names [N]."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "uifb" and _one_hot(array):
        array = array.argmax(axis=1)
    if array.dtype.kind == "f" and (array == np.rint(array)).all() and np.abs(array).max() < 2**53:
        array = array.astype(np.int64)
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "uiUS":
        raise DataError(
            f"{where}: labels are {array.dtype} {list(array.shape)}; allowed: whole numbers [N], "
            "names [N] or one-hot rows"
        )
    if array.size and array.dtype.kind in "ui" and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{where}: label {int(array.max())} is out of range; allowed: int64")
    return array


def _one_hot(array: np.ndarray) -> bool:
    binary = bool(((array == 0) | (array == 1)).all())
    return array.shape[1] > 1 and binary and bool((array.sum(axis=1) == 1).all())


def _named(path: Path, labels: list[np.ndarray]) -> tuple[list[np.ndarray], tuple[str, ...] | None]:
    """Numbers for labels that are names, and the names; other labels as they are."""
    kinds = {array.dtype.kind in "US" for array in labels}
    if kinds == {False}:
        return labels, None
    if len(kinds) > 1:
        raise DataError(f"{path}: labels are numbers in one split, names in the other")
    texts = [_texts(array) for array in labels]
    classes = tuple(sorted(set(texts[0])))
    number = {name: index for index, name in enumerate(classes)}
    unknown = sorted(set(texts[-1]) - number.keys())
    if unknown:
        raise DataError(
            f"{path}: test labels that the training images do not have: "
            f"{name_few(unknown)}; allowed: {name_few(classes, 10)}"
        )
    return [np.array([number[name] for name in each], dtype=np.int64) for each in texts], classes


def _texts(array: np.ndarray) -> list[str]:
    return [
        item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else str(item)
        for item in array.tolist()
    ]
