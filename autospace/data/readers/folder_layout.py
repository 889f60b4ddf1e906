"""Which folders are splits and which are classes, and the image files of each.

People name their splits in many ways. A folder is a split if its name says so and it holds folders
of images. Where every class holds the splits instead, the two are exchanged. Other folders that
hold the same folders are never classes: without names that say which of them is what, that is an
error which shows what was seen.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path, PurePath
from typing import Final

import numpy as np
import torch

from autospace.data.errors import DataError, name_few
from autospace.data.examples import Skipped
from autospace.data.readers.folder_scan import Folder, Passed, grouped, scan
from autospace.data.readers.image_opening import InArchive
from autospace.data.request import Request
from autospace.data.splits import Role, limit_indices, role_of, split_test


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image file.

    Attributes:
        path: Where it is.
        label: Index of its class.
        size: Bytes.
        modified: Nanoseconds since the epoch.
        inside: Where its bytes are, if it lies in an archive; `path` then is a name.
    """

    path: str
    label: int
    size: int
    modified: int
    inside: InArchive | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The image files of a data set.

    Attributes:
        root: The folder.
        classes: Class names, sorted.
        train: Training files, by class, then by name.
        test: Test files, likewise.
        notes: Remarks for a person.
        skipped: What was not read.
        drawn: The test files were held out of all files: there is no test split.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[ImageFile, ...]
    test: tuple[ImageFile, ...]
    notes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    drawn: bool = False


@dataclass(frozen=True, slots=True)
class _Layout:
    """The folders that hold the classes, and remarks on how they were found."""

    train: Folder
    test: Folder | None
    notes: tuple[str, ...]


def list_folder(root: Path, request: Request) -> Listing:
    """Finds the image files of `root`, no more than the limit of the request.

    A class is a sub-folder of the training and test folders, or of `root` itself, and may have
    training and test folders of its own. Without a test folder the validation folder is the test
    split, and without that a fixed, stratified fifth of the files. The files of a class lie at any
    depth below its folder.

    Args:
        root: The folder.
        request: Limit and seed are used.

    Returns:
        The files.

    Raises:
        DataError: Not a folder, an ambiguous layout, fewer than two classes, an empty class, or
            splits whose classes differ.
    """
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root}: {problem}; allowed: a folder with one sub-folder per class")
    tree = scan(root)
    layout = _layout(root, tree)
    classes, train = _files(layout.train)
    notes, skipped = layout.notes, grouped(_passed(tree, layout), root)
    notes += _told(skipped)
    if layout.test is None:
        every = len(train)
        train, test = held_out(train, layout.train.path)
        notes += (f"no test folder: {len(test)} of {every} images are held out",)
    else:
        test_classes, test = _files(layout.test)
        _compare(root, layout, classes, test_classes)
    limited = limit_files(train, request), limit_files(test, request)
    return Listing(root, classes, *limited, notes, skipped, layout.test is None)


def held_out(
    files: tuple[ImageFile, ...], where: object
) -> tuple[tuple[ImageFile, ...], tuple[ImageFile, ...]]:
    """The training and test files of a data set that comes without a test split.

    Args:
        files: All of them.
        where: What the error names.

    Raises:
        DataError: No class has the two examples that a split needs.
    """
    kept, chosen = split_test(_labels(files), where)
    return tuple(files[index] for index in kept), tuple(files[index] for index in chosen)


def _layout(root: Path, tree: Folder) -> _Layout:
    place = _through(tree)
    notes: tuple[str, ...] = () if place is tree else (f"read from {_relative(root, place)}/",)
    place = _splits_above_classes(place) or place
    roles = [(folder, role_of(folder.name)) for folder in place.folders]
    train = [folder for folder, role in roles if role == "train" and _holds_classes(folder)]
    if not train:
        _check_classes(root, place, roles)
        return _Layout(place, None, notes)
    chosen = _only(root, "training", train)
    known = frozenset(folder.name for folder in _through(chosen, splits=True).folders)
    roles = [(folder, role) for folder, role in roles if folder is chosen or _tests(folder, known)]
    test, more = _test_folder(root, roles)
    unread = [folder for folder in place.folders if folder.total and folder not in (chosen, test)]
    notes += more + tuple(_not_read(root, folder, known) for folder in unread)
    inner = None if test is None else _through(test, splits=True)
    return _Layout(_through(chosen, splits=True), inner, notes)


