"""The files of a job on a node of a cluster, which its workers share.

A folder belongs to the workers of one pool on one node. Each holds a lock on it as long as it
lives. The last worker that leaves removes the folder. If all were killed, the pool asks the node
to do so; if the pool was killed, too, the next worker on that node does.

Nothing heavy is imported here, so that a node removes files at once.
"""

import errno
import fcntl
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from autospace.runs.errors import RoomError
from autospace.runs.files import check_room_for

SECONDS_TO_END: Final = 3.0
"""How long a killed worker may hold its lock."""
_SECONDS_BETWEEN_ATTEMPTS: Final = 0.05
_LOCK: Final = ".lock"
_ATTEMPTS: Final = 5
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


class NodeFiles:
    """The folder of a pool on this node."""

    def __init__(self, name: str) -> None:
        """Joins the workers of the pool.

        Args:
            name: of the pool and the node.

        Raises:
            OSError: there is no place for files that only this user can change.
        """
        self._base = _base()
        self._place = self._base / name
        self._lock = self._joined()
        self._remove_abandoned()

    def folder(
        self, job: str, contents: Mapping[str, Iterable[Any]], sizes: Mapping[str, int]
    ) -> Path:
        """The folder of a job; the first worker writes the files, and others wait for it.

        Args:
            job: its name; equal names mean equal contents.
            contents: the bytes of every file in pieces, of which one at a time is taken and held.
            sizes: of every file, in bytes.

        Raises:
            RoomError: the disk of this node has no room for the files.
        """
        folder = self._place / job
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            with (folder / _LOCK).open("wb") as writing:
                fcntl.flock(writing, fcntl.LOCK_EX)
                missing = [name for name in contents if not (folder / name).is_file()]
                for name in missing:
                    _remove_parts(folder, name)
                check_room_for(sum(sizes[name] for name in missing), folder)
                for name in missing:
                    _write(folder, name, contents[name])
        except RoomError as error:
            raise RoomError(f"node {platform.node()}: {error}") from None
        except OSError as error:
            if error.errno not in _FULL:
                raise
            problem = f"the disk became full while {', '.join(contents)} was written"
            where = f"node {platform.node()}: {folder}"
            raise RoomError(f"{where}: {problem}; allowed: less data, or more room") from None
        return folder

    def leave(self, seconds: float = 0.0) -> None:
        """Removes the folder, unless another worker still uses it.

        Args:
            seconds: how long to wait for others to end.
        """
        os.close(self._lock)
        _remove(self._place, seconds)

    def _joined(self) -> int:
        for _ in range(_ATTEMPTS):
            self._base.mkdir(mode=0o700, exist_ok=True)
            found = os.lstat(self._base)
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                raise OSError(f"{self._base}: belongs to somebody else")
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise OSError(f"{self._base}: others have access to it; allowed: mode 700")
            # Between two of these calls, the last worker of before may remove the folder.
            with suppress(FileNotFoundError):
                self._place.mkdir(mode=0o700, exist_ok=True)
                lock = os.open(self._place / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(lock, fcntl.LOCK_SH)
                if (self._place / _LOCK).exists():
                    return lock
                os.close(lock)
        raise OSError(f"{self._place}: is removed again and again")

    def _remove_abandoned(self) -> None:
        for other in self._base.iterdir():
            if other != self._place:
                _removed_if_unused(other)


def remove_files(name: str) -> None:
    """Removes the folder of a pool on this node, whose workers have been killed just now.

    Args:
        name: of the pool and the node.
    """
    _remove(_base() / name, SECONDS_TO_END)


def _base() -> Path:
    return Path(tempfile.gettempdir()) / f"autospace-{os.getuid()}"


def _remove_parts(folder: Path, name: str) -> None:
    """Removes what workers have left that were killed while they wrote a file."""
    for each in folder.iterdir():
        if each.name.startswith(f".{name}."):
            each.unlink(missing_ok=True)


def _write(folder: Path, name: str, pieces: Iterable[Any]) -> None:
    part = folder / f".{name}.{os.getpid()}"
    try:
        with part.open("wb") as stream:
            for piece in pieces:
                stream.write(memoryview(piece))
                del piece  # before the next one is fetched
        part.replace(folder / name)
    finally:
        part.unlink(missing_ok=True)


def _remove(place: Path, seconds: float) -> None:
    """Removes the folder of a pool once nobody uses it, if that is within so many seconds."""
    deadline = time.monotonic() + seconds
    while not _removed_if_unused(place) and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
    with suppress(OSError):
        place.parent.rmdir()


def _removed_if_unused(place: Path) -> bool:
    """Whether the folder is gone."""
    try:
        lock = os.open(place / _LOCK, os.O_RDWR)
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(place, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
