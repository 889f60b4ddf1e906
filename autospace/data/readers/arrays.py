"""Images in the arrays of a Python program.

They belong to that program: a run keeps their digest, not the images, and its source is `python`.
Worker processes read them as `python:PATH` from a file that exists as long as the pool.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from autospace.data.errors import DataError, check_bytes
from autospace.data.examples import DataSet, Examples, make_data_set
from autospace.data.readers.convert import as_examples, finish
from autospace.data.readers.depth import to_bytes
from autospace.data.readers.image_decoding import on_ground
from autospace.data.request import Request, Source
from autospace.data.settings import PYTHON
from autospace.runs.files import write_atomically
from autospace.spaces.checks import check_text
from autospace.spaces.errors import SpaceError, named, shown


def channels_first(where: str, array: np.ndarray) -> np.ndarray:
    """Images in any of the usual layouts as [N, C, H, W].

    Args:
        where: What messages name.
        array: [N, C, H, W], [N, H, W, C] or [N, H, W], C 1 or 3. Where both positions of C are
            possible, the last counts.

    Raises:
        DataError: Another shape, or too many images.
    """
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in (1, 3):
        raise DataError(
            f"{where}: has the shape {list(array.shape)}; allowed: [N, C, H, W], [N, H, W, C] or "
            "[N, H, W], with 1 or 3 channels"
        )
    check_bytes(where, array.shape)
    return array


def _images(where: str, array: np.ndarray) -> np.ndarray:
    """Images [N, C, H, W] of any type that `depth.py` scales; for values no rule would do."""
    array = channels_first(where, array)
    if array.dtype.kind not in "uifb":
        allowed = "uint8, whole numbers or floats"
        raise DataError(f"{where}: has the type {array.dtype}; allowed: {allowed}")
    # Compared so that NaN fails as well.
    if array.size and not array.min() >= 0:
        kind = "floats" if array.dtype.kind == "f" else "whole numbers"
        allowed = "0 to 1, 0 to 255, or whole numbers from 0"
        raise DataError(
            f"{where}: {kind} from {array.min():g} to {array.max():g}; allowed: {allowed}"
        )
    return array


def _scaled(found: "dict[str, _Raw]") -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The images of all splits as bytes, those of one kind of number scaled alike; remarks."""
    scaled: dict[str, np.ndarray] = {}
    notes: list[str] = []
    for kinds in ("f", "ui", "b"):
        names = [name for name, (pixels, _) in found.items() if pixels.dtype.kind in kinds]
        if names:
            several, remarks = to_bytes(names, [found[name][0] for name in names])
            scaled |= dict(zip(names, several, strict=True))
            notes += remarks
    return scaled, tuple(dict.fromkeys(notes))


