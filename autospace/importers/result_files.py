"""Reads the text of a tuner's result file as plain values: JSON, JSON lines, CSV or YAML.

Tuners write what JSON does not have (NaN), one object a line (Ray, cut off where the process was
killed), a table (data frames, exports of dashboards), or YAML of keys and values (neps, Hydra,
Weights & Biases); people also keep the dict that Python printed. Only the part of YAML that these
tools write is read: mappings by indentation, scalars, lists of scalars, and Hydra's lists of
`key=value`.
"""

import ast
import csv
import io
import json
import re
from collections.abc import Callable
from typing import Final

from autospace.importers.python_literals import check_size
from autospace.spaces import SpaceError
from autospace.spaces.checks import MAX_ENTRIES
from autospace.spaces.errors import shown
from autospace.spaces.files.reading import parse_json

_STRING_OR_NUMBERLESS: Final = re.compile(r'"(?:\\.|[^"\\])*"|-?\b(?:NaN|Infinity)\b')
_KEY: Final = re.compile(r"""(?P<key>'[^']*'|"[^"]*"|[^\s#'"&*!{}\[\]|>%@`-][^#:]*?)\s*:(?:\s|$)""")
_PYTHON: Final = re.compile(r"[\[{(\s]*'")
_DIVIDERS: Final = (",", ";", "\t")
_COMMA: Final = re.compile(r"^(-?\d+),(\d+)$")
_MAX_INDENTS: Final = 16


_QUOTED: Final = re.compile(r'"[^"]*"[ ]*[,;\t]')
"""How a table begins whose columns have names in quotes."""


def parse_result(text: str, note: Callable[[str], None]) -> tuple[object, bool]:
    """The values of a result file, and whether they are those of one trial as it went on.

    JSON that has one object a line is a list of them, as are the rows of a table.

    Args:
        text: of the file.
        note: is told what could not be read and was passed over.

    Raises:
        SpaceError: the text is none of these, or larger than files may be.
    """
    stripped = text.strip()
    first = stripped.partition("\n")[0]
    quoted = _QUOTED.match(first) is not None
    if not stripped or (not quoted and (stripped[0] in '{["' or stripped[0].isdigit())):
        return _json(stripped, note)
    # A tab at either end of a table stands beside an empty name or cell.
    before, _, after = text.partition(stripped)
    table = (before.rpartition("\n")[2] + stripped + after.partition("\n")[0]).strip("\r ")
    names = table.partition("\n")[0]
    divider = max(_DIVIDERS, key=names.count)
    if divider in names and ":" not in names:
        return _rows(table, divider), False
    if _KEY.match(first) or first.startswith(("#", "---", "- ")):
        return _yaml(stripped), False
    if re.fullmatch(r"-?[\w.+]+", stripped):
        return parse_json(stripped), False
    allowed = "JSON, a table, or keys and values of YAML"
    raise SpaceError("", f"begins with {shown(first)}; allowed: {allowed}")


def _json(text: str, note: Callable[[str], None]) -> tuple[object, bool]:
    if _PYTHON.match(text) and not _stands_alone(text):
        return _printed(text), False
    text = _STRING_OR_NUMBERLESS.sub(lambda found: _or_null(found[0]), text)
    # Strings of JSON may hold what else ends a line in Unicode.
    lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
    if len(lines) < 2 or not lines[0].lstrip().startswith("{") or not _stands_alone(lines[0]):
        return parse_json(text), False
    # Checked as one list first, so that the bounds hold for the file and not for each line.
    whole = lines
    if not _stands_alone(lines[-1]):
        note(f"line {len(lines)} is cut off and was passed over")
        whole = lines[:-1]
    for number, line in enumerate(whole, start=1):
        if not _stands_alone(line):
            raise SpaceError(f"line {number}", f"{shown(line)}; allowed: a JSON object")
    return parse_json(f"[{','.join(whole)}]"), True


def _printed(text: str) -> object:
    """A dict as Python prints it, which is what people copy from a notebook."""
    check_size(text)
    try:
        return parse_json(json.dumps(ast.literal_eval(text)))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise SpaceError("", f"{shown(text)}; allowed: JSON, or a dict of Python") from None


def _or_null(part: str) -> str:
    return part if part.startswith('"') else "null"


def _stands_alone(line: str) -> bool:
    """Whether a line is a JSON value on its own."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _rows(text: str, divider: str) -> list[dict[str, str]]:
    """The rows of a table, by the names of its columns; cells without text are left out."""
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=divider, strict=True)
        rows = [dict(row) for row, _ in zip(reader, range(MAX_ENTRIES + 1), strict=False)]
    except csv.Error as error:
        named = {",": "commas", ";": "semicolons"}.get(divider, "tabs")
        raise SpaceError("", f"no table of values between {named}: {error}") from None
    if len(rows) > MAX_ENTRIES:
        raise SpaceError("", f"too many rows; allowed: up to {MAX_ENTRIES}")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise SpaceError(f"line {number}", "more or fewer fields than the first line has")
    kept = [{name: cell for name, cell in row.items() if cell} for row in rows]
    if divider != ";":
        return kept
    # There numbers have a comma: so spreadsheets write them in many countries.
    return [{name: _COMMA.sub(r"\1.\2", cell) for name, cell in row.items()} for row in kept]


def _yaml(text: str) -> dict[str, object]:
    """Mappings by indentation, of scalars, lists of scalars and further mappings."""
    root: dict[str, object] = {}
    open_: list[tuple[int, dict[str, object]]] = [(0, root)]
    last: tuple[dict[str, object], str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#") or content in ("---", "..."):
            continue
        if content.startswith("- "):
            _item(content[2:].strip(), root, last)
            continue
        found = _KEY.match(content)
        if found is None:
            raise SpaceError(f"line {number}", f"{shown(content)}; allowed: key: value")
        indent = len(line) - len(line.lstrip())
        while len(open_) > 1 and indent < open_[-1][0]:
            open_.pop()
        if indent > open_[-1][0] and last is not None and last[0][last[1]] is None:
            nested: dict[str, object] = {}
            last[0][last[1]] = nested
            open_.append((indent, nested))
        if indent != open_[-1][0] or len(open_) > _MAX_INDENTS:
            raise SpaceError(f"line {number}", "indented in a way that was not expected here")
        mapping, key = open_[-1][1], str(_scalar(found["key"]))
        if key in mapping:
            raise SpaceError(f"line {number}", f"{shown(key)} occurs twice in one object")
        mapping[key] = _scalar(content[found.end() :])
        last = (mapping, key)
    return root


def _item(
    content: str, root: dict[str, object], last: tuple[dict[str, object], str] | None
) -> None:
    """An entry of a list: `key=value` of Hydra at the top, else one of the last key's values."""
    if last is None:
        key, _, value = content.partition("=")
        root[key.strip().lstrip("+~")] = _scalar(value)
        return
    held = last[0][last[1]]
    last[0][last[1]] = [*held, _scalar(content)] if isinstance(held, list) else [_scalar(content)]


def _scalar(text: str) -> object:
    """A value of one line; only text in quotes keeps a comment sign, and nothing is null."""
    text = text.strip()
    if len(text) >= 2 and text[0] == "'" == text[-1]:
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except (ValueError, RecursionError):
            return text
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip() or None
