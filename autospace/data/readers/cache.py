"""Decoded data sets on disk: found by what they were made from, believed only if they check out."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import PIL
import torch

from autospace.data.errors import DataError
from autospace.data.examples import DataSet, Examples, make_data_set

# Part of every key: a change of the decoder or of the layout below must not find old files.
_LAYOUT = "autospace.data 1"

_ABOUT = "about"
_ENTRIES = ("train.images", "train.labels", "test.images", "test.labels")


def cache_key(identity: str) -> str:
    """Name of a cache file.

    Args:
        identity: All that decides the content: files with sizes and times, and the request.

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
