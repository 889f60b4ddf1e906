"""Turns the raw arrays of a file into a data set of the requested size and channels."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import ImageColor

from autospace.data.errors import DataError, check_bytes, check_sides, name_few
from autospace.data.examples import DataSet, Examples, Reading, Size, make_data_set
from autospace.data.request import Request
from autospace.data.settings import Aspect
from autospace.data.splits import limit_indices, split_test
from autospace.spaces.text import plural

# ITU-R 601 luma in 16-bit fixed point: the numbers that Pillow uses, so that arrays and image files
# turn grey alike.
_LUMA = (19595, 38470, 7471)
_LUMA_HALF = 0x8000

_CHUNK = 4096


def finish(
    name: str,
    request: Request,
    train: Examples,
    test: Examples | None,
    classes: tuple[str, ...] | None = None,
    notes: tuple[str, ...] = (),
) -> DataSet:
    """Limits, converts and resizes the arrays of a reader.

    Args:
        name: Name of the data set.
        request: What the caller asked for.
        train: All training examples, any size.
        test: All test examples; `None` splits them off `train`.
        classes: Class names; `None` names the labels that occur, whatever their numbers.
        notes: Remarks to the user so far.

    Returns:
        The data set.

    Raises:
        DataError: Labels, sizes or the limit do not fit.
    """
    if classes is None:
        classes, train, test = _relabel(name, train, test)
    if test is None:
        kept, held_out = split_test(train.labels, name)
        train, test = train.take(kept), train.take(held_out)
        notes += (f"no test split: {len(test)} of {len(train) + len(test)} examples are held out",)
    train, test = _limit(train, request), _limit(test, request)
    height, width = train.images.shape[2:]
    reading = Reading(_sizes(train, test), len({train.images.shape[2:], test.images.shape[2:]}))
    train, test = _fit(name, train, request), _fit(name, test, request)
    if train.images.shape[2:] != (height, width):
        resized = len(train) + len(test)
        notes += (f"resized {resized} images to {request.resolution}x{request.resolution}",)
        if height != width:
            notes += (proportions_changed(resized, request.aspect),)
    return make_data_set(name, classes, train, test, notes, reading)


def _sizes(*splits: Examples) -> tuple[Size, ...]:
    counts: Counter[tuple[int, int]] = Counter()
    for split in splits:
        height, width = split.images.shape[2:]
        counts[width, height] += len(split)
    return tuple(Size(*size, count) for size, count in counts.most_common())


_CHANGES = {
    "squash": "their proportions are changed, and data.aspect=crop or pad keeps them",
    "crop": "their longer sides are cut (data.aspect)",
    "pad": "margins are added (data.aspect)",
}


def proportions_changed(images: int, aspect: Aspect) -> str:
    """A remark on images that have other proportions than wanted."""
    return f"{plural(images, 'image')} not square or not as the others: {_CHANGES[aspect]}"


def as_examples(where: str, images: np.ndarray, labels: np.ndarray) -> Examples:
    """Wraps arrays, after checking that they belong together.

    Args:
        where: The path to name in messages.
        images: uint8 [N, C, H, W].
        labels: Integers [N].

    Returns:
        The examples; the images may share memory with the array.

    Raises:
        DataError: Counts differ, or the image sides are out of bounds.
    """
    if not len(images):
        raise DataError(f"{where}: holds no images; allowed: at least one")
    if len(images) != len(labels):
        raise DataError(f"{where}: {len(images)} images but {len(labels)} labels; allowed: as many")
    check_sides(where, images.shape[2], images.shape[3])
    writable = images if images.flags.writeable else images.copy()
    return Examples(
        torch.from_numpy(np.ascontiguousarray(writable)),
        torch.from_numpy(labels.astype(np.int64)),
    )


def to_channels(images: torch.Tensor, channels: int) -> torch.Tensor:
    """Converts between grey and RGB.

    Args:
        images: uint8 [N, 1 or 3, H, W].
        channels: 1 or 3.

    Returns:
        uint8 [N, channels, H, W].
    """
    if images.shape[1] == channels:
        return images
    if channels == 3:
        return images.repeat(1, 3, 1, 1)
    return torch.cat([_grey(chunk) for chunk in _chunks(images)])


def resize(
    images: torch.Tensor,
    height: int,
    width: int,
    aspect: Aspect = "squash",
    ground: Sequence[int] = (255,),
) -> torch.Tensor:
    """Resizes with antialiased bilinear interpolation.

    Args:
        images: uint8 [N, C, H, W].
        height: Pixels wanted.
        width: Pixels wanted.
        aspect: What is done with other proportions.
        ground: Colour of the margins that `pad` adds, one value per channel or one for all.

    Returns:
        uint8 [N, C, height, width].
    """
    if images.shape[2:] == (height, width):
        return images
    if aspect == "pad":
        return _padded(images, height, width, ground)
    if aspect == "crop":
        images = _cropped(images, height, width)
    return torch.cat([_resize_chunk(chunk, height, width) for chunk in _chunks(images)])


def _cropped(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The largest part in the middle that has the wanted proportions, to the next pixel."""
    down, across = images.shape[2:]
    rows = min(down, max(1, round(across * height / width)))
    columns = min(across, max(1, round(down * width / height)))
    top, left = (down - rows) // 2, (across - columns) // 2
    return images[:, :, top : top + rows, left : left + columns]


