"""Reads `shards:PATTERN`: tar archives of images and labels, as WebDataset writes them.

Files with one key, the name up to its first dot, are a sample: `0001.jpg` and `0001.cls`. The name
of a shard says its split, as that of a folder does; if no name does, the folders of the shards say
it. Images are decoded from where they lie.
"""

import os
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from itertools import islice, pairwise
from pathlib import Path
from typing import BinaryIO, Final

from autospace.data.errors import DataError, name_few, no_file, reason
from autospace.data.examples import DataSet, Skipped
from autospace.data.readers.folder_layout import ImageFile, Listing, held_out, limit_files
from autospace.data.readers.image_folder import read_listed
from autospace.data.readers.image_opening import SUFFIXES, InArchive
from autospace.data.request import Request, Source
from autospace.data.splits import Role, role_of
from autospace.spaces.files.reading import parse_json
from autospace.spaces.text import plural, visible

_MOST_SHARDS: Final = 100_000
_LONGEST_LABEL: Final = 200
_LABELS: Final = ("cls", "label", "txt", "json")
"""Suffixes of labels, the first that a sample has counts."""
_IN_JSON: Final = ("cls", "label", "class")
_READ: Final[tuple[Role, ...]] = ("train", "test", "validation")
"""What is read. The validation split is it only where no test image has a label."""
_NO_IMAGE: Final = "samples without an image"
_NO_LABEL: Final = "samples without a label (.cls)"


def read_shards(source: Source, request: Request) -> DataSet:
    """Reads the shards that a pattern names, or the `.tar` files of a folder.

    Args:
        source: Has the pattern: `train-{000..099}.tar`, `*.tar`, or a folder.
        request: Everything is used.

    Returns:
        The data set. Samples that lack something are left out and counted.

    Raises:
        DataError: There are no shards, or one is damaged or compressed; fewer than two classes;
            splits whose classes differ; too many unreadable images.
    """
    if source.path is None:
        raise DataError("shards: names no path; allowed: shards:PATTERN")
    return read_listed(source, list_shards(str(source.path), request), request)


def list_shards(pattern: str, request: Request) -> Listing:
    """Finds the images of the shards; see `read_shards`."""
    paths = matching(pattern)
    splits = _splits(pattern, paths)
    found: dict[Role, list[_Sample]] = {}
    lost: Counter[str] = Counter()
    names: dict[str, list[str]] = {}
    done: set[Path] = set()
    for role in _READ:
        if role == "validation" and "test" in found:
            break
        for path in splits.get(role, ()):
            own: dict[str, list[str]] = {}
            for sample in _samples(path):
                if isinstance(sample, _Sample):
                    found.setdefault(role, []).append(sample)
                else:
                    own.setdefault(sample.reason, []).append(sample.key)
            _check_together(path, own)
            for reason_, keys in own.items():
                lost[reason_] += len(keys)
                names.setdefault(reason_, []).extend(keys)
            done.add(path)
            request.tick(len(done), len(paths))
    request.tick(len(paths), len(paths))
    below = {path: each.as_posix() for path, each in _below(paths).items()}
    notes: tuple[str, ...] = ()
    lacking = "no test shards"
    if "validation" in found:
        found["test"] = found.pop("validation")
        notes = (f"{name_few(below[path] for path in splits['validation'])}: the test split",)
    elif "test" in splits and "test" not in found:
        notes = (f"{name_few(below[path] for path in splits['test'])}: no labels",)
        lacking = "no labelled test shards"
    if unread := [below[path] for path in paths if path not in done]:
        notes += (f"not read: {name_few(unread)}",)
    skipped = tuple(Skipped(why, lost[why], tuple(names[why][:10])) for why in sorted(lost))
    notes += tuple(f"not read: {each.reason} ({each.count}): "
                   f"{name_few(each.examples, of=each.count)}" for each in skipped)  # fmt: skip
    several = sum(each.several for samples in found.values() for each in samples)
    if several:
        which = "the one with the shortest suffix is read"
        notes += (f"{plural(several, 'sample')} with several images: {which}",)
    return _listing(pattern, found, request, notes, skipped, lacking)


