"""Lists image files class by class and decodes them to one uint8 array; names unreadable ones."""

import contextlib
import os
import stat
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from autospace.data.errors import DataError, check_bytes, check_sides, name_few
from autospace.data.request import Request
from autospace.data.splits import limit_indices, split_test
from autospace.progress import Tick

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
        raise DataError(f"{root}: {problem}; allowed: a folder with one sub-folder per class")
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
    kept, held_out = split_test(_labels(files), folder)
    note = f"no test folder: {len(held_out)} of {len(files)} images are held out"
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
        raise DataError(f"{folder}: has {found}; allowed: two or more sub-folders of images")
    empty = [name for name, found in zip(names, files, strict=True) if not found]
    if empty:
        raise DataError(
            f"{folder}: no images in class {name_few(empty)}; allowed: files ending in "
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


# Only these decoders see the file: Pillow would otherwise try all of them, whatever the suffix, and
# some start other programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
_CHUNK = 64
Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Shape:
    """Shape of the images of a data set.

    Attributes:
        channels: 1 or 3.
        height: Pixels.
        width: Pixels.
    """

    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The decoded files of a split.

    Attributes:
        images: uint8 [N, C, H, W], unreadable files left out.
        labels: int64 [N].
        resized: How many images had another size.
        unreadable: Paths of the files left out.
    """

    images: np.ndarray
    labels: np.ndarray
    resized: int
    unreadable: tuple[str, ...]


def common_shape(
    files: Sequence[ImageFile], resolution: int | None, channels: int | None, tick: Tick
) -> Shape:
    """The shape that all images will get; reads file headers only where it is needed.

    Args:
        files: All files of the data set.
        resolution: Side in pixels; `None` takes the most common size, of equals the smallest.
        channels: 1 or 3; `None` takes 1 if every image is grey, else 3.
        tick: Receives the files done and the total.

    Returns:
        The shape; a guess of 1x1 if no file is readable, which decoding will then report.

    Raises:
        DataError: The most common size is out of bounds.
    """
    if resolution is not None and channels is not None:
        return Shape(channels, resolution, resolution)
    found = [head for head in _map(_head, files, tick) if head is not None]
    sizes = Counter(size for size, _ in found)
    width, height = min(sizes, key=lambda size: (-sizes[size], size), default=(1, 1))
    if resolution is not None:
        width = height = resolution
    check_sides("the most common image size; give a resolution", height, width)
    return Shape(channels or (1 if all(grey for _, grey in found) else 3), height, width)


def decode(files: Sequence[ImageFile], shape: Shape, tick: Tick) -> Decoded:
    """Reads the files and brings them to one shape.

    The whole image is resized, antialiased; its aspect ratio becomes that of `shape`.

    Args:
        files: Files of one split.
        shape: Wanted shape.
        tick: Receives the files done and the total.

    Returns:
        Images, labels and what was left out.

    Raises:
        DataError: The images would not fit in memory.
    """
    extents = (len(files), shape.height, shape.width, shape.channels)
    check_bytes(os.path.dirname(files[0].path), extents)
    pixels = np.zeros(extents, dtype=np.uint8)

    def read(index: int) -> bool | None:
        return _read(files[index].path, shape, pixels[index])

    changed = _map(read, range(len(files)), tick)
    good = np.array([flag is not None for flag in changed])
    labels = np.array([file.label for file in files], dtype=np.int64)
    if not good.all():
        pixels, labels = pixels[good], labels[good]
    return Decoded(
        images=pixels.transpose(0, 3, 1, 2),
        labels=labels,
        resized=sum(bool(flag) for flag in changed),
        unreadable=tuple(f.path for f, kept in zip(files, good, strict=True) if not kept),
    )


def _map(work: Callable[[Item], Value], items: Sequence[Item], tick: Tick) -> list[Value]:
    # Chunks, because a future for each small image would cost as much as decoding it.
    def run(start: int) -> list[Value]:
        return [work(item) for item in items[start : start + _CHUNK]]

    values: list[Value] = []
    with _strict_pillow(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(run, start) for start in range(0, len(items), _CHUNK)]
        try:
            for future in futures:
                values += future.result()
                tick(len(values), len(items))
        finally:
            # Otherwise Ctrl-C would wait until the pool has read every remaining file.
            pool.shutdown(cancel_futures=True)
    return values


@contextmanager
def _strict_pillow() -> Iterator[None]:
    # Filters are global to the process, so they are set once, around the threads and not in them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _head(file: ImageFile) -> tuple[tuple[int, int], bool] | None:
    try:
        with Image.open(file.path, formats=_FORMATS) as image:
            return image.size, image.mode in _GREY_MODES
    except Exception:  # A broken file may raise anything; decoding meets it again and names it.
        return None


def _read(path: str, shape: Shape, out: np.ndarray) -> bool | None:
    """Writes one image to `out` [H, W, C]; true if resized, `None` if unreadable."""
    size = (shape.width, shape.height)
    try:
        with Image.open(path, formats=_FORMATS) as image:
            resized = image.size != size
            if resized:
                # A JPEG decoder can halve the size for free; twice the wanted size loses nothing.
                image.draft(None, (2 * size[0], 2 * size[1]))
            fitted = _convert(image, shape.channels)
            if resized:
                fitted = fitted.resize(size, Image.Resampling.BILINEAR)
            out[...] = np.asarray(fitted).reshape(out.shape)
    except Exception:  # Decoders raise anything on a broken file, which is data and no bug.
        return None
    return resized


def _convert(image: Image.Image, channels: int) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith("I"):
        # Pillow clips wide integers to 255; 16-bit images should keep their range instead.
        high = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255)
        return Image.fromarray(high.astype(np.uint8)).convert(mode)
    if "transparency" in image.info and image.mode == "P":
        return image.convert("RGBA").convert(mode)
    return image.convert(mode) if image.mode != mode else image
