"""Checks of plain JSON values, and the limits on what a file or a value may hold.

The limits are far above what users need, and small enough to be handled.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from autospace.spaces.errors import SpaceError, shown

MAX_NAME: Final = 128
MAX_DESCRIPTION: Final = 1000
MAX_ID: Final = 64
MAX_LAYERS: Final = 128
MAX_CHANNELS: Final = 8192
MAX_RESOLUTION: Final = 4096
MAX_CLASSES: Final = 100_000
MAX_CANDIDATES: Final = 4096
MAX_PARENTS: Final = 8
MAX_GENERATION: Final = 10**9
MAX_COUNT: Final = 2**63 - 1
MAX_BYTES: Final = 32 * 1024 * 1024
# Python's TOML reader takes a hundred times longer than its JSON reader.
MAX_TOML_BYTES: Final = 256 * 1024
MAX_VALUES: Final = 1_000_000
MAX_CONTAINERS: Final = 250_000
MAX_ENTRIES: Final = 4096
MAX_INTEGER: Final = 2**64
MAX_DEPTH: Final = 32
MAX_PROVENANCE_DEPTH: Final = 16


def plain(value: Any, depth: int = MAX_DEPTH, entries: int = MAX_ENTRIES) -> Any:
    """A copy of a value in the types of JSON.

    Args:
        value: what to copy.
        depth: how many levels deep it may be.
        entries: the most that one list or object may hold.

    Raises:
        SpaceError: JSON, UTF-8 or the readers of other programs cannot represent the value.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise SpaceError("", f"{shown(value)}; allowed: integers of 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise SpaceError("", f"{value} is not a JSON number")
        return value
    if not isinstance(value, Mapping | list | tuple):
        raise SpaceError("", f"{shown(value)} is not a JSON value")
    if depth == 0:
        raise SpaceError("", "nested too deeply")
    if isinstance(value, Mapping):
        return _object(value, depth, entries)
    return _list(value, depth, entries)


def check_text(path: str, value: object, most: int, least: int = 1) -> None:
    """Refuses anything but a string of `least` to `most` printable characters."""
    fits = isinstance(value, str) and least <= len(value) <= most and value.isprintable()
    if not fits:
        raise SpaceError(path, f"{shown(value)}; allowed: {least} to {most} printable characters")


def check_integer(path: str, value: object, low: int, high: int) -> None:
    """Refuses anything but an integer from low to high."""
    if type(value) is not int or not low <= value <= high:
        raise SpaceError(path, f"{shown(value)}; allowed: {low} to {high}")


def _object(value: Mapping[Any, Any], depth: int, entries: int) -> dict[str, Any]:
    if len(value) > entries:
        raise SpaceError("", f"an object of {len(value)} keys; allowed: up to {entries}")
    result = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise SpaceError("", f"key {shown(key)}; allowed: strings")
        try:
            result[_encodable(key)] = plain(item, depth - 1, entries)
        except SpaceError as error:
            raise error.under(key or '""') from None
    return result


def _list(value: Sequence[Any], depth: int, entries: int) -> list[Any]:
    if len(value) > entries:
        raise SpaceError("", f"a list of {len(value)} values; allowed: up to {entries}")
    result = []
    for index, item in enumerate(value):
        try:
            result.append(plain(item, depth - 1, entries))
        except SpaceError as error:
            raise error.under(f"[{index}]") from None
    return result


def _encodable(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise SpaceError("", f"{shown(text)} has half a character (a lone surrogate)") from None
    return str(text)