def _check_together(path: Path, lost: Mapping[str, Sequence[str]]) -> None:
    """Refuses a shard that has the image and the label of a sample at different places."""
    apart = set(lost.get(_NO_IMAGE, ())) & set(lost.get(_NO_LABEL, ()))
    if apart:
        problem = f"files of {plural(len(apart), 'sample')} do not follow each other"
        advice = "allowed: archives sorted by name, as WebDataset writes them"
        raise DataError(f"{path}: {problem}: {name_few(sorted(apart), 2)}; {advice}")


def matching(pattern: str) -> list[Path]:
    """The shards that a pattern names, sorted.

    Args:
        pattern: A folder, a file, or a name with `*`, `?`, `[...]` and ranges or lists in braces,
            such as `{000..099}` and `{train,val}`. What is there under the very name means itself,
            folders above a pattern, too.

    Raises:
        DataError: There are none, or one that is written out is missing.
    """
    folder, rest = _there(Path(pattern))
    if rest:
        found = [_meant(folder, each) for each in expanded(rest)]
        paths = [folder / name for each in found for name in sorted(each)]
    elif folder.is_dir():
        named = sorted(folder.glob("*.[tT][aA][rR]"))
        paths = [path for path in named if not path.name.startswith(".")]
    else:
        paths = [folder]
    if not paths:
        raise DataError(f"{pattern}: no .tar files; allowed: a folder or pattern of shards")
    missing = [path for path in paths if not path.is_file()]
    if missing:
        names = name_few(map(str, missing))
        raise DataError(f"{names}: {no_file(missing[0])}; allowed: shards that exist")
    return sorted(set(paths))


def _there(pattern: Path) -> tuple[Path, str]:
    """The part of a pattern that is there as it is written, and the rest, which may be empty."""
    for place in (pattern, *pattern.parents):
        # Unlike the method of paths, this takes names that are too long for the system.
        if os.path.exists(place):
            rest = pattern.relative_to(place).as_posix()
            return place, "" if rest == "." else rest
    return Path(), str(pattern)


def _meant(folder: Path, name: str) -> list[str]:
    """The names below a folder that one without braces stands for."""
    if not has_magic(name) or (folder / name).exists():
        return [name]
    return glob(name, root_dir=folder)