_UNLABELLED: Final = frozenset(
    {"all", "data", "image", "images", "img", "imgs", "unknown", "unlabeled", "unlabelled"}
)
"""Names of folders that hold images of no known class."""


def _tests(folder: Folder, classes: Collection[str]) -> bool:
    """Whether a folder may be a split with these classes.

    The test images of a competition lie in one folder that is no class: `test/test/1.jpg`.
    """
    inner = _through(folder, splits=True).holding
    if len(inner) != 1 or inner[0].name in classes:
        return True
    names = PurePath(inner[0].path).relative_to(folder.path).parts
    return not any(role_of(name) or name.casefold() in _UNLABELLED for name in names)


def _through(folder: Folder, *, splits: bool = False) -> Folder:
    """Below folders that hold one folder of folders and no image: archives unpack so.

    Args:
        folder: Where to begin.
        splits: Go below a folder that is named like a training split, too.
    """
    while not folder.images and len(folder.holding) == 1:
        (inner,) = folder.holding
        if inner.images or (not splits and role_of(inner.name) == "train"):
            break
        folder = inner
    return folder


def _splits_above_classes(place: Folder) -> Folder | None:
    """The same images with splits above classes, where every class holds folders of splits.

    What is passed over in a class counts to its training part.
    """
    classes = place.holding
    parts = [{role_of(part.name): part for part in each.holding} for each in classes]
    if len(classes) < 2 or not all(map(_is_class_of_splits, classes, parts)):
        return None
    first = parts[0]
    splits: dict[str, list[Folder]] = {}
    for each, found in zip(classes, parts, strict=True):
        for role, part in found.items():
            name = first.get(role, part).name
            beside = each.passed if role == "train" else ()
            splits.setdefault(name, []).append(
                replace(part, name=each.name, passed=(*beside, *part.passed))
            )
    # A class without images is an error in the splits, as it is elsewhere.
    empty = [each for each in place.folders if not each.total]
    return replace(
        place, folders=tuple(_split(place, name, own + empty) for name, own in splits.items())
    )


def _is_class_of_splits(folder: Folder, parts: Mapping[Role | None, Folder]) -> bool:
    """Whether a folder that is named like no split holds nothing but images in splits."""
    apart = len(parts) == len(folder.holding) > 1 and None not in parts
    plain = apart and not any(part.holding for part in parts.values())
    return plain and "train" in parts and not folder.images and role_of(folder.name) is None


def _split(place: Folder, name: str, classes: Sequence[Folder]) -> Folder:
    total = sum(each.total for each in classes)
    ordered = tuple(sorted(classes, key=lambda each: each.name))
    return Folder(name, f"{place.path}/{name}", (), ordered, (), total)


def _holds_classes(folder: Folder) -> bool:
    return len(folder.holding) > 1 or bool(folder.holding and not folder.images)


def _test_folder(
    root: Path, roles: Sequence[tuple[Folder, Role | None]]
) -> tuple[Folder | None, tuple[str, ...]]:
    tests, validations = (
        [folder for folder, role in roles if role == wanted and _holds_classes(folder)]
        for wanted in ("test", "validation")
    )
    if tests:
        return _only(root, "test", tests), ()
    if validations:
        found = _only(root, "validation", validations)
        return found, (f"{found.name}/ is the test split",)
    return None, ()


def _only(root: Path, what: str, folders: Sequence[Folder]) -> Folder:
    if len(folders) > 1:
        names = name_few(f"{_relative(root, folder)}/" for folder in folders)
        raise DataError(
            f"{root}: has {len(folders)} {what} folders ({names}); allowed: one of each kind"
        )
    return folders[0]


def _not_read(root: Path, folder: Folder, classes: Collection[str]) -> str:
    divided = _holds_classes(folder) and _tests(folder, classes)
    why = "" if divided else "without class folders, "
    return f"{_relative(root, folder)}/ is not read ({why}{folder.total} images)"


def _check_classes(root: Path, place: Folder, roles: Sequence[tuple[Folder, Role | None]]) -> None:
    """Refuses sub-folders that are no classes."""
    alike = _same_folders(place.holding)
    if alike:
        first, second, shared = alike
        raise DataError(
            f"{place.path}: {first.name}/ and {second.name}/ hold the same folders "
            f"({name_few(shared)}), so they are no classes; allowed: folders named train and "
            f"test, or one of them: folder:{root / _relative(root, first)}"
        )
    unlike = _with_other_splits(place.holding)
    if unlike is not None:
        raise DataError(
            f"{place.path}: classes hold folders of splits, but {unlike.name}/ not the same ones, "
            "or something beside them; allowed: folders named train and test in every class"
        )
    found = {role: folder for folder, role in roles if folder.total and role is not None}
    if "train" in found and len(found) > 1:
        names = " and ".join(f"{folder.name}/" for folder in found.values())
        raise DataError(
            f"{place.path}: {names} hold images, and no class folders; allowed: one sub-folder "
            "per class in each of them"
        )


