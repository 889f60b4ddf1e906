"""Reads `cifar10:PATH` and `cifar100:PATH`: the official archives, in python or binary layout.

The path is an archive (.tar.gz, .tar or .zip) or a folder of its files. Members of an archive are
read into memory; nothing is written to disk.
"""

import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from autospace.data.errors import DataError, OtherKindError, name_few, reason
from autospace.data.examples import DataSet, Examples
from autospace.data.readers.convert import as_examples, finish
from autospace.data.readers.safe_pickle import read_pickle
from autospace.data.request import Request, Source

LARGEST_MEMBER = 256 * 2**20
LARGEST_ARCHIVE = 2**30
NO_LIMITS: Final[Mapping[str, int]] = {}
# The official files of images have 31 and 155 MB; other pickles of the same have little more.
_MOST_BATCH = 48 * 2**20
_MOST_WHOLE = 192 * 2**20
_MOST_NAMES = 2**20


def read_members(
    path: Path, wanted: Iterable[str], largest: Mapping[str, int] = NO_LIMITS
) -> dict[str, bytes]:
    """Reads files by name, from an archive or from a folder.

    Args:
        path: A tar archive, compressed with gzip or not, a zip archive, or a folder: either the one
            with the files, or the one above it.
        wanted: Base names of the files of interest; their folder inside is ignored.
        largest: Bytes that files of these names may have: all of them are kept in memory at once.

    Returns:
        The content of those files that exist, by base name.

    Raises:
        DataError: The path is missing, damaged or larger than allowed.
    """
    names = frozenset(wanted)
    try:
        if path.is_dir():
            return _read_folder(path, names, largest)
        if path.is_file():
            return _read_archive(path, names, largest)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, LookupError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    problem = "is neither a file nor a folder" if path.exists() else "does not exist"
    raise DataError(f"{path}: {problem}; allowed: a .tar.gz or .zip archive or its folder")


def _read_folder(
    folder: Path, names: frozenset[str], largest: Mapping[str, int]
) -> dict[str, bytes]:
    for place in (folder, *sorted(child for child in folder.iterdir() if child.is_dir())):
        found = {name: place / name for name in names if (place / name).is_file()}
        if found:
            return {name: _read_file(file, largest) for name, file in sorted(found.items())}
    return {}


def _read_file(path: Path, largest: Mapping[str, int]) -> bytes:
    _check_size(path, path.name, path.stat().st_size, largest)
    return path.read_bytes()


def _read_archive(
    path: Path, names: frozenset[str], largest: Mapping[str, int]
) -> dict[str, bytes]:
    with path.open("rb") as raw:
        is_zip = raw.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    return (_read_zip if is_zip else _read_tar)(path, names, largest)


