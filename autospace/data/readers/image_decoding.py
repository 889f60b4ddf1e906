"""Decodes image files to one uint8 array of one shape, and names unreadable ones with the reason.

Images are turned upright as their EXIF data say, transparent ones are laid on a ground, deep ones
are scaled by one rule (`depth.py`), and all are resized.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps

from autospace.data.errors import LARGEST_SIDE, DataError
from autospace.data.readers.convert import padding
from autospace.data.readers.depth import Scale, measure
from autospace.data.readers.folder_layout import ImageFile
from autospace.data.readers.image_opening import (
    ON_THEIR_SIDE,
    TURNS,
    Header,
    guarded,
    header,
    open_image,
    orientation,
    passing,
    why,
)
from autospace.data.settings import Aspect
from autospace.data.storage import zeros
from autospace.progress import Tick

_CHUNK = 64
# A decoded pixel takes up to about 12 bytes on its way, so this is half a gigabyte. A single image
# may be larger, up to the limit of Pillow; it is then decoded alone.
_PIXELS_AT_WORK = 40_000_000
# What takes more bytes a pixel is done in strips of about so many pixels.
_PIXELS_OF_STRIP = 1_000_000

# Sides whose ratio differs by less than this from the wanted one count as equal.
_SAME_RATIO = 1.02

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


@dataclass(frozen=True, slots=True)
class Preparation:
    """How an image is brought to the shape of its data set.

    Attributes:
        aspect: `squash` changes the proportions, `crop` cuts off the longer sides, `pad` adds
            margins in the colour of the ground.
        ground: The colour below transparent pixels, as Pillow takes it.
        whole: How deep whole numbers become bytes; `None` if no file has any.
        real: How floats become bytes; likewise.
    """

    aspect: Aspect = "squash"
    ground: str = "white"
    whole: Scale | None = None
    real: Scale | None = None


PLAIN = Preparation()


@dataclass(frozen=True, slots=True)
class _Done:
    """What was done with an image."""

    resized: bool
    reshaped: bool
    turned: bool
    transparent: bool


@dataclass(frozen=True, slots=True)
class _Failed:
    """Why an image is unreadable, and whether it may be readable later, although unchanged."""

    reason: str
    passing: bool


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The decoded files of a split.

    Attributes:
        images: uint8 [N, C, H, W], unreadable files left out.
        labels: int64 [N].
        unreadable: Path and reason of each file left out.
        passing: The reason of one of them may pass while the file stays as it is.
        resized: How many images had another size.
        reshaped: How many of those had other proportions.
        turned: How many lay on a side, upside down or mirrored.
        transparent: How many had transparent pixels.
    """

    images: np.ndarray
    labels: np.ndarray
    unreadable: tuple[tuple[str, str], ...]
    passing: bool
    resized: int
    reshaped: int
    turned: int
    transparent: int


def headers(files: Sequence[ImageFile], tick: Tick) -> list[Header | str]:
    """The header of each file, or why it is unreadable."""
    return _map(lambda file: header(file.path, file.inside), files, tick)


def common_shape(
    found: Sequence[Header | str], resolution: int | None, channels: int | None
) -> Shape:
    """The shape that all images will get.

    Args:
        found: The headers of all files of the data set.
        resolution: Side in pixels; `None` takes the most common size, of equals the smallest.
        channels: 1 or 3; `None` takes 1 if every image is grey, else 3.

    Returns:
        The shape; a guess of 1x1 if no file is readable, which decoding will then report.

    Raises:
        DataError: The most common size is out of bounds.
    """
    heads = [head for head in found if isinstance(head, Header)]
    sizes = Counter((head.width, head.height) for head in heads)
    width, height = min(sizes, key=lambda size: (-sizes[size], size), default=(1, 1))
    if resolution is not None:
        width = height = resolution
    elif max(width, height) > LARGEST_SIDE:
        problem = f"the most common image size is {width}x{height}"
        allowed = f"sides of up to {LARGEST_SIDE} pixels, or a resolution (data.resolution)"
        raise DataError(f"{problem}; allowed: {allowed}")
    return Shape(channels or (1 if all(head.grey for head in heads) else 3), height, width)


