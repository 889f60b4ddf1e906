"""Reads the bytes of a file as a validated document, in bounded time and memory."""

import json
import stat
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from autospace.spaces.cells.family import DEFAULT_KIND, FAMILIES
from autospace.spaces.checks import (
    MAX_BYTES,
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_ENTRIES,
    MAX_TOML_BYTES,
    MAX_VALUES,
    plain,
)
from autospace.spaces.errors import SpaceError, join_path, located, offered, shown
from autospace.spaces.files.document import FILES, SEQUENCES, SKELETON_FORMAT, VERSIONS
from autospace.spaces.files.foreign import (
    FLAT,
    Foreign,
    first_line,
    foreign,
    foreign_bytes,
    foreign_text,
    of_cell_ids,
    own_elsewhere,
    refuse_foreign,
)

Document = TypeVar("Document", bound=BaseModel)

# What pydantic found wrong, in the words of this package's other messages.
_ALLOWED = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "greater_than": "above {gt}",
    "less_than": "below {lt}",
    "finite_number": "a finite number",
    "greater_than_equal": "{ge} or more",
    "less_than_equal": "{le} or less",
    "string_too_short": "{min_length} or more characters",
    "string_too_long": "{max_length} or fewer characters",
    "too_short": "{min_length} or more entries",
    "too_long": "{max_length} or fewer entries",
    "literal_error": "{expected}",
}


def read_text(path: Path, *, bounded: bool = True, others: bool = False) -> str:
    """The text of a `.json` file of at most `MAX_BYTES`, or a `.toml` file of fewer.

    Args:
        path: of the file.
        bounded: False for a state of this program's own, as large as the settings make it.
        others: whether other programs write such files; see `text_of`.

    Raises:
        SpaceError: the file does not exist, is not a regular file, is too large, or is no text.
    """
    limit = MAX_TOML_BYTES if path.suffix == ".toml" else MAX_BYTES
    try:
        # Before opening: opening a pipe would wait, and a device might never end.
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise SpaceError(str(path), f"is {kind}; allowed: a file of JSON or TOML")
        with path.open("rb") as stream:
            raw = stream.read(limit + 1 if bounded else -1)
    except OSError as error:
        raise SpaceError(str(path), _first_line(error.strerror or "cannot be read")) from None
    except SpaceError:
        raise
    except ValueError:
        raise SpaceError(str(path), "no file can have this name") from None
    if bounded and len(raw) > limit:
        raise SpaceError(str(path), f"too large; allowed: up to {limit} bytes")
    with located(str(path)):
        return text_of(raw, others=others)


_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


def text_of(raw: bytes, *, others: bool = False) -> str:
    """The text of a file.

    Args:
        raw: its bytes.
        others: whether other programs write such files: PowerShell writes UTF-16, with a mark.

    Raises:
        SpaceError: it is not UTF-8, or holds a character that no text has.
    """
    wide = raw.startswith(_UTF_16)
    try:
        text = raw.decode("utf-16" if wide and others else "utf-8")
    except UnicodeDecodeError as error:
        what = "; it is UTF-16; allowed: UTF-8" if wide else foreign_bytes(raw)
        raise SpaceError("", f"not UTF-8 at byte {error.start}{what}") from None
    place = text.find("\0")
    if place >= 0:
        raise SpaceError("", f"no text: character {place + 1} is zero{foreign_bytes(raw)}")
    return text


def parse_json(text: str, entries: int = MAX_ENTRIES, *, bounded: bool = True) -> Any:
    """JSON without duplicate keys, NaN or infinity, in bounded depth and size.

    Args:
        text: what to parse.
        entries: the most that one list or object may hold.
        bounded: False for a state of this program's own, as large as the settings make it; only
            the depth is bounded then.
    """
    entries = entries if bounded else sys.maxsize
    if bounded and text.count(",") > MAX_VALUES:
        raise SpaceError("", f"too many values; allowed: up to {MAX_VALUES}")
    if bounded and text.count("[") + text.count("{") > MAX_CONTAINERS:
        raise SpaceError("", f"too many lists and objects; allowed: up to {MAX_CONTAINERS}")
    _refuse_mark(text)
    if not text.strip():
        raise SpaceError("", "empty; allowed: JSON")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SpaceError("", f"not JSON: {error.msg.lower()} at {place}") from None
    except RecursionError:
        raise SpaceError("", f"nested deeper than {MAX_DEPTH} levels") from None
    except SpaceError:
        raise
    except ValueError as error:
        raise SpaceError("", f"not JSON: {_of_digits(error)}") from None
    return plain(value, entries=entries)


def parse_toml(text: str) -> Any:
    """TOML without dates, NaN or infinity, in bounded depth and size."""
    if len(text) > MAX_TOML_BYTES:
        raise SpaceError("", f"too large; allowed: up to {MAX_TOML_BYTES} bytes")
    # A dotted key of n parts takes Python's reader n * n memory; no key goes over a line's end.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MAX_DEPTH:
            raise SpaceError("", f"too many dots in line {number}; allowed: up to {MAX_DEPTH}")
    _refuse_mark(text)
    try:
        value = tomllib.loads(text)
    except ValueError as error:
        raise SpaceError("", f"not TOML: {_of_digits(error)}") from None
    except RecursionError:
        raise SpaceError("", f"nested deeper than {MAX_DEPTH} levels") from None
    return plain(value)


