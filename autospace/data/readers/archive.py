"""Members of a .tar.gz archive or files of a folder, read into memory and never onto a disk."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from autospace.data.errors import DataError

LARGEST_MEMBER = 256 * 2**20
LARGEST_ARCHIVE = 2**30


def read_members(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Reads files by name, from an archive or from a folder.

    Args:
        path: A tar archive, compressed with gzip or not, or a folder: either the one with the
            files, or the one above it.
        wanted: Base names of the files of interest; their folder inside is ignored.

    Returns:
        Content by base name, of those that exist.

    Raises:
        DataError: The path is missing, damaged or larger than allowed.
    """
    names = frozenset(wanted)
    try:
        if path.is_dir():
            return _read_folder(path, names)
        if path.is_file():
            return _read_archive(path, names)
    except DataError:
        raise
    except (OSError, EOFError, ValueError, LookupError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    problem = "is neither a file nor a folder" if path.exists() else "does not exist"
    raise DataError(f"{path}: {problem}, a .tar.gz archive or its folder is needed")


def _read_folder(folder: Path, names: frozenset[str]) -> dict[str, bytes]:
    for place in (folder, *sorted(child for child in folder.iterdir() if child.is_dir())):
        found = {name: place / name for name in names if (place / name).is_file()}
        if found:
            return {name: _read_file(file) for name, file in sorted(found.items())}
    return {}


def _read_file(path: Path) -> bytes:
    _check_size(path, path.name, path.stat().st_size)
    return path.read_bytes()


def _read_archive(path: Path, names: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        # Stream mode: one pass, and the names in the archive are only ever compared.
        with tarfile.open(fileobj=_Bounded(path, stream), mode="r|") as archive:
            for member in archive:
                _check_size(path, member.name, member.size)
                name = PurePosixPath(member.name).name
                content = archive.extractfile(member) if member.isreg() else None
                if name in names and name not in found and content is not None:
                    found[name] = content.read()
    return found


def _check_size(path: Path, name: str, size: int) -> None:
    if size > LARGEST_MEMBER:
        raise DataError(
            f"{path}: {name} has {size} bytes, at most {LARGEST_MEMBER} are allowed in such a file"
        )


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
                f"{self._path}: unpacks to more than {LARGEST_ARCHIVE} bytes, which is not allowed"
            )
        return content
