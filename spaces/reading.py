"""Bytes to a validated document, in bounded time and memory."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from autospace.spaces.document import FILES, VERSION
from autospace.spaces.errors import SpaceError

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_DEPTH: Final = 32

Document = TypeVar("Document", bound=BaseModel)


def read_text(path: Path) -> str:
    """The text of a file of at most `MAX_BYTES`.

    Raises:
        SpaceError: not there, no regular file, too large, or no UTF-8.
    """
    try:
        if not path.is_file():
            problem = "is a folder" if path.is_dir() else "no such file"
            raise SpaceError(str(path), problem)
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpaceError(str(path), error.strerror or "cannot be read") from None
    if len(raw) > MAX_BYTES:
        raise SpaceError(str(path), f"larger than {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpaceError(str(path), f"not UTF-8 at byte {error.start}") from None


def parse_json(text: str) -> Any:
    """JSON without duplicate keys, NaN or infinity, and nested at most `MAX_DEPTH` deep."""
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
        # Python refuses to convert integers of thousands of digits.
        raise SpaceError("", f"not JSON: {str(error).splitlines()[0][:120]}") from None
    _check_depth(value)
    return value


def parse_toml(text: str) -> Any:
    """TOML, nested at most `MAX_DEPTH` deep."""
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        problem = str(error).splitlines()[0][:160]
        raise SpaceError("", f"not TOML: {problem[:1].lower()}{problem[1:]}") from None
    except RecursionError:
        raise SpaceError("", f"nested deeper than {MAX_DEPTH} levels") from None
    _check_depth(value)
    return value


def document_format(value: Any) -> str:
    """The `format` of a parsed file, known and of a version that can be read."""
    if not isinstance(value, dict):
        raise SpaceError("", f"a {_kind(value)}; a file of this program holds an object")
    found = value.get("format")
    if not isinstance(found, str) or found not in FILES:
        raise SpaceError("format", f"{_shown(found)}; allowed: {', '.join(FILES)}")
    version = value.get("version")
    if type(version) is not int or version != VERSION:
        raise SpaceError("version", f"{_shown(version)}; this program reads version {VERSION}")
    return found


def validated(model: type[Document], value: Any, path: str = "") -> Document:
    """A parsed value as a document; the first thing wrong with it becomes a `SpaceError`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SpaceError(_join(path, _location(first["loc"])), _problem(first, model)) from None
    except RecursionError:
        raise SpaceError(path, f"nested deeper than {MAX_DEPTH} levels") from None


def _problem(error: Any, model: type[BaseModel]) -> str:
    kind, message, given = error["type"], error["msg"], error["input"]
    if kind == "extra_forbidden":
        return f"unknown key{_known_keys(model, error['loc'])}"
    if kind == "missing":
        return "missing"
    return f"{_shown(given)}; {message[:1].lower()}{message[1:]}"


def _known_keys(model: type[BaseModel], location: Sequence[int | str]) -> str:
    return f"; known keys: {', '.join(model.model_fields)}" if len(location) == 1 else ""


def _location(parts: Sequence[int | str]) -> str:
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else _join(path, str(part)[:80])
    return path


def _join(path: str, rest: str) -> str:
    return f"{path}.{rest}" if path and rest else path or rest


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):
        text = _kind(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _kind(value: Any) -> str:
    return {list: "list", dict: "object", str: "string"}.get(type(value), type(value).__name__)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise SpaceError(key[:80], "stands twice in one object")
            seen.add(key)
    return result


def _no_constant(name: str) -> Any:
    raise SpaceError("", f"{name} is no JSON number")


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise SpaceError("", f"nested deeper than {MAX_DEPTH} levels")
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
        level = below