def _of_digits(error: ValueError) -> str:
    """The problem; where Python gives up on an integer, not in Python's words."""
    is_syntax = isinstance(error, json.JSONDecodeError | tomllib.TOMLDecodeError)
    return _first_line(str(error)) if is_syntax else "an integer has thousands of digits"


def _refuse_mark(text: str) -> None:
    if text.startswith("\ufeff"):
        problem = "begins with a byte order mark; allowed: UTF-8 without one"
        raise SpaceError("", problem)


def parse_document(
    text: str, format_: str, origin: str, *, entries: int = MAX_ENTRIES
) -> dict[str, Any]:
    """A JSON object of one format of ours, not yet checked against its model.

    Args:
        text: of the file.
        format_: what its key `format` must be.
        origin: what writes such files, or describes them.
        entries: most entries of a list or object.

    Raises:
        SpaceError: the file is no JSON, or another file, which is named if it is known.
    """
    try:
        value = parse_json(text, entries=entries)
    except SpaceError as error:
        raise SpaceError(error.path, f"{error.problem}; allowed here: {origin}") from None
    if isinstance(value, dict) and value.get("format") == format_:
        return value
    other = foreign(value)
    what = own_elsewhere(value) or (other.what if other else f"not of format {format_}")
    raise SpaceError("", f"{what}; allowed here: {origin}")


def recognised(text: str) -> Foreign | None:
    """What the text of a file that could not be read is instead, if that is known."""
    # PowerShell and Notepad put a byte order mark before UTF-8.
    text = text.removeprefix("\ufeff")
    try:
        return foreign_text(text) or foreign(parse_json(text))
    except SpaceError:
        return foreign(first_line(text))


class Header(NamedTuple):
    """The format and version of a file, and the family `kind` of its cells."""

    format: str
    version: int
    kind: str


def header_of(value: Any) -> Header:
    """The header of a parsed file: a format, version and family that can be read.

    Raises:
        SpaceError: one of them is unknown.
    """
    if not isinstance(value, dict):
        raise SpaceError("", f"{shown(value)}; allowed: an object")
    found = value.get("format")
    if not isinstance(found, str) or found not in FILES:
        refuse_foreign(value)
        if (elsewhere := own_elsewhere(value)) is not None:
            raise SpaceError("", elsewhere)
        if of_cell_ids(value):
            raise SpaceError("", FLAT.hint)
        raise SpaceError("format", f"{shown(found)}; {offered(found, FILES)}")
    version = value.get("version")
    if type(version) is not int or version not in VERSIONS:
        allowed = ", ".join(map(str, VERSIONS))
        raise SpaceError("version", f"{shown(version)}; allowed: {allowed}")
    # Without a family where one is needed, or with one where there is none: the model refuses it.
    kind = value.get("kind", DEFAULT_KIND)
    if version == 1 or (found == SKELETON_FORMAT and kind not in [*SEQUENCES]):
        kind = DEFAULT_KIND
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise SpaceError("kind", f"{shown(kind)}; {offered(kind, FAMILIES)}")
    return Header(found, version, kind)


def validated(model: type[Document], value: Any) -> Document:
    """A parsed value as a document; the first thing wrong with it becomes a `SpaceError`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        location, problem = _telling(error.errors(include_url=False), model)
        raise SpaceError(_location(location), problem) from None


def _telling(errors: Sequence[Any], model: type[BaseModel]) -> tuple[Sequence[int | str], str]:
    """The first error; if a key is missing because it is misspelt, that the other is unknown."""
    first = errors[0]
    for each in errors if first["type"] == "missing" else ():
        if each["type"] == "extra_forbidden" and each["loc"][:-1] == first["loc"][:-1]:
            problem = _problem(each, model)
            if f"did you mean {first['loc'][-1]}?" in problem:
                return each["loc"], problem
    return first["loc"], _problem(first, model)


def _problem(error: Any, model: type[BaseModel]) -> str:
    kind, given = error["type"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key; {offered(error['loc'][-1], _keys(model, error['loc']))}"
    if kind == "missing":
        return "missing key"
    if kind in _ALLOWED:
        limits = {name: _whole(each) for name, each in error.get("ctx", {}).items()}
        return f"{shown(given)}; allowed: {_ALLOWED[kind].format(**limits)}"
    return f"{shown(given)}; {_first_line(error['msg'])}"


def _whole(limit: object) -> object:
    """`1` where pydantic has made a limit of numbers `1.0`; `1e+100` stays short."""
    if isinstance(limit, float) and abs(limit) < 1e16 and limit.is_integer():
        return int(limit)
    return limit


def _keys(model: Any, location: Sequence[int | str]) -> Sequence[str]:
    """Keys of the object that the last part of a location is in."""
    for part in location[:-1]:
        if isinstance(part, str):
            model = model.model_fields[part].annotation
            while arguments := get_args(model):
                model = arguments[0]
    return list(model.model_fields)


def _location(parts: Sequence[int | str]) -> str:
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else join_path(path, part)
    return path


def _first_line(message: str) -> str:
    line = message.partition("\n")[0]
    return f"{line[:1].lower()}{line[1:]}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise SpaceError(key or '""', "occurs twice in one object")
            seen.add(key)
    return result


def _no_constant(name: str) -> Any:
    raise SpaceError("", f"{name} is not a JSON number")
