"""Files of text, the text that comes with Python, and the options of sources of text."""

import re
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from autospace.data.errors import DataError
from autospace.spaces.errors import offered

MOST_BYTES: Final = 2**30
MOST_FILES: Final = 100_000
SUFFIX: Final = ".txt"
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_OPTIONS: Final = re.compile(r"(\w+=[^:]*)(?::|$)")
_LONGEST: Final = 4096


def divided_source(source: str, kind: str, known: Collection[str]) -> tuple[dict[str, str], str]:
    """The options and the path of a source as `text:tokens=words,vocabulary=5000:novel.txt`.

    A path that looks like options is written `./a=b`. Values are as they were written; the path is
    empty where there is none.

    Raises:
        DataError: the source does not have this form, or has an unknown option.
    """
    found_kind, colon, rest = source.partition(":")
    if found_kind != kind or len(source) > _LONGEST or "\0" in source:
        raise malformed(source, f"is not a source of {kind}", kind)
    if not colon:
        return {}, ""
    found = _OPTIONS.match(rest)
    options = _options(source, found[1], kind, known) if found else {}
    path = rest[found.end() :] if found else rest
    if not path.strip() and not (found and not source.endswith(":")):
        raise malformed(source, "names no path", kind)
    return options, path


def home_path(source: str, path: str, kind: str) -> Path | None:
    """The path of a source, with the user's folder in place of `~`; None where there is none.

    Raises:
        DataError: there is no such user.
    """
    try:
        return Path(path).expanduser() if path else None
    except RuntimeError:
        problem = "names a home folder that does not exist"
        raise malformed(source, problem, kind) from None


def whole_number(source: str, key: str, value: str) -> int:
    """The value of an option that is a whole number.

    Raises:
        DataError: it is none.
    """
    if not re.fullmatch(r"[0-9]{1,19}", value):
        raise DataError(f"data {_shown(source)} has {key} {value!r}; allowed: a whole number")
    return int(value)


def malformed(source: str, problem: str, kind: str) -> DataError:
    """The error of a source that does not have the form of its kind."""
    return DataError(f"data {_shown(source)} {problem}; allowed: {kind}[:key=value,...][:PATH]")


def _shown(source: str) -> str:
    return repr(source if len(source) <= 80 else f"{source[:77]}...")


def _options(source: str, text: str, kind: str, known: Collection[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in text.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise malformed(source, f"has the option {item!r} that is not key=value", kind)
        if key in options:
            raise malformed(source, f"gives the option {key!r} twice", kind)
        if key not in known:
            problem = f"has the unknown option {key!r}; {offered(key, known)}"
            raise DataError(f"data {_shown(source)} {problem}")
        options[key] = value
    return options


def help_topics() -> tuple[dict[str, str], str]:
    """The help of Python's own keywords and topics, by topic, and a remark on the version.

    It is technical English, and in every installation.
    """
    from pydoc_data.topics import topics  # half a megabyte that nobody else needs

    version = ".".join(map(str, sys.version_info[:3]))
    note = f"the help topics of Python {version}; other versions of Python have other ones"
    return {name: topics[name] for name in sorted(topics)}, note


def read_file(path: Path) -> tuple[str, list[str]]:
    """The text of a file with line ends of one kind, and remarks.

    Raises:
        DataError: it cannot be read, or is no text.
    """
    return decoded(path, bytes_of(path))


def bytes_of(path: Path) -> bytes:
    """The content of a file of at most `MOST_BYTES`.

    Raises:
        DataError: there is no such file, or it is larger.
    """
    try:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; allowed: a text")
        if not path.is_file():
            raise DataError(f"{path}: is not a regular file; allowed: a text")
        with path.open("rb") as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: {problem}; allowed: a text") from None
    if len(raw) > MOST_BYTES:
        raise DataError(f"{path}: more than {MOST_BYTES:,} bytes; allowed: less text")
    return raw


def decoded(path: Path, raw: bytes) -> tuple[str, list[str]]:
    """The text with line ends of one kind, and remarks.

    Raises:
        DataError: it is neither UTF-8 nor UTF-16 with its mark.
    """
    notes = []
    encoding = "utf-16" if raw.startswith(UTF_16) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"byte {error.start} is 0x{raw[error.start]:02x}"
        allowed = "allowed: text in UTF-8, or in UTF-16 with its mark"
        raise DataError(
            f"{path}: not {encoding.removesuffix('-sig')}: {found}; {allowed}"
        ) from None
    place = text.find("\0")
    if place >= 0:
        raise DataError(f"{path}: character {place} is zero, so it is no text; allowed: text")
    if encoding == "utf-16":
        notes.append(f"{path.name}: read as UTF-16")
    ends = text.count("\r\n")
    others = text.count("\r") - ends
    if ends or others:
        notes.append(f"{path.name}: {ends + others:,} line ends of other systems, read as \\n")
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def few_notes(notes: Iterable[str]) -> list[str]:
    """The first remarks, and how many more there are."""
    found = list(notes)
    return found if len(found) <= 5 else [*found[:5], f"and {len(found) - 5} more remarks"]


def files_inside(folder: Path) -> list[Path]:
    """All files below a folder, in order.

    Raises:
        DataError: it cannot be read, or there are more than `MOST_FILES`.
    """
    try:
        found = [each for each in folder.rglob("*") if not each.is_dir()]
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise DataError(f"{folder}: {problem}; allowed: a folder that can be read") from None
    if len(found) > MOST_FILES:
        raise DataError(f"{folder}: more than {MOST_FILES:,} files; allowed: fewer")
    return sorted(found)
