"""Reads `folder:PATH`: image files, which are decoded once and then read from a cache.

The name of a cache file is a hash of what it was made from: the image files, with their sizes and
times, the request, and the versions of what decodes them. A cache file whose content does not pass
all checks is ignored. Images that lack some files for a reason that may pass are not kept.
"""

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from autospace.data.errors import DataError, name_few
from autospace.data.examples import DataSet, Examples, Reading, Size, Skipped, make_data_set
from autospace.data.readers.convert import proportions_changed
from autospace.data.readers.folder_layout import ImageFile, Listing, list_folder
from autospace.data.readers.image_decoding import (
    Decoded,
    Preparation,
    Shape,
    common_shape,
    decode,
    headers,
    scales,
)
from autospace.data.readers.image_opening import Header, heif_reader
from autospace.data.request import Request, Source
from autospace.data.storage import Mapped, is_large
from autospace.runs.files import PART
from autospace.spaces.text import plural, visible

# Part of every key: a change of the decoder or of the layout below must not find old files.
_LAYOUT = "autospace.data 4"
_ABOUT = "about"
_ENTRIES = ("train.images", "train.labels", "test.images", "test.labels")


def cache_key(identity: str) -> str:
    """Name of a cache file.

    Args:
        identity: All that determines the content: files with sizes and times, and the request.

    Returns:
        64 hexadecimal digits.
    """
    text = f"{_LAYOUT}\n{PIL.__version__}\n{heif_reader()}\n{identity}"
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
            tensors = {entry: opened.get_tensor(entry) for entry in _ENTRIES}
            about = json.loads((opened.metadata() or {})[_ABOUT])
        mapped = is_large(sum(each.nbytes for each in tensors.values()))
        if not mapped:
            # Others may damage a file that is mapped; many images stay where they are.
            tensors = {entry: each.clone() for entry, each in tensors.items()}
        found = _data_set(name, tensors, about, path if mapped else None)
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

    tensors = [
        each.contiguous()
        for split in (data.train, data.test)
        for each in (split.images.permute(0, 2, 3, 1), split.labels)
    ]
    # One entry, because the library writes several in an order that differs from run to run.
    about = {
        "classes": data.classes,
        "notes": data.notes,
        "digest": data.digest,
        "reading": asdict(data.reading),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A folder, because the library makes a temporary file of its own beside the one it writes.
        place = Path(tempfile.mkdtemp(dir=folder, prefix=".", suffix=PART))
        try:
            entries = dict(zip(_ENTRIES, tensors, strict=True))
            saved, like = place / "saved", place / "like"
            save_file(entries, saved, {_ABOUT: json.dumps(about)})
            # The library lets nobody else read it.
            like.touch()
            with suppress(OSError):  # some file systems have no permissions
                saved.chmod(like.stat().st_mode)
            _sync(str(saved))
            os.replace(saved, _file(folder, key))
            _sync(str(folder))
        finally:
            shutil.rmtree(place, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"{folder}: the cache cannot be written: {error}; choose another folder or none"
        ) from error


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}.safetensors"


def _data_set(
    name: str, tensors: dict[str, torch.Tensor], about: dict[str, Any], mapped: Path | None
) -> DataSet:
    train, test = (
        Examples(
            tensors[f"{split}.images"].permute(0, 3, 1, 2),
            tensors[f"{split}.labels"],
            mapped=None if mapped is None else Mapped(mapped.absolute(), f"{split}.images"),
        )
        for split in ("train", "test")
    )
    texts = _names(about["classes"]), _names(about["notes"])
    return make_data_set(name, texts[0], train, test, texts[1], _reading(about["reading"]))


def _reading(plain: dict[str, Any]) -> Reading:
    sizes = tuple(Size(**each) for each in plain["sizes"])
    skipped = tuple(
        Skipped(each["reason"], each["count"], _names(each["examples"]))
        for each in plain["skipped"]
    )
    return Reading(sizes, plain["distinct_sizes"], skipped)


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
_NOT_KEPT = "not kept in the cache, because unreadable images may become readable"


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
    return read_listed(source, list_folder(source.path, request), request)


def read_listed(source: Source, listing: Listing, request: Request) -> DataSet:
    """Decodes image files, or reads what was decoded of them before.

    Args:
        source: Names the data set.
        listing: The files.
        request: Everything is used.

    Returns:
        The data set. Unreadable images are left out and named in its notes. If they may become
        readable without a change of their files, nothing is written to the cache.

    Raises:
        DataError: Too many unreadable images, or too much data.
    """
    if request.cache is None:
        return _decode(source, listing, request)[0]
    key = cache_key(_identity(listing, request))
    request.tick(0, 1)
    cached = read_cache(request.cache, key, source.name)
    if cached is not None:
        request.tick(1, 1)
        return cached
    fresh, lasting = _decode(source, listing, request)
    if not lasting:
        return replace(fresh, notes=(*fresh.notes, _NOT_KEPT))
    try:
        write_cache(request.cache, key, fresh)
        if is_large(fresh.train.store.nbytes + fresh.test.store.nbytes):
            # Of the same file as those of a later reading, so that one copy is left.
            return read_cache(request.cache, key, source.name) or fresh
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
    prepared = [request.aspect, request.ground]
    found = [listing.classes, listing.notes, [asdict(each) for each in listing.skipped]]
    return json.dumps([wanted, prepared, len(listing.train), found, files])