def scales(files: Sequence[ImageFile], tick: Tick) -> tuple[Scale | None, Scale | None]:
    """The range of the values in deep images.

    Args:
        files: Those whose header says that they are deep.
        tick: Receives the files done and the total.

    Returns:
        The scale of whole numbers and that of floats; `None` for a kind that no file has.
    """
    whole, real = None, None
    for found in _map(_range, files, tick):
        if found is not None and found.whole:
            whole = found.joined(whole)
        elif found is not None:
            real = found.joined(real)
    return whole, real


def _range(file: ImageFile) -> Scale | None:
    try:
        with open_image(file.path, file.inside) as image, _at_work(image):
            image.load()
            return _measured(image)
    except Exception:  # A broken file may raise anything; decoding meets it again and names it.
        return None


def decode(
    files: Sequence[ImageFile],
    shape: Shape,
    tick: Tick,
    preparation: Preparation = PLAIN,
    folder: Path | None = None,
) -> Decoded:
    """Reads the files and brings them to one shape.

    Args:
        files: Files of one split.
        shape: Wanted shape.
        tick: Receives the files done and the total.
        preparation: How.
        folder: For the pixels, if they are many; see `autospace.data.storage.zeros`.

    Returns:
        Images, labels and what was left out.

    Raises:
        DataError: The disk is too small for so many pixels.
    """
    extents = (len(files), shape.height, shape.width, shape.channels)
    pixels = zeros(os.path.dirname(files[0].path), extents, folder)

    def read(index: int) -> _Done | _Failed:
        return _read(files[index], shape, preparation, pixels[index])

    found = _map(read, range(len(files)), tick)
    good = np.array([isinstance(each, _Done) for each in found])
    labels = np.array([file.label for file in files], dtype=np.int64)
    if not good.all():
        kept = np.flatnonzero(good)
        for place, index in enumerate(kept):
            pixels[place] = pixels[index]  # In place, because there may be many.
        pixels, labels = pixels[: len(kept)], labels[kept]
    done = [each for each in found if isinstance(each, _Done)]
    return Decoded(
        images=pixels.transpose(0, 3, 1, 2),
        labels=labels,
        unreadable=tuple(
            (file.path, each.reason)
            for file, each in zip(files, found, strict=True)
            if isinstance(each, _Failed)
        ),
        passing=any(isinstance(each, _Failed) and each.passing for each in found),
        resized=sum(each.resized for each in done),
        reshaped=sum(each.reshaped for each in done),
        turned=sum(each.turned for each in done),
        transparent=sum(each.transparent for each in done),
    )


def _map(work: Callable[[Item], Value], items: Sequence[Item], tick: Tick) -> list[Value]:
    # Chunks, because a future for each small image would cost as much as decoding it.
    def run(start: int) -> list[Value]:
        return [work(item) for item in items[start : start + _CHUNK]]

    values: list[Value] = []
    with guarded(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(run, start) for start in range(0, len(items), _CHUNK)]
        try:
            for future in futures:
                values += future.result()
                tick(len(values), len(items))
        finally:
            # Otherwise Ctrl-C would wait until the pool has read every remaining file.
            pool.shutdown(cancel_futures=True)
    return values


