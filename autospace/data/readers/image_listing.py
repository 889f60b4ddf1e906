"""Which image files a folder holds, class by class, before any of them is opened."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from autospace.data.errors import DataError, name_few
from autospace.data.request import Request
from autospace.data.splits import limit_indices, split_test

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff"})

_TRAIN = "train"
_TEST = ("test", "val", "validation")


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image file.

    Attributes:
        path: Where it is.
        label: Index of its class.
        size: Bytes.
        modified: Nanoseconds since the epoch.
    """

    path: str
    label: int
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Listing:
    """The image files of a data set.

    Attributes:
        root: The folder.
        classes: Class names, sorted.
        train: Training files, by class, then by name.
        test: Test files, likewise.
        notes: Remarks for a person.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...]
    notes: tuple[str, ...]


def list_folder(root: Path, request: Request) -> Listing:
    """Finds the image files of `root`, no more than the limit of the request.

    A class is a sub-folder of `train/` and `test/` (or `val/`, `validation/`), or of `root` itself;
    without a test folder a fixed, stratified fifth of the files is the test split. Files are
    recognised by suffix, at any depth below a class; hidden files, and links to folders below a
    class, are passed over.

    Args:
        root: The folder.
        request: Limit and seed are used.

    Returns:
        The files.

    Raises:
        DataError: Not a folder, fewer than two classes, an empty class, or splits whose classes
            differ.
    """
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root}: {problem}, a folder with one sub-folder per class is needed")
    has_train = (root / _TRAIN).is_dir()
    held_out = next((root / name for name in _TEST if (root / name).is_dir()), None)
    if not has_train or held_out is None:
        return _list_one(root, root / _TRAIN if has_train else root, request)
    classes, train = _list_split(held_out.parent / _TRAIN)
    test_classes, test = _list_split(held_out)
    _compare(root, classes, held_out.name, test_classes)
    notes = () if held_out.name == "test" else (f"{held_out.name}/ is the test split",)
    return Listing(root, classes, _limit(train, request), _limit(test, request), notes)


def _list_one(root: Path, folder: Path, request: Request) -> Listing:
    classes, files = _list_split(folder)
    kept, held_out = split_test(_labels(files))
    note = f"no test folder: {len(held_out)} of {len(files)} images held out"
    train = tuple(files[index] for index in kept)
    test = tuple(files[index] for index in held_out)
    return Listing(root, classes, _limit(train, request), _limit(test, request), (note,))


def _list_split(folder: Path) -> tuple[tuple[str, ...], tuple[ImageFile, ...]]:
    try:
        folders = _class_folders(folder)
        files = [_image_files(path, label) for label, path in enumerate(folders)]
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed: {error.strerror}") from error
    names = tuple(path.name for path in folders)
    if len(names) < 2:
        found = f"one class folder ({names[0]})" if names else "no class folders"
        raise DataError(f"{folder}: has {found}, two or more sub-folders of images are needed")
    empty = [name for name, found in zip(names, files, strict=True) if not found]
    if empty:
        raise DataError(
            f"{folder}: no images in class {name_few(empty)}; readable are files ending in "
            f"{' '.join(sorted(SUFFIXES))}"
        )
    return names, tuple(file for found in files for file in found)


def _class_folders(folder: Path) -> list[Path]:
    # A link to a folder may be a class, but one that leads back up would hold all the others.
    home = folder.resolve()
    return sorted(
        Path(entry.path)
        for entry in os.scandir(folder)
        if not entry.name.startswith(".")
        and os.path.isdir(entry.path)
        and not home.is_relative_to(Path(entry.path).resolve())
    )


def _image_files(folder: Path, label: int) -> list[ImageFile]:
    found: list[ImageFile] = []
    waiting = [str(folder)]
    while waiting:
        for entry in os.scandir(waiting.pop()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                found += _image_file(entry, label)
    return sorted(found, key=lambda file: file.path)


def _image_file(entry: os.DirEntry[str], label: int) -> Iterator[ImageFile]:
    # A link to nowhere, or to itself, has no status; a pipe must not be opened: it would wait.
    with contextlib.suppress(OSError):
        status = entry.stat()
        if stat.S_ISREG(status.st_mode):
            yield ImageFile(entry.path, label, status.st_size, status.st_mtime_ns)


def _compare(root: Path, train: tuple[str, ...], name: str, test: tuple[str, ...]) -> None:
    only_train, only_test = sorted(set(train) - set(test)), sorted(set(test) - set(train))
    if only_train or only_test:
        raise DataError(
            f"{root}: train/ and {name}/ have different classes; only in train/: "
            f"{name_few(only_train) or 'none'}; only in {name}/: {name_few(only_test) or 'none'}"
        )


def _labels(files: tuple[ImageFile, ...]) -> torch.Tensor:
    return torch.from_numpy(np.array([file.label for file in files], dtype=np.int64))


def _limit(files: tuple[ImageFile, ...], request: Request) -> tuple[ImageFile, ...]:
    if request.limit is None or len(files) <= request.limit:
        return files
    return tuple(files[i] for i in limit_indices(_labels(files), request.limit, request.seed))