def _read_zip(path: Path, names: frozenset[str], largest: Mapping[str, int]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = PurePosixPath(member.filename).name
            if name in names and name not in found and not member.is_dir():
                _check_size(path, member.filename, member.file_size, largest)
                # The size in the directory may be a lie; reading ends there.
                with archive.open(member) as stream:
                    found[name] = stream.read(member.file_size)
    return found


def _read_tar(path: Path, names: frozenset[str], largest: Mapping[str, int]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        # Stream mode: one pass, and the names in the archive are only ever compared.
        with tarfile.open(fileobj=_Bounded(path, stream), mode="r|") as archive:
            for member in archive:
                _check_size(path, member.name, member.size, largest)
                name = PurePosixPath(member.name).name
                content = archive.extractfile(member) if member.isreg() else None
                if name in names and name not in found and content is not None:
                    found[name] = content.read()
    return found


def _check_size(path: Path, name: str, size: int, largest: Mapping[str, int]) -> None:
    most = min(LARGEST_MEMBER, largest.get(PurePosixPath(name).name, LARGEST_MEMBER))
    if size > most:
        raise DataError(f"{path}: {name} has {size} bytes; allowed: at most {most} in such a file")


class _Bounded(io.RawIOBase):
    """Ends a small archive that unpacks to an endless one; counts headers as well as content."""

    def __init__(self, path: Path, stream: io.BufferedIOBase | gzip.GzipFile) -> None:
        super().__init__()
        self._path = path
        self._stream = stream
        self._total = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._total += len(content)
        if self._total > LARGEST_ARCHIVE:
            raise DataError(
                f"{self._path}: unpacks to more than the {LARGEST_ARCHIVE} bytes that are allowed"
            )
        return content


_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, slots=True)
class _Layout:
    """File names of one archive; the last `label_bytes` byte of a binary record is the label."""

    classes: int
    python_train: tuple[str, ...]
    python_test: str
    python_names: str
    python_label_key: str
    python_names_key: str
    binary_train: tuple[str, ...]
    binary_test: str
    binary_names: str
    label_bytes: int

    def files(self) -> dict[str, int]:
        """The names of all files, and the most bytes that one of them may have."""
        train = (*self.python_train, *self.binary_train)
        of_train = _MOST_BATCH if len(self.python_train) > 1 else _MOST_WHOLE
        return {
            **dict.fromkeys(train, of_train),
            **dict.fromkeys((self.python_test, self.binary_test), _MOST_BATCH),
            **dict.fromkeys((self.python_names, self.binary_names), _MOST_NAMES),
        }


_LAYOUTS = {
    "cifar10": _Layout(
        classes=10,
        python_train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        python_test="test_batch",
        python_names="batches.meta",
        python_label_key="labels",
        python_names_key="label_names",
        binary_train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        binary_test="test_batch.bin",
        binary_names="batches.meta.txt",
        label_bytes=1,
    ),
    "cifar100": _Layout(
        classes=100,
        python_train=("train",),
        python_test="test",
        python_names="meta",
        python_label_key="fine_labels",
        python_names_key="fine_label_names",
        binary_train=("train.bin",),
        binary_test="test.bin",
        binary_names="fine_label_names.txt",
        label_bytes=2,
    ),
}


def read_cifar(source: Source, request: Request) -> DataSet:
    """Reads CIFAR-10, or CIFAR-100 with its fine labels.

    Args:
        source: Names the archive, or the folder extracted from it.
        request: Resolution, channels, limit, seed and tick are used.

    Returns:
        The data set.

    Raises:
        DataError: Files are missing, damaged, or hold something else.
    """
    if source.path is None:
        raise DataError(f"{source.kind}: names no path; allowed: {source.kind}:PATH")
    layout = _LAYOUTS[source.kind]
    request.tick(0, 1)
    files = layout.files()
    found = read_members(source.path, files, files)
    if not found:
        _explain_other_kind(source.path, source.kind)
    if layout.binary_test in found or layout.binary_train[0] in found:
        names, train, test = _read_binary(source.path, layout, found)
    else:
        names, train, test = _read_python(source.path, layout, found)
    if len(set(names)) != layout.classes:
        raise DataError(f"{source.path}: {len(set(names))} class names; allowed: {layout.classes}")
    request.tick(1, 1)
    return finish(source.name, request, train, test, names)


def _explain_other_kind(path: Path, kind: str) -> None:
    """Says so if the files are those of the other kind.

    Raises:
        DataError: They are.
    """
    for other, layout in _LAYOUTS.items():
        wanted = {layout.python_train[0], layout.binary_train[0]}
        if other != kind and read_members(path, wanted, layout.files()):
            name = "CIFAR-100" if other == "cifar100" else "CIFAR-10"
            raise OtherKindError(f"{path}: this is {name}; write {other}:{path}")


def _read_python(
    path: Path, layout: _Layout, found: dict[str, bytes]
) -> tuple[tuple[str, ...], Examples, Examples]:
    _require(path, found, (*layout.python_train, layout.python_test, layout.python_names))
    meta = read_pickle(f"{path}: {layout.python_names}", found[layout.python_names])
    names = meta.get(layout.python_names_key)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(f"{path}: {layout.python_names} has no list {layout.python_names_key!r}")
    texts = (name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names)
    train = [_python_batch(path, layout, name, found[name]) for name in layout.python_train]
    test = _python_batch(path, layout, layout.python_test, found[layout.python_test])
    return tuple(texts), _join(path, train), _join(path, [test])


def _python_batch(
    path: Path, layout: _Layout, name: str, content: bytes
) -> tuple[np.ndarray, np.ndarray]:
    where = f"{path}: {name}"
    batch = read_pickle(where, content)
    pixels, labels = batch.get("data"), batch.get(layout.python_label_key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        raise DataError(f"{where}: has no array 'data' with {_PIXELS} values per image")
    numbers = _python_labels(where, layout, labels)
    if len(numbers) != len(pixels):
        raise DataError(
            f"{where}: {len(pixels)} images but {len(numbers)} labels; allowed: as many"
        )
    return pixels.reshape(-1, *_SHAPE), numbers


def _python_labels(where: str, layout: _Layout, labels: Any) -> np.ndarray:
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise DataError(f"{where}: has no list of whole numbers {layout.python_label_key!r}")
    for label in labels:
        if not 0 <= label < layout.classes:
            raise DataError(
                f"{where}: label {label} is out of range; allowed: 0..{layout.classes - 1}"
            )
    return np.array(labels, dtype=np.int64)


def _read_binary(
    path: Path, layout: _Layout, found: dict[str, bytes]
) -> tuple[tuple[str, ...], Examples, Examples]:
    _require(path, found, (*layout.binary_train, layout.binary_test, layout.binary_names))
    lines = found[layout.binary_names].decode("utf-8", "replace").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    train = [_binary_batch(path, layout, name, found[name]) for name in layout.binary_train]
    test = _binary_batch(path, layout, layout.binary_test, found[layout.binary_test])
    return names, _join(path, train), _join(path, [test])


def _binary_batch(
    path: Path, layout: _Layout, name: str, content: bytes
) -> tuple[np.ndarray, np.ndarray]:
    record = layout.label_bytes + _PIXELS
    if not content or len(content) % record:
        raise DataError(
            f"{path}: {name} has {len(content)} bytes; allowed: a multiple of {record}; "
            "the file may be truncated"
        )
    rows = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    return rows[:, layout.label_bytes :].reshape(-1, *_SHAPE), rows[:, layout.label_bytes - 1]


def _require(path: Path, found: dict[str, bytes], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{path}: lacks {name_few(missing)}; allowed: the official archive, in its python or "
            "binary version, or the folder that was extracted from it"
        )


def _join(path: Path, batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Examples:
    images = np.concatenate([images for images, _ in batches])
    return as_examples(str(path), images, np.concatenate([labels for _, labels in batches]))