def expanded(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for, as in a shell.

    Raises:
        DataError: They are too many, or a range is no range.
    """
    # One after the other: two ranges alone may stand for more names than memory holds.
    every = list(islice(_names(pattern, pattern), _MOST_SHARDS + 1))
    if len(every) > _MOST_SHARDS:
        raise DataError(f"{pattern}: too many shards; allowed: at most {_MOST_SHARDS:,}")
    return every


def _names(pattern: str, rest: str) -> Iterator[str]:
    """The names that the rest of a pattern stands for; braces may hold braces."""
    before, brace, text = rest.partition("{")
    commas, depth = [-1], 1
    for place, char in enumerate(text if brace else ""):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0:
            break
        if char == "," and depth == 1:
            commas.append(place)
    else:
        yield rest
        return
    parts = [text[a + 1 : b] for a, b in pairwise([*commas, place])]
    for middle in _list(pattern, parts) if len(parts) > 1 else _alone(pattern, parts[0]):
        for after in _names(pattern, text[place + 1 :]):
            yield before + middle + after


def _list(pattern: str, parts: Sequence[str]) -> Iterator[str]:
    return (name for part in parts for name in _names(pattern, part))


def _alone(pattern: str, text: str) -> Iterator[str]:
    """What braces without a comma stand for: a range, or themselves."""
    numbers = re.fullmatch(r"(\d{1,9})\.\.(\d{1,9})(?:\.\.(\d{1,9}))?", text)
    letters = re.fullmatch(r"([a-z])\.\.([a-z])(?:\.\.(\d{1,9}))?", text, re.IGNORECASE)
    if numbers is not None:
        first, last, step = numbers.groups()
        padded = any(len(each) > 1 and each[0] == "0" for each in (first, last))
        width = max(len(first), len(last)) if padded else 0
        every = _from_to(int(first), int(last), step)
        if len(every) > _MOST_SHARDS:
            problem = f"{text} is no range of at most {_MOST_SHARDS:,} shards"
            raise DataError(f"{pattern}: {problem}; allowed: such as 000..099")
        yield from (str(number).zfill(width) for number in every)
    elif letters is not None:
        first, last, step = letters.groups()
        yield from map(chr, _from_to(ord(first), ord(last), step))
    else:
        yield from (f"{{{inside}}}" for inside in _names(pattern, text))


def _from_to(first: int, last: int, step: str | None) -> range:
    """Both ends among them, up or down; a step of 0 is one of 1."""
    by = max(1, int(step or 1))
    return range(first, last + 1, by) if first <= last else range(first, last - 1, -by)


def _splits(pattern: str, paths: Sequence[Path]) -> dict[Role | None, list[Path]]:
    """The shards by split, those that name none under None; all are for training if none does."""
    below = _below(paths)
    by_role: dict[Role | None, list[Path]] = {}
    for path, role in _roles(below).items():
        by_role.setdefault(role, []).append(path)
    if "train" in by_role:
        return by_role
    if len(by_role) > 1 or None not in by_role:
        names = name_few(below[path].as_posix() for path in paths)
        raise DataError(
            f"{pattern}: no shard is named as training ({names}); allowed: names such as "
            "train-000.tar or train/000.tar, or none that name a split"
        )
    return {"train": by_role[None]}


def _below(paths: Sequence[Path]) -> dict[Path, Path]:
    """Where each shard lies, seen from the folder that holds them all."""
    whole = [Path(os.path.abspath(path)) for path in paths]
    root = os.path.commonpath([path.parent for path in whole])
    return {path: each.relative_to(root) for path, each in zip(paths, whole, strict=True)}


def _roles(below: Mapping[Path, Path]) -> dict[Path, Role | None]:
    """The split of each shard, by its name; if no name says one, by the nearest folder that does.

    Folders that hold all shards do not tell them apart, so they are not asked.
    """
    roles = {path: role_of(path.stem) for path in below}
    if not any(roles.values()):
        for path, inner in below.items():
            said = (role_of(folder.name) for folder in inner.parents)
            roles[path] = next((role for role in said if role is not None), None)
    return roles


@dataclass(frozen=True, slots=True)
class _Sample:
    """An image and its label, as text; whether there were several images."""

    name: str
    label: str
    inside: InArchive
    modified: int
    several: bool


@dataclass(frozen=True, slots=True)
class _Lost:
    """A sample that lacks something."""

    key: str
    reason: str


def _samples(path: Path) -> Iterator["_Sample | _Lost"]:
    """The samples of a shard, in order. Their files follow each other."""
    modified = path.stat().st_mtime_ns
    key, group = "", dict[str, tarfile.TarInfo]()
    try:
        with open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                if not member.isreg() or not stem:
                    continue
                found = f"{folder}/{stem}" if folder else stem
                if found != key:
                    if group:
                        yield _sample(path, key, group, archive, modified)
                    key, group = found, {}
                if suffix.lower() in group or member.issparse():
                    problem = "is sparse" if member.issparse() else "is there twice"
                    advice = "files as WebDataset writes them"
                    shown = visible(member.name)
                    raise DataError(f"{path}: {shown}: {problem}; allowed: {advice}")
                group[suffix.lower()] = member
            if group:
                yield _sample(path, key, group, archive, modified)
            _check_end(stream, archive.offset)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tarfile.TarError, *_FROM_HEADERS) as error:
        problem = f"cannot be read as a tar archive: {reason(error)}"
        raise DataError(f"{path}: {problem}; allowed: whole archives, not compressed") from None


_FROM_HEADERS: Final = (ValueError, OverflowError, LookupError, RecursionError, MemoryError)
"""What tarfile raises, besides its own errors, when a header holds nonsense."""


def _check_end(stream: BinaryIO, place: int) -> None:
    """Refuses an archive that tarfile takes for finished, although more was written.

    Args:
        stream: The archive.
        place: Where tarfile found no further header.

    Raises:
        tarfile.ReadError: There is no block of zeros, or something lies behind it.
    """
    stream.seek(place)
    block = stream.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    if any(block):
        raise tarfile.ReadError("a header is damaged")
    while block := stream.read(2**20):
        if block.count(0) < len(block):
            raise tarfile.ReadError("something lies behind its end")


def _sample(
    path: Path, key: str, group: dict[str, tarfile.TarInfo], archive: tarfile.TarFile, modified: int
) -> "_Sample | _Lost":
    name = f"{path.name}/{key}"
    # `0001.png` is the image of `0001.depth.png`, which lies before it.
    images = sorted(filter(_is_image, group), key=lambda suffix: (suffix.count("."), len(suffix)))
    if not images:
        return _Lost(name, _NO_IMAGE)
    image = group[images[0]]
    label = next((group[suffix] for suffix in _LABELS if suffix in group), None)
    text = None if label is None else _label(label, archive)
    if text is None:
        return _Lost(name, _NO_LABEL)
    inside = InArchive(str(path), image.offset_data, image.size)
    return _Sample(f"{path}/{image.name}", text, inside, modified, len(images) > 1)


def _is_image(suffix: str) -> bool:
    return f".{suffix.rpartition('.')[2]}" in SUFFIXES


def _label(member: tarfile.TarInfo, archive: tarfile.TarFile) -> str | None:
    stream = archive.extractfile(member) if member.size <= 2**20 else None
    if stream is None:
        return None
    # Bytes that are no text are spelled out: two labels must not become one.
    text = stream.read().decode("utf-8-sig", "backslashreplace").strip()
    if member.name.lower().endswith(".json"):
        try:
            found = parse_json(text)
        except ValueError:
            return None
        values = found if isinstance(found, dict) else {}
        labels = (values.get(each) for each in _IN_JSON)
        text = next((str(each) for each in labels if isinstance(each, (str, int, float))), "")
    return text if text and text.isprintable() and len(text) <= _LONGEST_LABEL else None


def _listing(
    pattern: str,
    found: dict[Role, list[_Sample]],
    request: Request,
    notes: tuple[str, ...],
    skipped: tuple[Skipped, ...],
    lacking: str,
) -> Listing:
    classes = {role: _classes(samples) for role, samples in found.items()}
    names = classes.get("train", ())
    if len(names) < 2:
        what = f"one class ({names[0]})" if names else "no labelled images"
        for each in skipped:
            what += f"; {each.reason}: {each.count} ({name_few(each.examples, 2, of=each.count)})"
        raise DataError(f"{pattern}: has {what}; allowed: two or more classes")
    others = classes.get("test", names)
    if set(others) != set(names):
        apart = name_few(visible(each) for each in sorted(set(names) ^ set(others)))
        raise DataError(f"{pattern}: training and test shards have different classes: {apart}")
    train, test = (_files(found.get(role, ()), names) for role in ("train", "test"))
    drawn = not test
    if drawn:
        count = len(train)
        train, test = held_out(train, pattern)
        notes += (f"{lacking}: {len(test)} of {count} images are held out",)
    limited = limit_files(train, request), limit_files(test, request)
    paths = {each.inside.path for samples in found.values() for each in samples}
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths}
    return Listing(Path(os.path.commonpath(folders)), names, *limited, notes, skipped, drawn)


def _classes(samples: Sequence[_Sample]) -> tuple[str, ...]:
    """The labels that occur, in the order of numbers if all are numbers."""
    labels = {sample.label for sample in samples}
    numbers = all(re.fullmatch(r"\d{1,9}", label) for label in labels)
    return tuple(sorted(labels, key=(lambda each: (int(each), each)) if numbers else None))


def _files(samples: Sequence[_Sample], classes: Sequence[str]) -> tuple[ImageFile, ...]:
    places = {name: place for place, name in enumerate(classes)}
    return tuple(
        ImageFile(each.name, places[each.label], each.inside.size, each.modified, each.inside)
        for each in samples
    )
