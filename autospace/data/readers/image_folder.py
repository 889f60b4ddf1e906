"""Reads `folder:PATH`: image files, which are decoded once and then read from a cache.

The name of a cache file is a hash of what it was made from: the image files, with their sizes and
times, and the request. A cache file whose content does not pass all checks is ignored.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from autospace.data.errors import DataError, name_few
from autospace.data.examples import DataSet, Examples, make_data_set
from autospace.data.readers.image_decoding import (
    Decoded,
    Listing,
    common_shape,
    decode,
    list_folder,
)
from autospace.data.request import Request, Source

# Part of every key: a change of the decoder or of the layout below must not find old files.
_LAYOUT = "autospace.data 1"
_ABOUT = "about"
_ENTRIES = ("train.images", "train.labels", "test.images", "test.labels")


def cache_key(identity: str) -> str:
    """Name of a cache file.

    Args:
        identity: All that determines the content: files with sizes and times, and the request.

    Returns:
        64 hexadecimal digits.
    """
    text = f"{_LAYOUT}\n{PIL.__version__}\n{identity}"
    return hashlib.sha256(text.encode()).hexdigest()


def read_cache(folder: Path, key: str, name: str) -> DataSet | None:
    """Reads a data set back.

    Args:
        folder: The cache.
        key: From `cache_key`.
        name: Name that the data set is to have.

    Returns:
        The data set, or `None` where there is none or its content does not match its digest.
    """
    from safetensors import SafetensorError, safe_open

    path = _file(folder, key)
    try:
        with safe_open(path, framework="pt") as opened:
            # Clones, because the tensors read are a map of a file that others may replace.
            tensors = {entry: opened.get_tensor(entry).clone() for entry in _ENTRIES}
            about = json.loads((opened.metadata() or {})[_ABOUT])
        found = _data_set(name, tensors, about)
        return found if found.digest == about["digest"] else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def write_cache(folder: Path, key: str, data: DataSet) -> None:
    """Stores a data set; a reader sees the whole file or none.

    Args:
        folder: The cache, made if missing.
        key: From `cache_key`.
        data: What to store.

    Raises:
        DataError: The folder cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = (data.train.images, data.train.labels, data.test.images, data.test.labels)
    # One entry, because the library writes several in an order that differs from run to run.
    about = {"classes": data.classes, "notes": data.notes, "digest": data.digest}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
        os.close(handle)
        try:
            entries = dict(zip(_ENTRIES, tensors, strict=True))
            save_file(entries, temporary, {_ABOUT: json.dumps(about)})
            _sync(temporary)
            os.replace(temporary, _file(folder, key))
            _sync(str(folder))
        finally:
            Path(temporary).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{folder}: the cache cannot be written: {error}; choose another folder or none"
        ) from error


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.safetensors"


def _data_set(name: str, tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> DataSet:
    train = Examples(tensors["train.images"], tensors["train.labels"])
    test = Examples(tensors["test.images"], tensors["test.labels"])
    return make_data_set(name, _names(about["classes"]), train, test, _names(about["notes"]))


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("not a list of strings")
    return tuple(values)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_UNREADABLE_FLOOR = 10
_UNREADABLE_SHARE = 0.01


def read_folder(source: Source, request: Request) -> DataSet:
    """Reads a folder of images, as `list_folder` describes it.

    Args:
        source: Names the folder.
        request: Everything is used.

    Returns:
        The data set. Unreadable images are left out and named in its notes.

    Raises:
        DataError: The folder's layout, too many unreadable images, or too much data.
    """
    if source.path is None:
        raise DataError("folder: names no path; allowed: folder:PATH")
    listing = list_folder(source.path, request)
    if request.cache is None:
        return _decode(source, listing, request)
    key = cache_key(_identity(listing, request))
    request.tick(0, 1)
    cached = read_cache(request.cache, key, source.name)
    if cached is not None:
        request.tick(1, 1)
        return cached
    fresh = _decode(source, listing, request)
    try:
        write_cache(request.cache, key, fresh)
    except DataError as error:
        # A full disk must not cost the user the data that was just read.
        return replace(fresh, notes=(*fresh.notes, str(error)))
    return fresh


def _identity(listing: Listing, request: Request) -> str:
    files = [
        [os.path.abspath(file.path), file.label, file.size, file.modified]
        for split in (listing.train, listing.test)
        for file in split
    ]
    wanted = [request.resolution, request.channels, request.limit, request.seed]
    return json.dumps([wanted, len(listing.train), listing.classes, listing.notes, files])


def _decode(source: Source, listing: Listing, request: Request) -> DataSet:
    everything = listing.train + listing.test
    shape = common_shape(everything, request.resolution, request.channels, request.tick)
    train = decode(listing.train, shape, request.tick)
    test = decode(listing.test, shape, request.tick)
    notes = listing.notes
    resized = train.resized + test.resized
    if resized:
        notes += (f"resized {resized} images to {shape.height}x{shape.width}",)
    unreadable = train.unreadable + test.unreadable
    if unreadable:
        _check_unreadable(listing, unreadable)
        names = (os.path.relpath(path, listing.root) for path in unreadable)
        notes += (f"skipped {len(unreadable)} unreadable images: {name_few(names, 10)}",)
    for title, split in (("train", train), ("test", test)):
        _check_complete(listing, title, split)
    return make_data_set(source.name, listing.classes, _examples(train), _examples(test), notes)


def _check_unreadable(listing: Listing, unreadable: tuple[str, ...]) -> None:
    total = len(listing.train) + len(listing.test)
    allowed = max(_UNREADABLE_FLOOR, int(_UNREADABLE_SHARE * total))
    if len(unreadable) > allowed:
        names = (os.path.relpath(path, listing.root) for path in unreadable)
        raise DataError(
            f"{listing.root}: {len(unreadable)} of {total} images are unreadable "
            f"({name_few(names)}); allowed: at most {allowed}"
        )


def _check_complete(listing: Listing, title: str, split: Decoded) -> None:
    counts = np.bincount(split.labels, minlength=len(listing.classes))
    # A tiny class may have no file in a test split that was drawn; in training it must have one.
    listed = {file.label for file in (listing.train if title == "train" else listing.test)}
    missing = [name for i, name in enumerate(listing.classes) if i in listed and not counts[i]]
    if missing:
        raise DataError(
            f"{listing.root}: no readable {title} image in class {name_few(missing)}; "
            "allowed: at least one"
        )


def _examples(decoded: Decoded) -> Examples:
    images = np.ascontiguousarray(decoded.images)
    return Examples(torch.from_numpy(images), torch.from_numpy(decoded.labels))
