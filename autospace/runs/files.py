"""Writes files so that a reader sees the old text or the new one, never a part of it."""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

_PART = ".part"
_NO_FOLDER_SYNC: Final = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES}
"""What file systems answer that cannot flush a folder: CIFS, and some in user space."""


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replaces a file's content: written beside it, flushed to disk, renamed over it.

    Raises:
        OSError: the folder is not there or cannot be written; the old content is untouched.
    """
    raw = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.parent / f".{secrets.token_hex(8)}{_PART}"
    try:
        # Opened like any file of the user, so that it is as readable as any.
        with temporary.open("xb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        # The user knows the file by its own name, not by the temporary one.
        raise OSError(error.errno, error.strerror, str(path)) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


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


def remove_parts(folder: Path) -> None:
    """Removes the partial files of a killed process; no other process may be writing there."""
    for left in folder.glob(f".*{_PART}"):
        left.unlink(missing_ok=True)


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
