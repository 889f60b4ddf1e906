"""Reads `idx:PATH`: the file format of MNIST, Fashion-MNIST, KMNIST and EMNIST."""

import gzip
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from autospace.data.errors import DataError, check_bytes, check_sides, name_few, reason
from autospace.data.examples import DataSet, Examples
from autospace.data.readers.convert import as_examples, finish
from autospace.data.request import Request, Source

# `train-images-idx3-ubyte`, `t10k-labels.idx1-ubyte.gz`, `emnist-balanced-test-images-idx3-ubyte`.
_NAME = re.compile(
    r"(?P<variant>.*[-_.])?(?P<split>train|t10k|test)[-_](?P<what>images|labels)"
    r"[-_.]idx(?P<axes>\d)[-_](?P<type>[a-z]+)(?P<packed>\.gz)?",
    re.IGNORECASE,
)
_RANKS = {"images": 3, "labels": 1}
_DEEPEST = 3
_UNSIGNED_BYTE = 0x08

# No gzip file unpacks to more than this times its size.
_LARGEST_RATIO = 1040
_PARTS = (("train", "images"), ("train", "labels"), ("test", "images"), ("test", "labels"))


@dataclass(frozen=True, slots=True)
class _Found:
    """A file whose name is that of a part; `kind` is its number of axes and its type."""

    variant: str
    part: tuple[str, str]
    path: Path
    kind: str

    @property
    def readable(self) -> bool:
        return self.kind == f"{_RANKS[self.part[1]]}-ubyte"


_EMNIST = (
    "EMNIST stores its images lying on their side (rows and columns exchanged); they are read so",
)


def read_idx(source: Source, request: Request) -> DataSet:
    """Reads the four files of an MNIST-like data set, compressed or not.

    A file may lie in a folder of its name, as archives unpack, and the folder of all files below
    others. EMNIST keeps its images transposed; they are left so, and a note says it.

    Args:
        source: Names the folder; with several variants in it, as EMNIST has, the folder and the
            variant: `idx:/data/emnist/emnist-letters`.
        request: Resolution, channels, limit and seed are used.

    Returns:
        The data set; classes are named by their number in the files.

    Raises:
        DataError: Files are missing, ambiguous, truncated or of another type.
    """
    if source.path is None:
        raise DataError("idx: names no path; allowed: idx:PATH")
    files = _find(source.path)
    train = _read_split(files["train", "images"], files["train", "labels"])
    test = _read_split(files["test", "images"], files["test", "labels"])
    turned = "emnist" in files["train", "images"].name.casefold()
    return finish(source.name, request, train, test, notes=_EMNIST if turned else ())