def _padded(images: torch.Tensor, height: int, width: int, ground: Sequence[int]) -> torch.Tensor:
    columns, rows, left, top = padding((images.shape[3], images.shape[2]), (width, height))
    colour = torch.tensor(ground, dtype=torch.uint8).view(1, -1, 1, 1)
    canvas = colour.expand(len(images), images.shape[1], height, width).clone()
    canvas[:, :, top : top + rows, left : left + columns] = resize(images, rows, columns)
    return canvas


def padding(given: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int, int, int]:
    """Where an image lies that keeps its proportions on a canvas of others.

    Args:
        given: Width and height of the image.
        wanted: Those of the canvas.

    Returns:
        Width and height of the resized image, at least 1, and its left and upper margin.
    """
    factor = min(wanted[0] / given[0], wanted[1] / given[1])
    width, height = (max(1, round(side * factor)) for side in given)
    return width, height, round((wanted[0] - width) / 2), round((wanted[1] - height) / 2)


def _chunks(images: torch.Tensor) -> Iterator[torch.Tensor]:
    # Whole sets as float32 or int32 would need several times their own memory.
    return (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))


def _resize_chunk(chunk: torch.Tensor, height: int, width: int) -> torch.Tensor:
    resized = torch.nn.functional.interpolate(
        chunk.float(), (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def _grey(chunk: torch.Tensor) -> torch.Tensor:
    weights = torch.tensor(_LUMA, dtype=torch.int32).view(1, 3, 1, 1)
    luma = (chunk.to(torch.int32) * weights).sum(1, keepdim=True, dtype=torch.int32)
    return ((luma + _LUMA_HALF) >> 16).to(torch.uint8)


def _limit(examples: Examples, request: Request) -> Examples:
    if request.limit is None or len(examples) <= request.limit:
        return examples
    return examples.take(limit_indices(examples.labels, request.limit, request.seed))


def _fit(name: str, examples: Examples, request: Request) -> Examples:
    count, channels, height, width = examples.images.shape
    channels = request.channels or channels
    height, width = (request.resolution or side for side in (height, width))
    check_bytes(name, (count, channels, height, width))
    grey = examples.images.shape[1] == 1
    ground = ImageColor.getcolor(request.ground, "L" if grey else "RGB")
    colour = (ground,) if isinstance(ground, int) else ground
    fitted = resize(examples.images, height, width, request.aspect, colour)
    images = to_channels(fitted, channels)
    return Examples(images, examples.labels)


def _relabel(
    name: str, train: Examples, test: Examples | None
) -> tuple[tuple[str, ...], Examples, Examples | None]:
    values = torch.unique(train.labels)
    if len(values) and int(values[0]) < 0:
        raise DataError(f"{name}: label {int(values[0])} is out of range; allowed: 0 or more")
    names = tuple(str(value) for value in values.tolist())
    train = Examples(train.images, torch.searchsorted(values, train.labels))
    if test is None:
        return names, train, None
    strange = sorted(set(test.labels.tolist()) - set(values.tolist()))
    if strange:
        raise DataError(
            f"{name}: test labels that the training images do not have: "
            f"{name_few(map(str, strange))}; allowed: {name_few(names, 10)}"
        )
    return names, train, Examples(test.images, torch.searchsorted(values, test.labels))
