"""What lies in a folder of images: a tree of the image files, and of what is passed over and why.

A file is an image if it has the suffix of one or if Pillow recognises its first bytes. Folders that
systems make for themselves, such as the thumbnails of a file server, hold no images of the user.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from autospace.data.errors import DataError
from autospace.data.examples import Skipped
from autospace.data.readers.image_opening import HEIF_ADVICE, SUFFIXES, looks_like_heif, opens
from autospace.spaces.text import visible

_SYSTEM_FOLDERS = frozenset({
    "__macosx", "@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot", "@sharebin",
    "@tmp", "$recycle.bin", "$extend", "recycler", "system volume information", "lost+found",
    "found.000", "network trash folder", "temporary items", "temporaryitems", "__pycache__",
})  # fmt: skip
_SYSTEM_FILES = frozenset({
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r",
})  # fmt: skip

# A folder at a deeper level is a mistake, or a trap that a mount has made.
_DEEPEST = 64
_MOST_FILES = 20_000_000
_HEAD = 32
_LINKED = "links to folders"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An image file.

    Attributes:
        path: Where it is.
        size: Bytes.
        modified: Nanoseconds since the epoch.
    """

    path: str
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A file or folder that is not read.

    Attributes:
        path: Where it is.
        reason: A plural, such as `hidden files`.
    """

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder and all that lies below it.

    Attributes:
        name: Without the folders above.
        path: With them.
        images: Image files directly in it.
        folders: Sub-folders, by name; those of systems are left out.
        passed: What was passed over directly in it.
        total: Number of image files at any depth.
    """

    name: str
    path: str
    images: tuple[FoundFile, ...]
    folders: tuple["Folder", ...]
    passed: tuple[Passed, ...]
    total: int

    @property
    def holding(self) -> tuple["Folder", ...]:
        """The sub-folders that hold images at any depth."""
        return tuple(folder for folder in self.folders if folder.total)

    def every_image(self) -> list[FoundFile]:
        """The image files at any depth, by path."""
        found = [file for folder in self._tree() for file in folder.images]
        return sorted(found, key=lambda file: file.path)

    def every_passed(self) -> Iterator[Passed]:
        """What was passed over at any depth."""
        for folder in self._tree():
            yield from folder.passed

    def _tree(self) -> Iterator["Folder"]:
        yield self
        for folder in self.folders:
            yield from folder._tree()


def scan(root: Path) -> Folder:
    """Looks for images in a folder and below it.

    Links to folders are followed only where no images lie beside them, and never back up.

    Args:
        root: An existing folder.

    Raises:
        DataError: A folder cannot be listed, or there are too many files.
    """
    try:
        return _Scan(root).folder(str(root), root.name or str(root), (os.path.realpath(root),))
    except OSError as error:
        place = error.filename or root
        raise DataError(f"{place}: cannot be listed: {error.strerror or error}") from error


class _Scan:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._files = 0

    def folder(self, path: str, name: str, above: tuple[str, ...]) -> Folder:
        """Lists one folder; `above` holds the real places of it and of those that led to it."""
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        self._count(len(entries))
        images: list[FoundFile] = []
        passed: list[Passed] = []
        inner: list[os.DirEntry[str]] = []
        for entry in entries:
            if os.path.isdir(entry.path):  # A link to itself is no folder, and no error.
                inner.append(entry)
                continue
            found = _file(entry)
            if isinstance(found, FoundFile):
                images.append(found)
            else:
                passed.append(found)
        folders: list[Folder] = []
        for entry in inner:
            below = self._below(entry, above, beside=bool(images))
            if isinstance(below, Folder):
                folders.append(below)
            else:
                passed.append(below)
        total = len(images) + sum(folder.total for folder in folders)
        return Folder(name, path, tuple(images), tuple(folders), tuple(passed), total)

    def _below(
        self, entry: os.DirEntry[str], above: tuple[str, ...], *, beside: bool
    ) -> Folder | Passed:
        reason = _no_class(entry.name)
        if reason is None and entry.is_symlink() and (beside or _leads_back(entry.path, above)):
            reason = _LINKED
        if reason is None and len(above) > _DEEPEST:
            reason = f"folders below {_DEEPEST} others"
        if reason is not None:
            return Passed(entry.path, reason)
        return self.folder(entry.path, entry.name, (*above, os.path.realpath(entry.path)))

    def _count(self, files: int) -> None:
        self._files += files
        if self._files > _MOST_FILES:
            raise DataError(f"{self._root}: holds more than the {_MOST_FILES:,} files allowed")


def _no_class(name: str) -> str | None:
    if name.startswith("."):
        return "hidden folders"
    return "folders of the system" if name.casefold() in _SYSTEM_FOLDERS else None


def _leads_back(link: str, above: tuple[str, ...]) -> bool:
    # A link that leads back up would hold all the other folders, and itself.
    target = os.path.realpath(link)
    return any(place == target or place.startswith(target.rstrip(os.sep) + os.sep)
               for place in above)  # fmt: skip


def _file(entry: os.DirEntry[str]) -> FoundFile | Passed:
    if entry.name.startswith("."):
        return Passed(entry.path, "hidden files")
    if entry.name.casefold() in _SYSTEM_FILES:
        return Passed(entry.path, "files of the system")
    try:
        status = entry.stat()
    except OSError:  # A link to nowhere, or to itself.
        return Passed(entry.path, "links to nowhere")
    if not stat.S_ISREG(status.st_mode):  # A pipe must not be opened: it would wait.
        return Passed(entry.path, "special files")
    suffix = os.path.splitext(entry.name)[1].lower()
    if suffix not in SUFFIXES:
        reason = _no_image(entry.path, suffix)
        if reason is not None:
            return Passed(entry.path, reason)
    return FoundFile(entry.path, status.st_size, status.st_mtime_ns)


def _no_image(path: str, suffix: str) -> str | None:
    """Why a file without the suffix of an image is none; `None` if it is one all the same."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return "files that cannot be opened"
    if opens(path, head):
        return None
    if looks_like_heif(head):
        return f"HEIC images, {HEIF_ADVICE}"
    return f"{suffix} files" if suffix else "files without a suffix"


def grouped(passed: Iterable[Passed], root: Path, most: int = 3) -> tuple[Skipped, ...]:
    """Counts what was passed over by reason, with the first names of each.

    Args:
        passed: In any order.
        root: Names are given from here.
        most: How many names.
    """
    names: dict[str, list[str]] = {}
    for item in passed:
        names.setdefault(item.reason, []).append(visible(os.path.relpath(item.path, root)))
    return tuple(
        Skipped(reason, len(found), tuple(sorted(found)[:most]))
        for reason, found in sorted(names.items())
    )
