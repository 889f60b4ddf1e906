"""What the user states about an imported file, and a reader of its objects that checks every key.

A key that is not read might mean something that our networks cannot express. So every key is read,
compared with the one value that our networks have, or declared irrelevant; any other key is an
error.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from autospace.spaces import (
    Candidate,
    Cell,
    Origin,
    Skeleton,
    Space,
    SpaceError,
    canonical_key,
    load_skeleton,
    mbconv,
)
from autospace.spaces.cells.cell import MAX_EXPANSION
from autospace.spaces.cells.mobile import SKIPPED
from autospace.spaces.checks import check_integer
from autospace.spaces.errors import join_path, offered, shown
from autospace.spaces.files.library import NO_SPACE


def warned(text: str) -> None:
    """Issues a note as a warning of Python."""
    warnings.warn(text, stacklevel=2)


@dataclass(frozen=True, slots=True)
class Target:
    """What the user states about a file and the file itself does not state.

    Attributes:
        skeleton: the network around the cells; None for the default one of the format.
        resolution: side of the images in pixels; None for that of the skeleton.
        space: what the ids in a client's result refer to.
        trial: which of several trials in a client's result is meant: an id, `max` or `min` by
            value, or `max:KEY` and `min:KEY` by a number of that name.
        note: is told what was passed over; by default a warning of Python.
    """

    skeleton: Skeleton | None = None
    resolution: int | None = None
    space: Space | None = None
    trial: str | None = None
    note: Callable[[str], None] = warned

    def skeleton_or(self, usual: str) -> Skeleton:
        """The skeleton that was given, or a built-in one, at the resolution that was given."""
        skeleton = self.skeleton or load_skeleton(usual)
        return (
            skeleton if self.resolution is None else replace(skeleton, resolution=self.resolution)
        )

    @property
    def given_space(self) -> Space:
        """The space.

        Raises:
            SpaceError: none was given.
        """
        if self.space is None:
            raise SpaceError("", NO_SPACE)
        return self.space


def check_kind(skeleton: Skeleton, *kinds: str) -> None:
    """Refuses a skeleton whose cells are of another kind than these.

    Raises:
        SpaceError: it is such a skeleton.
    """
    if skeleton.kind not in kinds:
        problem = f"{shown(skeleton.name)} is for {skeleton.kind} cells"
        raise SpaceError("skeleton", f"{problem}; allowed: one for {' or '.join(kinds)} cells")


KERNELS: Final = (3, 5, 7)
_NAMES: Final = {
    canonical_key(SKIPPED): "skip",
    **{
        canonical_key(mbconv(kernel, expansion)): f"mbconv_k{kernel}_e{expansion}"
        for kernel in KERNELS
        for expansion in range(1, MAX_EXPANSION + 1)
    },
}


def imported(cell: Cell, otherwise: str) -> Candidate:
    """A cell as a candidate, under the id of the built-in spaces if they have this function."""
    return Candidate(_NAMES.get(canonical_key(cell), otherwise), cell, None, Origin("imported"))


Value = TypeVar("Value")
_REQUIRED: Final = object()


class Fields:
    """The keys of an object, each read once; `finish` refuses keys that were not read."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise SpaceError(path, f"{shown(value)}; allowed: an object")
        self.path = path
        self._known: list[str] = []
        self._left: dict[str, object] = dict(value)

    def at(self, key: str) -> str:
        """Path of a key, for messages."""
        return join_path(self.path, key)

    def has(self, key: str) -> bool:
        """Whether the object has this key and it was not read yet."""
        return key in self._left

    def take(self, key: str, default: object = _REQUIRED) -> object:
        """The value of a key, whatever it is.

        Raises:
            SpaceError: the key is missing and there is no default.
        """
        self._known.append(key)
        if key in self._left:
            return self._left.pop(key)
        if default is _REQUIRED:
            raise SpaceError(self.at(key), "missing key")
        return default

    def integer(self, key: str, low: int, high: int, default: object = _REQUIRED) -> int:
        """A whole number from low to high."""
        value = self.take(key, default)
        check_integer(self.at(key), value, low, high)
        return value if isinstance(value, int) else low

    def among(self, key: str, allowed: Sequence[Value], default: object = _REQUIRED) -> Value:
        """One of the allowed values; 1 is neither True nor 1.0 here."""
        value = self.take(key, default)
        for each in allowed:
            if type(value) is type(each) and value == each:
                return each
        known = offered(value, map(str, allowed), ", ".join(map(shown, allowed)))
        raise SpaceError(self.at(key), f"{shown(value)}; {known}")

    def fixed(self, **values: object) -> None:
        """Checks that these keys, if present, have the one value that our networks have."""
        for key, value in values.items():
            self.among(key, [value], default=value)

    def ignore(self, *keys: str) -> None:
        """Declares that these keys, if present, change neither function nor cost."""
        for key in keys:
            self.take(key, None)

    def finish(self) -> None:
        """Refuses keys that were not read.

        Raises:
            SpaceError: a key was not read; the message names the first one and the known keys.
        """
        for key in self._left:
            known = offered(key, dict.fromkeys(self._known))
            raise SpaceError(self.at(key or '""'), f"unknown key; {known}")