def _labels(where: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "ui":
        raise DataError(
            f"{where}: labels are {array.dtype} {list(array.shape)}; allowed: whole numbers [N]"
        )
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{where}: label {int(array.max())} is out of range; allowed: int64")
    return array


class LabelledImages(Protocol):
    """A map-style `torch.utils.data.Dataset`: it has a length, and (image, label) by index."""

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """An image and its label."""
        ...


Given = tuple[Any, Any] | LabelledImages
"""Images and labels as two arrays (numpy, torch, nested lists), or a map-style `Dataset`."""


def images(
    train: Given,
    test: Given | None = None,
    *,
    classes: Sequence[str] | None = None,
    name: str = PYTHON,
) -> DataSet:
    """Images of your own as a data set that every function of the API takes.

    A split is a tuple of images and labels, or a map-style `torch.utils.data.Dataset` of pairs
    (image, label). Images have 1 or 3 channels, and values of any type: uint8, whole numbers from
    0, or floats from 0 to 1 or from 0 to 255. They are scaled to bytes by the rule for files (see
    "More than 8 bits" in the guide on images), all images of a type alike, and a note says which
    range was found; uint8 stays as it is. Their shapes:

    | | shape |
    |---|---|
    | all images of a split | [N, C, H, W], [N, H, W, C] or [N, H, W] |
    | an item of a `Dataset` | [C, H, W], [H, W, C] or [H, W], or a Pillow image |

    Where both positions of the channels are possible, the last one counts. Pillow images of the
    modes I and F (more than 8 bits) have one channel, and transparent ones are laid on white. Pass
    images before they are normalised or augmented, because a run does both itself. The images are
    copied.

    Args:
        train: The images to learn from.
        test: The images for the final accuracy; by default a fifth of `train`, the same in every
            call, stratified by class.
        classes: Names of the classes; label i means `classes[i]`. By default the labels that occur
            in `train` are the names.
        name: Short name for results and reports.

    Returns:
        The data set. Its `digest` lets a resumed run check that the images are the same.

    Raises:
        DataError: Shapes, types, values or labels are not as above.

    Example:
        >>> data = images((x_train, y_train), (x_test, y_test), classes=["cat", "dog"])
    """
    try:
        check_text("images: name", name, _LONGEST_NAME)
    except SpaceError as error:
        raise DataError(str(error)) from None
    names = None if classes is None else _class_names(classes)
    given = {"train images": train} | ({} if test is None else {"test images": test})
    found = {where: _split(where, split) for where, split in given.items()}
    scaled, notes = _scaled(found)
    splits = [
        as_examples(where, np.array(scaled[where], order="C"), labels)
        for where, (_, labels) in found.items()
    ]
    return finish(name, Request(), splits[0], splits[1] if test is not None else None, names, notes)


def _class_names(given: Any) -> tuple[str, ...]:
    fits = isinstance(given, Sequence) and not isinstance(given, str)
    wrong = [each for each in given if not isinstance(each, str)] if fits else [given]
    if wrong:
        raise DataError(f"images: classes: {shown(wrong[0])}; allowed: a list of names")
    twice = [each for each, count in Counter(given).items() if count > 1]
    if twice:
        raise DataError(f"images: classes: {shown(twice[0])} occurs twice; allowed: distinct names")
    return tuple(given)


def save_images(path: Path, data: DataSet) -> None:
    """Writes a data set for worker processes, which read it as `python:PATH`."""
    about = {"name": data.name, "classes": list(data.classes), "notes": list(data.notes)}
    splits = {"train": data.train, "test": data.test}
    tensors = {f"{split}.images": each.images.contiguous() for split, each in splits.items()}
    tensors |= {f"{split}.labels": each.labels.contiguous() for split, each in splits.items()}
    write_atomically(path, save(tensors, {PYTHON: json.dumps(about)}))


def read_python(source: Source, request: Request) -> DataSet:
    """Reads a file of `save_images`.

    Args:
        source: Names the file.
        request: Must ask for what the file holds: it was limited and resized before.

    Raises:
        DataError: No file is named, because the images were passed from Python; or it is damaged.
    """
    if source.path is None:
        raise DataError(
            "data 'python': the images of this run were passed from Python, and a run does not "
            "keep them; continue from Python: autospace.evolve, compare, search or train with "
            "resume=FOLDER and data=the same images"
        )
    try:
        with safe_open(source.path, "pt") as stream:
            about = json.loads(stream.metadata()[PYTHON])
        found = load_file(source.path)
        train, test = (
            Examples(found[f"{split}.images"], found[f"{split}.labels"])
            for split in ("train", "test")
        )
        return make_data_set(
            about["name"], tuple(about["classes"]), train, test, tuple(about["notes"])
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise DataError(f"{source.path}: does not hold the images of a run: {problem}") from None


_LONGEST_NAME: Final = 100


_Raw = tuple[np.ndarray, np.ndarray]
"""Images [N, C, H, W] as they were given, and labels [N]."""


def _split(where: str, given: Given) -> _Raw:
    if isinstance(given, tuple) and len(given) == 2:
        pixels, labels = _as_array(where, given[0]), _as_array(where, given[1])
    else:
        pixels, labels = _items(where, given)
    return _images(where, pixels), _labels(where, labels)


def _items(where: str, given: LabelledImages) -> tuple[np.ndarray, np.ndarray]:
    """The items of a dataset as arrays [N, C, H, W] and labels [N]."""
    if isinstance(given, np.ndarray | torch.Tensor):
        raise DataError(f"{where}: have no labels; allowed: a tuple (images, labels)")
    try:
        count = len(given)
    except TypeError:
        allowed = "allowed: a tuple (images, labels) or a map-style Dataset of (image, label)"
        raise DataError(
            f"{where}: {named(type(given).__name__)} has no length; {allowed}"
        ) from None
    if not count:
        raise DataError(f"{where}: the dataset is empty; allowed: at least one image")
    pixels: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for index in range(count):
        image, label = _pair(f"{where}[{index}]", given[index], pixels[0] if pixels else None)
        if pixels and image.shape != pixels[0].shape:
            raise DataError(
                f"{where}[{index}]: has the shape {list(image.shape)}; the first image has "
                f"{list(pixels[0].shape)}; allowed: equal shapes, so resize them in the dataset"
            )
        pixels.append(image)
        labels.append(label)
    return np.stack(pixels), np.stack(labels)


def _pair(where: str, item: Any, first: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """An image [C, H, W], and its label as an array without axes.

    Args:
        where: What messages name.
        item: What the dataset holds.
        first: Its first image, if this is another one.
    """
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(f"{where}: {named(type(item).__name__)}; allowed: a pair (image, label)")
    image, label = item
    if isinstance(image, Image.Image):
        image = _of_pillow(where, image, first)
    pixels, number = _as_array(where, image), _as_array(where, label)
    if pixels.ndim not in (2, 3):
        allowed = "allowed: [C, H, W], [H, W, C] or [H, W]"
        raise DataError(f"{where}: has the shape {list(pixels.shape)}; {allowed}")
    return _images(where, pixels[None])[0], _labels(where, number.reshape(1))[0]


def _of_pillow(where: str, image: Image.Image, first: np.ndarray | None) -> np.ndarray:
    """The values of a Pillow image: deep ones as they are, all others in bytes, as of a file."""
    image.load()  # Some files have another mode then.
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
    else:
        mode = "L" if image.mode == "L" else "RGB"
        if image.has_transparency_data:
            plain, _ = on_ground(image, mode, Request().ground)
        else:
            plain = image if image.mode == mode else image.convert(mode)
        values = np.asarray(plain)
    # One rule scales all: beside an image of 16 bits, one of 8 bits would become black.
    if first is not None and _depth(values) != _depth(first):
        problem = (
            f"is a Pillow image of the mode {image.mode}, and the first image is {first.dtype}"
        )
        allowed = "allowed: images of one depth, so convert them in the dataset"
        raise DataError(f"{where}: {problem}; {allowed}")
    return values


def _depth(values: np.ndarray) -> str:
    if values.dtype == np.uint8:
        return "bytes"
    return "whole numbers" if values.dtype.kind in "ui" else values.dtype.kind


def _as_array(where: str, given: Any) -> np.ndarray:
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu()
        # numpy does not know the type.
        given = given.float() if given.dtype == torch.bfloat16 else given
    try:
        return np.asarray(given)
    except (TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:120]
        raise DataError(f"{where}: cannot be an array: {problem}") from None