class _Gate:
    """Bounds the pixels that all threads decode at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._changed = threading.Condition()

    @contextmanager
    def passed(self, pixels: int) -> Iterator[None]:
        """Waits until there is room for an image, or until it would be the only one."""
        with self._changed:
            self._changed.wait_for(lambda: not self._inside or self._inside + pixels <= self._most)
            self._inside += pixels
        try:
            yield
        finally:
            with self._changed:
                self._inside -= pixels
                self._changed.notify_all()


_gate = _Gate(_PIXELS_AT_WORK)


@contextmanager
def _at_work(image: Image.Image) -> Iterator[None]:
    with _gate.passed(image.width * image.height):
        yield


def _read(
    file: ImageFile, shape: Shape, preparation: Preparation, out: np.ndarray
) -> _Done | _Failed:
    """Writes one image to `out` [H, W, C], and says what was done or why it is unreadable."""
    try:
        with open_image(file.path, file.inside) as image:
            return _fit(image, shape, preparation, out)
    except Exception as error:  # Decoders raise anything on a broken file, which is data, no bug.
        reason = why(error, file.path, file.inside)
        return _Failed(reason, passing(error, reason))


def _fit(image: Image.Image, shape: Shape, preparation: Preparation, out: np.ndarray) -> _Done:
    size, given = (shape.width, shape.height), image.size
    by_pillow = image.format == "TIFF" and orientation(image) in TURNS
    on_side = image.format != "TIFF" and orientation(image) >= ON_THEIR_SIDE
    if given != (size[::-1] if on_side else size):
        # A JPEG decoder can halve the size for free; twice the wanted size loses nothing.
        wanted = (2 * size[0], 2 * size[1])
        image.draft(None, wanted[::-1] if on_side else wanted)
    with _at_work(image):
        image.load()
        # Again, because a PNG file may have its EXIF data behind the pixels. A TIFF file has been
        # turned by Pillow, which then says that it is upright.
        turn = TURNS.get(orientation(image, loaded=True))
        plain, transparent = _plain(image, shape.channels, preparation)
        upright = plain if turn is None else plain.transpose(turn)
        fitted = _resized(upright, size, preparation)
        out[...] = np.asarray(fitted).reshape(out.shape)
    ratio = upright.width * shape.height / (upright.height * shape.width)
    return _Done(
        resized=upright.size != size or image.size != given,
        reshaped=not 1 / _SAME_RATIO < ratio < _SAME_RATIO,
        turned=turn is not None or by_pillow,
        transparent=transparent,
    )


def _resized(image: Image.Image, size: tuple[int, int], preparation: Preparation) -> Image.Image:
    if image.size == size:
        return image
    if preparation.aspect == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if preparation.aspect == "pad":
        return _padded(image, size, preparation.ground)
    return image.resize(size, Image.Resampling.BILINEAR)


def _padded(image: Image.Image, size: tuple[int, int], ground: str) -> Image.Image:
    # As ImageOps.pad, which leaves nothing of a very long image.
    width, height, left, top = padding(image.size, size)
    canvas = Image.new(image.mode, size, ground)
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), (left, top))
    return canvas


def _plain(image: Image.Image, channels: int, preparation: Preparation) -> tuple[Image.Image, bool]:
    """The image in bytes, grey or RGB, and whether it had transparent pixels."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith(("I", "F")):
        found = _measured(image)
        scale = (preparation.whole if found.whole else preparation.real) or found
        made = Image.new(mode, image.size)
        for top, strip in _strips(image):
            made.paste(Image.fromarray(scale(np.asarray(strip))).convert(mode), (0, top))
        return made, False
    if image.has_transparency_data:
        return on_ground(image, mode, preparation.ground)
    return (image.convert(mode) if image.mode != mode else image), False


def _measured(image: Image.Image) -> Scale:
    """The range of the values of an image that is loaded."""
    found: Scale | None = None
    for _, strip in _strips(image):
        found = measure(np.asarray(strip)).joined(found)
    if found is None:
        raise ValueError("no pixels")
    return found


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Parts of an image from its top to its bottom, each with its first row."""
    rows = max(1, _PIXELS_OF_STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def on_ground(image: Image.Image, mode: str, ground: str) -> tuple[Image.Image, bool]:
    """Lays an image that has transparency data on a colour.

    Args:
        image: The image, loaded.
        mode: `L` or `RGB`: the mode that the image gets.
        ground: The colour, as Pillow takes it.

    Returns:
        The image without its transparency, and whether any pixel was transparent.
    """
    made, transparent = Image.new(mode, image.size), False
    for top, strip in _strips(image):
        laid, found = _strip_on_ground(strip, mode, ground)
        made.paste(laid, (0, top))
        transparent |= found
    return made, transparent


def _strip_on_ground(image: Image.Image, mode: str, ground: str) -> tuple[Image.Image, bool]:
    layer = image.convert("LA") if image.mode == "La" else image
    layer = layer.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return (layer if image.mode in ("P", "La") else image).convert(mode), False
    below = Image.new("RGBA", layer.size, ground)
    return Image.alpha_composite(below, layer).convert(mode), True
