"""`folder:PATH`: image files, decoded once and then read from the cache."""

import json
import os
from dataclasses import replace

import numpy as np
import torch

from autospace.data.errors import DataError, name_few
from autospace.data.examples import DataSet, Examples, make_data_set
from autospace.data.readers.cache import cache_key, read_cache, write_cache
from autospace.data.readers.image_decoding import Decoded, common_shape, decode
from autospace.data.readers.image_listing import Listing, list_folder
from autospace.data.request import Request, Ticker
from autospace.data.source import Source

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
    ticker = Ticker(request.progress)
    ticker.tick("reading the cache", 0, 1)
    cached = read_cache(request.cache, key, source.name)
    if cached is not None:
        ticker.tick("reading the cache", 1, 1)
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
    ticker = Ticker(request.progress)
    everything = listing.train + listing.test
    shape = common_shape(everything, request.resolution, request.channels, ticker)
    train = decode(listing.train, shape, "reading training images", ticker)
    test = decode(listing.test, shape, "reading test images", ticker)
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
            f"({name_few(names)}), at most {allowed} are allowed"
        )


def _check_complete(listing: Listing, title: str, split: Decoded) -> None:
    counts = np.bincount(split.labels, minlength=len(listing.classes))
    # A tiny class may have no file in a test split that was drawn; in training it must have one.
    listed = {file.label for file in (listing.train if title == "train" else listing.test)}
    missing = [name for i, name in enumerate(listing.classes) if i in listed and not counts[i]]
    if missing:
        raise DataError(
            f"{listing.root}: no readable {title} image in class {name_few(missing)}, "
            "at least one is needed"
        )


def _examples(decoded: Decoded) -> Examples:
    images = np.ascontiguousarray(decoded.images)
    return Examples(torch.from_numpy(images), torch.from_numpy(decoded.labels))
