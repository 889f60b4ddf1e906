"""What runs on a node of a cluster: workers, and the files of a job that they share.

A folder belongs to the workers of one pool on one node. Each holds a lock on it as long as it
lives. The last worker that leaves removes the folder. If all were killed, the next worker on that
node does.
"""

import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from autospace.compute.device import available_bytes
from autospace.compute.ray_session import fetched
from autospace.compute.worker import Plain, Worker, encoded, found

_LOCK: Final = ".lock"
_ATTEMPTS: Final = 5


class RemoteWorker:
    """A worker of a cluster; its methods take and give JSON, and fetch files in pieces."""

    def __init__(self, name: str, thread_count: int, kind: str) -> None:
        """Prepares this process.

        Args:
            name: of the pool and the node.
            thread_count: threads of torch.
            kind: `cuda` for the GPU that Ray lets this process see; `cpu`.

        Raises:
            RunError: there is no GPU.
        """
        self._kind = kind
        self._worker = Worker(thread_count, None if kind == "cpu" else kind)
        self._files = NodeFiles(name)

    def hello(self, module: str, function: str) -> bytes:
        """What decides the last digits here, and the memory that is available."""
        rounding = found(module, function)(self._kind)
        return encoded({"rounding": rounding, "memory": available_bytes(self._kind)})

    def begin(self, header: bytes, contents: Sequence[Sequence[Any]]) -> None:
        """Begins a job.

        Args:
            header: the job, the names of its files, and their digest.
            contents: per file, references of Ray to its pieces. These are not arguments of their
                own, which Ray would bring to the node all at the same time, whether or not the
                node has the files.
        """
        given = json.loads(header)
        files = {
            name: fetched(pieces) for name, pieces in zip(given["files"], contents, strict=True)
        }
        self._worker.begin(given["job"], lambda: self._files.folder(given["digest"], files))

    def reply(self, request: bytes) -> bytes:
        """The result of a request or its error, and the messages about it."""
        messages: list[Plain] = []
        reply = self._worker.reply(json.loads(request), messages.append)
        return encoded({**reply, "messages": messages})

    def leave(self) -> None:
        """Removes the files of the jobs, unless other workers of the node need them."""
        self._files.leave()


class NodeFiles:
    """The folder of a pool on this node."""

    def __init__(self, name: str) -> None:
        """Joins the workers of the pool.

        Args:
            name: of the pool and the node.

        Raises:
            OSError: there is no place for files that only this user can change.
        """
        self._base = Path(tempfile.gettempdir()) / f"autospace-{os.getuid()}"
        self._place = self._base / name
        self._lock = self._joined()
        self._remove_abandoned()

    def folder(self, job: str, contents: Mapping[str, Iterable[Any]]) -> Path:
        """The folder of a job; the first worker writes the files, and others wait for it.

        Args:
            job: its name; equal names mean equal contents.
            contents: the bytes of every file in pieces, of which one at a time is taken and held.
        """
        folder = self._place / job
        folder.mkdir(mode=0o700, exist_ok=True)
        with (folder / _LOCK).open("wb") as writing:
            fcntl.flock(writing, fcntl.LOCK_EX)
            for name, content in contents.items():
                path = folder / name
                if not path.is_file():
                    part = folder / f".{name}.{os.getpid()}"
                    _write(part, content)
                    part.replace(path)
        return folder

    def leave(self) -> None:
        """Removes the folder, unless another worker still uses it."""
        os.close(self._lock)
        _remove_if_unused(self._place)
        with suppress(OSError):
            self._base.rmdir()

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
                _remove_if_unused(other)


def _write(path: Path, pieces: Iterable[Any]) -> None:
    with path.open("wb") as stream:
        for piece in pieces:
            stream.write(memoryview(piece))
            del piece  # before the next one is fetched


def _remove_if_unused(place: Path) -> None:
    try:
        lock = os.open(place / _LOCK, os.O_RDWR)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(place, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
