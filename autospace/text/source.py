"""From the words of `--data` to text: what to read, and which of it is train, validation and test.

A folder's files, or its sub-folders, may say by their names which split they are: `train.txt`,
`ptb.valid.txt`, `test/a.txt`. Otherwise all text is one, and is divided by position.
"""

import re
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from autospace.data.errors import DataError, name_few
from autospace.data.plain_text import (
    MOST_BYTES,
    SUFFIX,
    bytes_of,
    decoded,
    divided_source,
    few_notes,
    files_inside,
    help_topics,
    home_path,
    read_file,
    whole_number,
)
from autospace.spaces.errors import offered

KIND: Final = "text"
FORM: Final = "text[:key=value,...][:PATH]"
Tokens = Literal["characters", "words"]
LARGEST_VOCABULARY: Final = 100_000
LONGEST_SEGMENT: Final = 1000
DEFAULT_VOCABULARY: Final[dict[str, int]] = {"characters": 1000, "words": 10_000}
"""As many words as the Penn Treebank of Mikolov et al. (2010) has."""


@dataclass(frozen=True, slots=True)
class TextSource:
    """What to read, and how it becomes tokens.

    Attributes:
        path: a file or folder; None for the text that comes with Python.
        tokens: what a token is. Words are what white space divides; every line ends with a token.
        vocabulary: largest number of different tokens; None for the default of `tokens`.
        bptt: tokens in a row through which gradients go back.

    Raises:
        DataError: a value is out of range.
    """

    path: Path | None = None
    tokens: Tokens = "characters"
    vocabulary: int | None = None
    bptt: int = 35

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.tokens not in get_args(Tokens):
            raise DataError(f"tokens {self.tokens!r}: {offered(self.tokens, get_args(Tokens))}")
        if self.vocabulary is not None and not 2 <= self.vocabulary <= LARGEST_VOCABULARY:
            allowed = f"allowed: 2 to {LARGEST_VOCABULARY:,}"
            raise DataError(f"vocabulary {self.vocabulary} is out of bounds; {allowed}")
        if not 1 <= self.bptt <= LONGEST_SEGMENT:
            raise DataError(f"bptt {self.bptt} is out of bounds; allowed: 1 to {LONGEST_SEGMENT}")

    @property
    def limit(self) -> int:
        """The largest number of different tokens."""
        return self.vocabulary or DEFAULT_VOCABULARY[self.tokens]

    @property
    def where(self) -> str:
        """What messages name: the path, or the kind where there is none."""
        return KIND if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        """Short name of the text, without the folders above it."""
        return KIND if self.path is None else f"{KIND}:{self.path.resolve().name}"

    @property
    def text(self) -> str:
        """What `parse_text` reads as this source."""
        usual = TextSource()
        given = [
            f"{each.name}={getattr(self, each.name)}"
            for each in fields(self)
            if each.name != "path" and getattr(self, each.name) != getattr(usual, each.name)
        ]
        parts = [KIND, *([",".join(given)] if given else [])]
        return ":".join(parts if self.path is None else [*parts, str(self.path)])


def is_text(source: str) -> bool:
    """Whether the text of `--data` names a text, and not images."""
    return source.partition(":")[0] == KIND


def parse_text(source: str) -> TextSource:
    """Reads the text of `--data`; the path is not looked at yet.

    Options stand before the path: `text:tokens=words,vocabulary=5000:novel.txt`. A path that looks
    like options is written `./a=b`.

    Raises:
        DataError: the text does not have the form.
    """
    known = [each.name for each in fields(TextSource) if each.name != "path"]
    options, path = divided_source(source, KIND, known)
    values: dict[str, Any] = dict(options)
    for key in ("vocabulary", "bptt"):
        if key in options:
            values[key] = whole_number(source, key, options[key])
    return TextSource(home_path(source, path, KIND), **values)