def read_idx_file(path: Path, rank: int) -> np.ndarray:
    """Reads one file of unsigned bytes.

    Args:
        path: The file, compressed with gzip if it starts like that.
        rank: How many axes it must have.

    Returns:
        uint8, as the header says.

    Raises:
        DataError: Another type or rank, absurd sizes, or a length that contradicts the header.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            most = path.stat().st_size * (_LARGEST_RATIO if packed else 1)
            return _read_stream(path, gzip.GzipFile(fileobj=raw) if packed else raw, rank, most)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error


def _read_stream(path: Path, stream: IO[bytes] | gzip.GzipFile, rank: int, most: int) -> np.ndarray:
    header = stream.read(4 + 4 * rank)
    expected = bytes((0, 0, _UNSIGNED_BYTE, rank))
    if header[:4] != expected:
        raise DataError(
            f"{path}: starts with {header[:4].hex() or 'nothing'}; allowed: {expected.hex()} "
            f"(idx, unsigned bytes, {rank} axes)"
        )
    if len(header) < 4 + 4 * rank:
        raise DataError(f"{path}: the header ends after {len(header)} bytes; the file is truncated")
    shape = tuple(int(extent) for extent in np.frombuffer(header, dtype=">u4", offset=4))
    if rank == 3:
        check_sides(str(path), shape[1], shape[2])
    check_bytes(str(path), shape)
    promised = math.prod(shape)
    # `read` allocates what it is asked for; a short file must not make it ask for gigabytes. One
    # byte more than promised shows a file that is too long, without unpacking all of it.
    content = stream.read(min(promised, most) + 1)
    if len(content) != promised:
        found = "more" if len(content) > promised else f"{len(content)}"
        raise DataError(
            f"{path}: the header promises {promised} bytes ({'x'.join(map(str, shape))}), "
            f"but the file has {found}; it is damaged or truncated"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _read_split(images_path: Path, labels_path: Path) -> Examples:
    images = read_idx_file(images_path, 3)
    return as_examples(str(images_path), images[:, None], read_idx_file(labels_path, 1))


def _find(path: Path) -> dict[tuple[str, str], Path]:
    folder, variant = (path, None) if path.is_dir() else (path.parent, path.name)
    if not folder.is_dir():
        raise DataError(f"{path}: does not exist; allowed: a folder of idx files")
    found = _collect(folder)
    variants = sorted({item.variant for item in found})
    if variant is not None and variant not in variants:
        raise DataError(
            f"{path}: is neither a folder of idx files nor one of the data sets in {folder} "
            f"({name_few(variants, 8) or 'none'})"
        )
    if variant is None and len(variants) > 1:
        raise DataError(
            f"{path}: holds several data sets ({name_few(variants, 8)}); name one, "
            f"such as idx:{path / variants[-1]}"
        )
    wanted = variants[0] if variant is None and variants else variant
    chosen = [item for item in found if item.variant == wanted]
    files: dict[tuple[str, str], Path] = {}
    for item in chosen:
        if item.readable:
            files.setdefault(item.part, item.path)
    missing = [f"{split} {what}" for split, what in _PARTS if (split, what) not in files]
    if missing:
        _explain_others([item for item in chosen if item.part not in files])
        raise DataError(
            f"{path}: lacks {name_few(missing)}; allowed: files named like "
            "train-images-idx3-ubyte, "
            "train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte "
            "(or these with .gz)"
        )
    return files


def _explain_others(unreadable: Sequence[_Found]) -> None:
    """Names a file that is there, but of a kind that cannot be read.

    Raises:
        DataError: There is one.
    """
    for item in sorted(unreadable, key=lambda item: item.part[0] != "train"):
        what = item.part[1]
        columns = f" of {_columns(item.path)} columns" if what == "labels" else ""
        raise DataError(
            f"{item.path}: {what}{columns}, idx{item.kind}; not supported; allowed: "
            f"idx{_RANKS[what]}-ubyte"
        )


def _columns(path: Path) -> str:
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            head = (gzip.GzipFile(fileobj=raw) if packed else raw).read(12)
    except (OSError, EOFError, zlib.error):
        return "unknown"
    return str(int.from_bytes(head[8:12], "big")) if len(head) == 12 and head[3] == 2 else "several"


def _collect(folder: Path, depth: int = 0) -> list[_Found]:
    """The files in a folder, in folders of their name, or in a folder below."""
    # Sorting also puts an unpacked file before its .gz twin, so that it wins.
    entries = sorted(folder.iterdir())
    found = [item for item in map(_recognise, entries) if item is not None]
    for entry in entries:
        if entry.is_dir() and _NAME.fullmatch(entry.name):
            found += [item for item in map(_recognise, sorted(entry.iterdir())) if item is not None]
    if found or depth >= _DEEPEST:
        return found
    below = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    holding = [each for each in (_collect(entry, depth + 1) for entry in below) if each]
    return holding[0] if len(holding) == 1 else []


def _recognise(path: Path) -> _Found | None:
    match = _NAME.fullmatch(path.name)
    if match is None or not path.is_file():
        return None
    split = "train" if match["split"].lower() == "train" else "test"
    variant = (match["variant"] or "").rstrip("-_.")
    kind = f"{match['axes']}-{match['type'].lower()}"
    return _Found(variant, (split, match["what"].lower()), path, kind)