def _decode(source: Source, listing: Listing, request: Request) -> tuple[DataSet, bool]:
    """The data set, and whether the same files will always give the same one."""
    everything = listing.train + listing.test
    found = headers(everything, request.tick)
    shape = common_shape(found, request.resolution, request.channels)
    preparation = _preparation(everything, found, request)
    splits = tuple(
        decode(files, shape, request.tick, preparation, request.cache)
        for files in (listing.train, listing.test)
    )
    unreadable = tuple(each for split in splits for each in split.unreadable)
    _check_unreadable(listing, unreadable)
    for title, split in zip(("train", "test"), splits, strict=True):
        _check_complete(listing, title, split)
    rare = () if request.resolution else _rare_size(shape, found)
    notes = (*listing.notes, *rare, *_remarks(splits, shape, preparation, found))
    skipped = _skipped(listing, unreadable)
    if unreadable:
        notes += (f"skipped {plural(len(unreadable), 'unreadable image')}: {_reasons(skipped)}",)
    reading = _read_of(found, (*listing.skipped, *skipped))
    train, test = map(_examples, splits)
    data = make_data_set(source.name, listing.classes, train, test, notes, reading)
    return data, not any(split.passing for split in splits)


def _preparation(
    files: Sequence[ImageFile], found: Sequence[Header | str], request: Request
) -> Preparation:
    deep = [
        file
        for file, head in zip(files, found, strict=True)
        if isinstance(head, Header) and head.deep
    ]
    whole, real = scales(deep, request.tick) if deep else (None, None)
    return Preparation(request.aspect, request.ground, whole, real)


_COMMON = 0.1


def _rare_size(shape: Shape, found: Sequence[Header | str]) -> tuple[str, ...]:
    """A remark where hardly any image has the most common size: chance has chosen it."""
    sizes = [(head.width, head.height) for head in found if isinstance(head, Header)]
    count = sizes.count((shape.width, shape.height))
    if count >= _COMMON * len(sizes):
        return ()
    size = f"{shape.width}x{shape.height}"
    share = f"is that of {count} of {len(sizes)} images only"
    return (f"the most common size, {size}, {share}: data.resolution chooses another",)


def _remarks(
    splits: Sequence[Decoded],
    shape: Shape,
    preparation: Preparation,
    found: Sequence[Header | str],
) -> tuple[str, ...]:
    resized = sum(split.resized for split in splits)
    reshaped = sum(split.reshaped for split in splits)
    turned = sum(split.turned for split in splits)
    transparent = sum(split.transparent for split in splits)
    heads = [head for head in found if isinstance(head, Header)]
    frames = sum(head.frames for head in heads)
    remarks: list[str] = []
    if resized:
        remarks.append(f"resized {plural(resized, 'image')} to {shape.width}x{shape.height}")
    if reshaped:
        remarks.append(proportions_changed(reshaped, preparation.aspect))
    if turned:
        remarks.append(f"turned {plural(turned, 'image')} upright, as the EXIF orientation says")
    if transparent:
        ground = f"laid on {preparation.ground} (data.ground)"
        remarks.append(f"{plural(transparent, 'image')} with transparent pixels, {ground}")
    for scale in (preparation.whole, preparation.real):
        if scale is not None:
            deep = sum(head.deep and head.real is not scale.whole for head in heads)
            said = f"{plural(deep, 'image')} with more than 8 bits a value"
            remarks.append(f"{said}: {scale.described}")
    if frames:
        several = f"{plural(frames, 'image')} with several frames or pages"
        remarks.append(f"{several}: the first one is read")
    return tuple(remarks)


_MOST_SIZES = 20


def _read_of(found: Sequence[Header | str], skipped: tuple[Skipped, ...]) -> Reading:
    counts = Counter((head.width, head.height) for head in found if isinstance(head, Header))
    ranked = sorted(counts, key=lambda size: (-counts[size], size))
    ends = {function(ranked, key=math.prod) for function in (min, max) if ranked}
    kept = [size for size in ranked if size in ends or size in ranked[:_MOST_SIZES]]
    return Reading(tuple(Size(*size, counts[size]) for size in kept), len(counts), skipped)


def _skipped(listing: Listing, unreadable: Sequence[tuple[str, str]]) -> tuple[Skipped, ...]:
    names: dict[str, list[str]] = {}
    for path, reason in unreadable:
        names.setdefault(reason, []).append(visible(os.path.relpath(path, listing.root)))
    ranked = sorted(names.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(
        Skipped(f"unreadable: {reason}", len(found), tuple(found[:10])) for reason, found in ranked
    )


def _reasons(skipped: Sequence[Skipped]) -> str:
    return "; ".join(
        f"{each.reason.removeprefix('unreadable: ')} ({each.count}): "
        f"{name_few(each.examples, of=each.count)}"
        for each in skipped
    )


def _check_unreadable(listing: Listing, unreadable: Sequence[tuple[str, str]]) -> None:
    total = len(listing.train) + len(listing.test)
    allowed = max(_UNREADABLE_FLOOR, int(_UNREADABLE_SHARE * total))
    if len(unreadable) > allowed:
        raise DataError(
            f"{listing.root}: {len(unreadable)} of {total} images are unreadable: "
            f"{_reasons(_skipped(listing, unreadable))}; allowed: at most {allowed}"
        )


def _check_complete(listing: Listing, title: str, split: Decoded) -> None:
    counts = np.bincount(split.labels, minlength=len(listing.classes))
    # A tiny class may have no file in a test split that was drawn; in training it must have one.
    if title == "test" and listing.drawn and len(split.labels):
        return
    listed = {file.label for file in (listing.train if title == "train" else listing.test)}
    missing = [name for i, name in enumerate(listing.classes) if i in listed and not counts[i]]
    if missing:
        why = _reasons(_skipped(listing, split.unreadable))
        raise DataError(
            f"{listing.root}: no readable {title} image in class {name_few(missing)} ({why}); "
            "allowed: at least one"
        )


def _examples(decoded: Decoded) -> Examples:
    return Examples(torch.from_numpy(decoded.images), torch.from_numpy(decoded.labels))