def _with_other_splits(classes: Sequence[Folder]) -> Folder | None:
    """A class whose images would be mixed although folders of several splits lie in classes."""
    roles = [[role_of(part.name) for part in each.holding] for each in classes]
    every = {role for found in roles for role in found} - {None}
    if not {"train"} < every:
        return None
    for each, found in zip(classes, roles, strict=True):
        if each.images or len(found) != len(set(found)) or set(found) != every:
            return each
    return None


def _same_folders(folders: Iterable[Folder]) -> tuple[Folder, Folder, list[str]] | None:
    # One name in common, such as `images`, may well lie in every class.
    sets = [
        (folder, {below.name.casefold() for below in folder.holding})
        for folder in folders
        if not folder.images and len(folder.holding) > 1
    ]
    for (first, names), (second, others) in combinations(sets, 2):
        shared = sorted(names & others)
        if len(shared) > 1:
            return first, second, shared
    return None


def _files(place: Folder) -> tuple[tuple[str, ...], tuple[ImageFile, ...]]:
    names = tuple(folder.name for folder in place.folders)
    if len(names) < 2:
        found = f"one class folder ({names[0]})" if names else "no class folders"
        raise DataError(f"{place.path}: has {found}; allowed: two or more sub-folders of images")
    empty = [folder for folder in place.folders if not folder.total]
    if empty:
        raise DataError(
            f"{place.path}: no images in class {name_few(folder.name for folder in empty)}"
            f"{_instead(empty[0])}; allowed: image files in every class folder"
        )
    files = (
        ImageFile(found.path, label, found.size, found.modified)
        for label, folder in enumerate(place.folders)
        for found in folder.every_image()
    )
    return names, tuple(files)


def _instead(folder: Folder) -> str:
    found = grouped(folder.every_passed(), Path(folder.path))
    listed = ", ".join(f"{each.count} {each.reason}" for each in found)
    return f" (which holds {listed})" if listed else ""


def _passed(tree: Folder, layout: _Layout) -> Iterator[Passed]:
    """What was passed over, and images that lie where no class is."""
    parts = [layout.train] if layout.test is None else [layout.train, layout.test]
    yield from _beside(tree, {part.path for part in parts})
    for part in parts:
        yield from part.every_passed()
        yield from (Passed(file.path, _LOOSE) for file in part.images)


_LOOSE = "images outside of the class folders"


def _beside(folder: Folder, parts: set[str]) -> Iterator[Passed]:
    if folder.path in parts:
        return
    yield from folder.passed
    yield from (Passed(file.path, _LOOSE) for file in folder.images)
    for below in folder.folders:
        if any(Path(part).is_relative_to(below.path) for part in parts):
            yield from _beside(below, parts)


def _told(skipped: Sequence[Skipped]) -> tuple[str, ...]:
    return tuple(
        f"not read: {each.reason} ({each.count}): {name_few(each.examples, of=each.count)}"
        for each in skipped
    )


def _compare(root: Path, layout: _Layout, train: tuple[str, ...], test: tuple[str, ...]) -> None:
    only_train, only_test = sorted(set(train) - set(test)), sorted(set(test) - set(train))
    if layout.test is not None and (only_train or only_test):
        one, two = (f"{_relative(root, part)}/" for part in (layout.train, layout.test))
        raise DataError(
            f"{root}: {one} and {two} have different classes; only in {one}: "
            f"{name_few(only_train) or 'none'}; only in {two}: {name_few(only_test) or 'none'}"
        )


def _relative(root: Path, folder: Folder) -> str:
    return Path(folder.path).relative_to(root).as_posix()


def _labels(files: tuple[ImageFile, ...]) -> torch.Tensor:
    return torch.from_numpy(np.array([file.label for file in files], dtype=np.int64))


def limit_files(files: tuple[ImageFile, ...], request: Request) -> tuple[ImageFile, ...]:
    """A stratified sample of the files, as many as the request allows."""
    if request.limit is None or len(files) <= request.limit:
        return files
    return tuple(files[i] for i in limit_indices(_labels(files), request.limit, request.seed))
