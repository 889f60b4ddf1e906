"""Image files to one uint8 array, with a pool of threads; a bad file is named, never fatal."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from autospace.data.errors import check_bytes, check_sides
from autospace.data.readers.image_listing import ImageFile
from autospace.data.request import Ticker

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
    """What came out of the files of a split.

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
    files: Sequence[ImageFile], resolution: int | None, channels: int | None, ticker: Ticker
) -> Shape:
    """The shape that all images will get; looks at file headers only if it has to.

    Args:
        files: All files of the data set.
        resolution: Side in pixels; `None` takes the most common size, of equals the smallest.
        channels: 1 or 3; `None` takes 1 if every image is grey, else 3.
        ticker: Told about progress.

    Returns:
        The shape; a guess of 1x1 if no file is readable, which decoding will then report.

    Raises:
        DataError: The most common size is out of bounds.
    """
    if resolution is not None and channels is not None:
        return Shape(channels, resolution, resolution)
    found = [head for head in _map(_head, files, "looking at images", ticker) if head is not None]
    sizes = Counter(size for size, _ in found)
    width, height = min(sizes, key=lambda size: (-sizes[size], size), default=(1, 1))
    if resolution is not None:
        width = height = resolution
    check_sides("the most common image size; give a resolution", height, width)
    return Shape(channels or (1 if all(grey for _, grey in found) else 3), height, width)


def decode(files: Sequence[ImageFile], shape: Shape, message: str, ticker: Ticker) -> Decoded:
    """Reads the files and brings them to one shape.

    The whole image is resized, antialiased; its aspect ratio becomes that of `shape`.

    Args:
        files: Files of one split.
        shape: Wanted shape.
        message: Title of the progress reports.
        ticker: Told about progress.

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

    changed = _map(read, range(len(files)), message, ticker)
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


def _map(
    work: Callable[[Item], Value], items: Sequence[Item], message: str, ticker: Ticker
) -> list[Value]:
    # Chunks, because a future for each small image would cost as much as decoding it.
    def run(start: int) -> list[Value]:
        return [work(item) for item in items[start : start + _CHUNK]]

    values: list[Value] = []
    with _strict_pillow(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(run, start) for start in range(0, len(items), _CHUNK)]
        try:
            for future in futures:
                values += future.result()
                ticker.tick(message, len(values), len(items))
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
