"""Writes files so that a reader sees the old text or the new one, never a part of it.

Files that a resumed run believes are sealed: they end with a SHA-256 of all that stands before it.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from autospace.runs.errors import RoomError

PART: Final = ".part"
"""The names of unfinished files and folders begin with a dot and end so."""
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES}
"""What file systems answer that cannot flush a folder: CIFS, and some in user space."""
_SEAL: Final = re.compile(r',"sha256":"[0-9a-f]{64}"}\n\Z')
SEALED: Final = "sha256"
"""The last key of a sealed file."""


def write_atomically(path: Path, content: bytes | str, *, keep_mode: bool = False) -> None:
    """Replaces a file's content: written beside it, flushed to disk, renamed over it.

    Args:
        path: the file. A link, or whatever else has this name, is replaced by a file.
        content: all of it.
        keep_mode: whether a file that is there keeps its permissions.

    Raises:
        OSError: the folder is not there or cannot be written; the old content is untouched.
    """
    raw = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.parent / f".{secrets.token_hex(8)}{PART}"
    try:
        # Opened like any file of the user, so that it is as readable as any.
        mode = _mode(path) if keep_mode else None
        with open(temporary, "xb", opener=partial(_opened, mode=mode)) as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):  # a file system that is read-only refuses this, too
            temporary.unlink(missing_ok=True)
        # The user knows the file by its own name, not by the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _mode(path: Path) -> int | None:
    """The permissions of a file that is there."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _opened(name: str, flags: int, mode: int | None) -> int:
    """A new file, which never has more permissions than it is to have."""
    if mode is None:
        return os.open(name, flags, 0o666)
    number = os.open(name, flags, mode)
    if hasattr(os, "fchmod"):
        with suppress(OSError):  # a file system without permissions
            os.fchmod(number, mode)
    return number


def write_output(path: Path, content: bytes | str) -> None:
    """Writes a file that the user named, atomically; in a run folder, `write_atomically` does.

    A link stays and its target is written, and a file that is there keeps its permissions. What is
    no file, such as `/dev/null` or a named pipe, is written into and never replaced.

    Raises:
        OSError: the file cannot be written.
    """
    raw = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if is_stream(path):
            with path.open("wb") as stream:
                stream.write(raw)
        elif path.exists() and not path.is_file():
            code = errno.EISDIR if path.is_dir() else errno.EINVAL
            raise OSError(code, os.strerror(code))
        else:
            write_atomically(Path(os.path.realpath(path)), raw, keep_mode=True)
    except BrokenPipeError:
        raise  # the reader has seen enough, as one of stdout may have
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def is_stream(path: Path) -> bool:
    """Whether a path leads to a device such as a terminal, a pipe or a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def append_line(path: Path, line: str, *, durable: bool = False) -> None:
    """Adds a line to a file; a durable one is flushed to disk and outlasts a power cut.

    Raises:
        OSError: the file cannot be written; a part of the line may be there.
    """
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(line)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
    except OSError as error:
        # Errors of a write do not say which file it was.
        raise OSError(error.errno, error.strerror, str(path)) from None


def sealed(text: str) -> str:
    """A JSON object that is not empty, with the SHA-256 of its text as its last key.

    The seal is over the text, not over the values: a changed byte is noticed wherever it is.
    """
    body = text.rstrip().removesuffix("}").rstrip()
    return f'{body},"{SEALED}":"{_digest(body)}"}}\n'


def is_sealed(text: str) -> bool:
    """Whether a text is as `sealed` made it."""
    found = _SEAL.search(text)
    return found is not None and text == sealed(text[: found.start()] + "}")


def unlike_sealed(text: str) -> str:
    """What is wrong with a text that is not as `sealed` made it, for a message."""
    return "is not what was written" if _SEAL.search(text) else "has no SHA-256"


def _digest(text: str) -> str:
    # Of half a character too: a damaged text is no reason to fail.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def remove_parts(folder: Path, *, folders: bool = False) -> None:
    """Removes the files that a killed process has left; no other process may be writing there.

    Args:
        folder: that holds them.
        folders: whether unfinished folders go, too.
    """
    for left in folder.glob(f".*{PART}"):
        if left.is_symlink() or not left.is_dir():
            left.unlink(missing_ok=True)
        elif folders:
            shutil.rmtree(left, ignore_errors=True)


def check_room_for(size: int, folder: Path) -> None:
    """Refuses a copy of the data, for workers, where there is no room for it.

    Args:
        size: of the copy, in bytes.
        folder: where it would be written; it exists.

    Raises:
        RoomError: the disk is too small.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise RoomError(
            f"{folder}: workers need a copy of the data there, which takes {size / 2**30:.1f} "
            f"GiB, and {free / 2**30:.1f} GiB are free; allowed: less data, "
            "more room, or one worker"
        )


def _sync_folder(folder: Path) -> None:
    # The rename itself is only durable once the folder is; not every system can open one.
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        with suppress(OSError):
            os.close(descriptor)