Role = Literal["train", "validation", "test"]
ROLES: Final[dict[str, Role]] = {
    "train": "train",
    "training": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Texts:
    """What was read, before it is tokens.

    Attributes:
        splits: the text of each split that files have; `train` alone where it is to be divided.
        by_files: whether names of files say which split they are.
        files: how many were read.
        skipped: why others were not, with their number and some names.
        notes: remarks for the user.
    """

    splits: dict[Role, str]
    by_files: bool = False
    files: int = 0
    skipped: tuple[tuple[str, int, tuple[str, ...]], ...] = ()
    notes: tuple[str, ...] = field(default=())


def read_texts(source: TextSource) -> Texts:
    """The text of a source.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    if source.path is None:
        return _help_topics()
    if source.path.is_dir():
        return _folder(source.path)
    return _single(source.path)


def _help_topics() -> Texts:
    """The help of Python's own keywords and topics: technical English, in every installation."""
    topics, note = help_topics()
    return Texts({"train": "\n".join(topics.values())}, notes=(note,))


def _single(path: Path) -> Texts:
    text, notes = read_file(path)
    role = _role(path.stem)
    if role is not None:
        beside = [
            each.name
            for each in sorted(path.parent.iterdir())
            if each != path and each.suffix == SUFFIX and _role(each.stem) is not None
        ]
        if beside:
            names = name_few(beside)
            notes = [*notes, f"not read: {names} beside it; name the folder to read all splits"]
    return Texts({"train": text}, files=1, notes=tuple(notes))


def _folder(folder: Path) -> Texts:
    skipped: dict[str, list[str]] = {}
    found: list[tuple[Path, Role | None]] = []
    for path in files_inside(folder):
        shown = str(path.relative_to(folder))
        if path.name.startswith("."):
            skipped.setdefault("hidden", []).append(shown)
        elif path.suffix.lower() != SUFFIX:
            skipped.setdefault(f"not {SUFFIX}", []).append(shown)
        else:
            found.append((path, _role_in(folder, path)))
    if not found:
        others = name_few([name for names in skipped.values() for name in names])
        seen = f"no {SUFFIX} files, but {others}" if others else "is empty"
        raise DataError(f"{folder}: {seen}; allowed: files of text")
    by_files = any(role is not None for _, role in found)
    if by_files:
        _check_roles(folder, found)
        for path, role in found:
            if role is None:
                reason = "of no split, though others are train, valid or test"
                skipped.setdefault(reason, []).append(str(path.relative_to(folder)))
        found = [(path, role) for path, role in found if role is not None]
    return _joined(folder, found, by_files, skipped)


def _joined(
    folder: Path,
    found: list[tuple[Path, Role | None]],
    by_files: bool,
    skipped: dict[str, list[str]],
) -> Texts:
    parts: dict[Role, list[str]] = {}
    notes: list[str] = []
    size = 0
    for path, role in found:
        raw = bytes_of(path)
        size += len(raw)
        if size > MOST_BYTES:
            raise DataError(f"{folder}: more than {MOST_BYTES:,} bytes; allowed: less text")
        text, remarks = decoded(path, raw)
        notes += remarks
        if text:
            parts.setdefault(role or "train", []).append(text)
        elif by_files:
            raise DataError(f"{path}: is empty; allowed: a text for every split that has a file")
        else:
            skipped.setdefault("empty", []).append(str(path.relative_to(folder)))
    if not parts:
        raise DataError(f"{folder}: all {len(found)} files are empty; allowed: files with text")
    left = tuple((reason, len(names), tuple(names[:5])) for reason, names in skipped.items())
    joined = {role: _lines(texts) for role, texts in parts.items()}
    read = len(found) - len(skipped.get("empty", ()))
    return Texts(joined, by_files, read, left, tuple(few_notes(notes)))


def _lines(texts: list[str]) -> str:
    """Texts one after another, each of which begins a line."""
    return "".join(each if each.endswith("\n") else f"{each}\n" for each in texts[:-1]) + texts[-1]


def _role(name: str) -> Role | None:
    """The one split that a part of a name stands for, as `ptb.valid`; None for none or several."""
    parts = re.split(r"[^a-z]+", name.lower())
    found = {ROLES[part] for part in parts if part in ROLES}
    return found.pop() if len(found) == 1 else None


def _role_in(folder: Path, path: Path) -> Role | None:
    """The split by the name of the file, else by that of a folder above it."""
    above = [ROLES.get(part.lower()) for part in path.relative_to(folder).parts[:-1]]
    return next((role for role in above if role is not None), None) or _role(path.stem)


def _check_roles(folder: Path, found: list[tuple[Path, Role | None]]) -> None:
    counts = Counter(role for _, role in found)
    if not counts["train"]:
        names = name_few([path.name for path, role in found if role is not None])
        raise DataError(f"{folder}: {names}, but no text to train on; allowed: train{SUFFIX}, too")
    for role in ("train", "validation", "test"):
        # Several files of one split are meant where a folder says so, not where names do.
        named = [
            str(path.relative_to(folder))
            for path, each in found
            if each == role and len(path.relative_to(folder).parts) == 1
        ]
        whole = counts[role]
        if len(named) > 1 or (named and whole > len(named)):
            all_names = [str(path.relative_to(folder)) for path, each in found if each == role]
            problem = f"several texts may be {role}: {name_few(all_names)}"
            raise DataError(f"{folder}: {problem}; allowed: one of them, or a folder of that name")
