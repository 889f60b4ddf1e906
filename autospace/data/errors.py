"""The error that reading data can raise, and the bounds that keep reading safe."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from autospace.spaces.errors import AutospaceError
from autospace.spaces.text import shortened, visible

LARGEST_BYTES = 8 * 2**30
LARGEST_SIDE = 4096


class DataError(AutospaceError):
    """Data that cannot be used; the message is one line: path, problem, value, what is allowed."""

    def __init__(self, message: str) -> None:
        """Keeps the message on one printable line, whatever a file name contains.

        Args:
            message: What is wrong and what would be right.
        """
        super().__init__(visible(message))


class OtherKindError(DataError):
    """Data of another kind than was named; the message says which, and what to write."""


def no_file(path: Path | None) -> str:
    """Why something is no file that can be read: the words that follow its name."""
    if path is None or not path.exists():
        return "does not exist"
    return "is a folder" if path.is_dir() else "is not a regular file"


def check_bytes(where: str, shape: Sequence[int]) -> None:
    """Refuses an array of bytes that would not fit, before anything is allocated.

    Args:
        where: The path or source to name in the message.
        shape: Extent of every axis, in elements of one byte.

    Raises:
        DataError: The array would take more than `LARGEST_BYTES`.
    """
    # Extents come from untrusted headers: Python integers cannot overflow, numpy's can.
    size = math.prod(int(extent) for extent in shape)
    if size > LARGEST_BYTES:
        axes = "x".join(str(extent) for extent in shape)
        raise DataError(
            f"{where}: {axes} images take {size / 2**30:.1f} GiB; allowed: at most "
            f"{LARGEST_BYTES / 2**30:.0f} GiB; give a lower resolution or a limit"
        )


def check_sides(where: str, height: int, width: int) -> None:
    """Refuses image sides outside 1..`LARGEST_SIDE` pixels.

    Args:
        where: The path or source to name in the message.
        height: Pixels.
        width: Pixels.

    Raises:
        DataError: A side is out of bounds.
    """
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise DataError(
            f"{where}: image size {width}x{height} is out of bounds; "
            f"allowed: sides of 1 to {LARGEST_SIDE} pixels"
        )


def name_few(names: Iterable[str], most: int = 5, *, of: int | None = None) -> str:
    """Joins names for a one-line message, the first `most` of them and a count of the rest.

    Args:
        names: Any number of names; control characters are escaped.
        most: How many to spell out.
        of: How many there are, if `names` holds only the first ones.

    Returns:
        For example `a.jpg, b.jpg and 3 more`.
    """
    listed = [visible(name) for name in names]
    shown = ", ".join(listed[:most])
    left = (len(listed) if of is None else of) - min(most, len(listed))
    return f"{shown} and {left} more" if left else shown


def reason(error: Exception) -> str:
    """What another library says, for a one-line message: it may quote whole parts of a file."""
    return visible(shortened(str(error), 160))
