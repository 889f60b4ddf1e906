"""What a file or folder seems to hold that was named as another kind of data source.

Readers know only their own kind. After one has refused, this looks at names and first bytes, and
says which source to write. Nothing is decoded or unpacked.
"""

import re
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

TEXTS: Final = ("text", "sentences")
"""Kinds of sources that hold no images."""
_MOST_LOOKED_AT: Final = 2000
_HEAD: Final = 512
_IDX: Final = re.compile(r".*idx[13]-ubyte(\.gz)?", re.IGNORECASE)
_CIFAR10: Final = re.compile(r"(data|test)_batch(_\d)?(\.bin)?")
_OFFICIAL: Final = re.compile(r"cifar-(100?)-.*\.(tar\.gz|tgz|zip)$", re.IGNORECASE)
_TAR: Final = (b"ustar", 257)
_ARCHIVES: Final = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_OF_IMAGES: Final = {
    b"\x93NUMPY": "one array of NumPy: save images and labels together by numpy.savez, as npz:PATH",
    b"\x89HDF\r\n": "HDF5: save its images and labels by numpy.savez, as npz:PATH",
    b"PAR1": "Parquet: save its images as files in a folder per class, as folder:PATH",
    b"\x89PNG": "one image: name the folder of all, as folder:PATH",
    b"\xff\xd8\xff": "one image: name the folder of all, as folder:PATH",
}
_OF_TEXTS: Final = {
    b"PAR1": "Parquet: save its texts and labels as a .csv file",
    b"%PDF-": "PDF: save its text as a .txt file",
}


def meant(kind: str, path: Path | None) -> str:
    """A hint at the source that reads a path, to be put behind an error; empty if there is none.

    Args:
        kind: of the source as which it was read, or what was written in place of one.
        path: what was named.
    """
    try:
        if path is None or not path.exists():
            return ""
        if path.is_dir():
            return _of_folder(kind, path)
        # A pipe would wait for somebody to write, and a device may never end.
        return _of_file(kind, path) if path.is_file() else ""
    except (OSError, ValueError, zipfile.BadZipFile):
        return ""


def _of_folder(kind: str, path: Path) -> str:
    names = set(islice(_names(path), _MOST_LOOKED_AT))
    if any(_IDX.fullmatch(name) for name in names):
        return _source(kind, "idx", path)
    metas = (path / "meta", path / "cifar-100-python" / "meta")
    if {"train", "test"} <= names and any(each.is_file() for each in metas):
        return _source(kind, "cifar100", path)
    if any(_CIFAR10.fullmatch(name) for name in names):
        return _source(kind, "cifar10", path)
    if kind != "folder" and any(name.endswith(".tar") for name in names):
        return _source(kind, "shards", path)
    own = [each for each in islice(path.iterdir(), _MOST_LOOKED_AT) if each.suffix == ".npz"]
    if len(own) == 1:
        return f"; did you mean npz:{own[0]}?"
    if kind != "folder" and any(each.is_dir() for each in islice(path.iterdir(), _MOST_LOOKED_AT)):
        return _source(kind, "folder", path)
    return ""


def _names(path: Path) -> Iterator[str]:
    """Names in a folder and in the folders there."""
    for each in path.iterdir():
        yield each.name
        if each.is_dir():
            yield from (below.name for below in each.iterdir())


def _of_file(kind: str, path: Path) -> str:
    official = _OFFICIAL.match(path.name)
    if official:
        return _source(kind, "cifar" + official[1], path)
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            inside = archive.namelist()
        if inside and all(name.endswith(".npy") for name in inside):
            return _source(kind, "npz", path)
    if _IDX.fullmatch(path.name) or head[:4] in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
        return _source(kind, "idx", path.parent)
    for start, what in (_OF_TEXTS if kind in TEXTS else _OF_IMAGES).items():
        if head.startswith(start):
            return f"; it is {what}"
    mark, place = _TAR
    packed = next((name for start, name in _ARCHIVES.items() if head.startswith(start)), None)
    packed = "tar" if packed is None and head[place:].startswith(mark) else packed
    return _unpack(kind, packed) if packed else ""


def _unpack(kind: str, packed: str) -> str:
    """What to do with an archive, or with a file that a packer made, which a reader refused."""
    if kind == "shards":  # They are tar archives themselves.
        return "" if packed == "tar" else f"; it is packed by {packed}: unpack it to a .tar file"
    if kind in ("npz", "cifar10", "cifar100"):  # They read some archives as they are.
        known = packed in ("zip", "gzip", "tar")
        return "" if known else f"; it is packed by {packed}: unpack it, and name the folder"
    name = "the file" if kind in TEXTS and packed != "tar" else "the folder"
    return f"; it is an archive ({packed}): unpack it, and name {name}"


def _source(kind: str, right: str, path: Path) -> str:
    return "" if kind == right else f"; did you mean {right}:{path}?"
