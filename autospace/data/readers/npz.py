"""`npz:PATH`: arrays that numpy saved, checked against their headers before they are read."""

import lzma
import math
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from autospace.data.errors import LARGEST_BYTES, DataError, check_bytes, name_few
from autospace.data.examples import DataSet, Examples
from autospace.data.readers.convert import as_examples, finish
from autospace.data.request import Request, Source

_TRAIN_AND_TEST = ("x_train", "y_train", "x_test", "y_test")
_TOGETHER = ("images", "labels")

# Floats of one image may be saved as 64 bits each, of which 8 bits remain.
_LARGEST_ITEM = 8


def read_npz(source: Source, request: Request) -> DataSet:
    """Reads an .npz file with x_train, y_train, x_test, y_test, or with images and labels.

    Images are [N, C, H, W], [N, H, W, C] or [N, H, W], C 1 or 3, uint8 or floats from 0 to 1;
    labels are whole numbers, [N] or [N, 1]. Where both C positions are possible, the last counts.

    Args:
        source: Names the file.
        request: Resolution, channels, limit and seed are used.

    Returns:
        The data set; classes are named by their number in the file.

    Raises:
        DataError: Keys, types, shapes or sizes are not as above; pickled objects are refused.
    """
    path = source.path
    if path is None or not path.is_file():
        raise DataError(f"{source.where}: does not exist, an .npz file is needed")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(source, path, archive, request)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, SyntaxError) as error:
        raise DataError(f"{path}: is not a sound .npz file: {error}") from error


def _read(source: Source, path: Path, archive: zipfile.ZipFile, request: Request) -> DataSet:
    keys = {name.removesuffix(".npy") for name in archive.namelist()}
    if keys.issuperset(_TRAIN_AND_TEST):
        train = _examples(path, archive, "x_train", "y_train")
        return finish(source.name, request, train, _examples(path, archive, "x_test", "y_test"))
    if keys.issuperset(_TOGETHER):
        return finish(source.name, request, _examples(path, archive, *_TOGETHER), None)
    raise DataError(
        f"{path}: has the keys {name_few(sorted(keys), 8) or 'none'}; needed are "
        f"{', '.join(_TRAIN_AND_TEST)}, or {' and '.join(_TOGETHER)}"
    )


def _examples(path: Path, archive: zipfile.ZipFile, images_key: str, labels_key: str) -> Examples:
    images = _images(f"{path}: {images_key}", _array(path, archive, images_key))
    labels = _labels(f"{path}: {labels_key}", _array(path, archive, labels_key))
    return as_examples(f"{path}: {images_key}", images, labels)


def _array(path: Path, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    member = archive.getinfo(f"{key}.npy")
    if member.file_size > LARGEST_BYTES:
        raise DataError(
            f"{path}: {key} unpacks to {member.file_size} bytes, at most {LARGEST_BYTES} are "
            "allowed"
        )
    with archive.open(member) as stream:
        _check_header(f"{path}: {key}", stream, member.file_size)
    with archive.open(member) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    return np.asarray(array)


def _check_header(where: str, stream: IO[bytes], size: int) -> None:
    # numpy allocates what the header asks for before it looks how much there is.
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    if dtype.kind not in "uif" or dtype.itemsize > _LARGEST_ITEM:
        raise DataError(f"{where}: has the type {dtype}, uint8, floats or whole numbers are needed")
    promised = math.prod(shape) * dtype.itemsize
    if promised != size - stream.tell():
        raise DataError(
            f"{where}: the header promises {promised} bytes, the file has "
            f"{size - stream.tell()}; it is damaged or truncated"
        )


def _images(where: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in (1, 3):
        raise DataError(
            f"{where}: has the shape {list(array.shape)}; [N, C, H, W], [N, H, W, C] or "
            "[N, H, W] with 1 or 3 channels is needed"
        )
    check_bytes(where, array.shape)
    if array.dtype.kind == "f":
        return _from_floats(where, array)
    if array.dtype != np.uint8:
        raise DataError(f"{where}: has the type {array.dtype}, uint8 or floats are needed")
    return array


def _from_floats(where: str, array: np.ndarray) -> np.ndarray:
    # Compared so that NaN fails as well.
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        raise DataError(
            f"{where}: floats from {array.min():g} to {array.max():g}, 0 to 1 is allowed"
        )
    scaled = np.empty(array.shape, dtype=np.uint8)
    for index, image in enumerate(array):
        scaled[index] = np.rint(image.astype(np.float64) * 255)
    return scaled


def _labels(where: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "ui":
        raise DataError(
            f"{where}: labels are {array.dtype} {list(array.shape)}, whole numbers [N] are needed"
        )
    if array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{where}: label {int(array.max())} is out of range, int64 is needed")
    return array
