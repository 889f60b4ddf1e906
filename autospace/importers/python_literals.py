"""Finds and reads literals of Python in text, without running any of it."""

import ast
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Final

from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.text import plural

MAX_LENGTH: Final = 20_000
MAX_DEPTH: Final = 16
# No operator, no backslash, no comment: all that lists, strings, numbers and keywords need.
_ALLOWED: Final = re.compile(r"[A-Za-z0-9_.,=\s()\[\]'\"]*")


def call_arguments(text: str, name: str) -> dict[str, object]:
    """The keyword arguments of `NAME(key=value, ...)`, optionally after `something = `.

    Values are numbers, strings, lists, tuples and `range(...)`, which becomes a list.

    Raises:
        SpaceError: anything else.
    """
    check_size(text)
    _check_characters(text)
    try:
        # `1in x` and other oddities only warn, and what a file holds is no business of stderr.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        problem = error.msg if isinstance(error, SyntaxError) else "too deep or too large"
        raise SpaceError("", f"not a Python literal: {problem}") from None
    found = tree.body[0] if len(tree.body) == 1 else None
    call = found.value if isinstance(found, ast.Expr | ast.Assign) else None
    named = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == name
    if not isinstance(call, ast.Call) or not named or call.args:
        raise SpaceError("", f"{shown(text.strip())}; allowed: {name}(key=value, ...)")
    arguments: dict[str, object] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise SpaceError("", f"{name}(**...) is not a literal; allowed: {name}(key=value, ...)")
        if keyword.arg in arguments:
            raise SpaceError(keyword.arg, "is there twice; allowed: once")
        arguments[keyword.arg] = _value(keyword.value, keyword.arg)
    return arguments


def _check_characters(text: str) -> None:
    legal = _ALLOWED.match(text)
    end = legal.end() if legal else 0
    if end < len(text):
        raise SpaceError("", f"{shown(text[end])} is not part of any literal")


def check_size(text: str) -> None:
    """Refuses text that Python's parser would take long or much memory for.

    Raises:
        SpaceError: it is too long or nested too deeply.
    """
    if len(text) > MAX_LENGTH:
        raise SpaceError("", f"{len(text)} characters; allowed: up to {MAX_LENGTH}")
    depth = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        if depth > MAX_DEPTH:
            raise SpaceError("", f"nested deeper than {MAX_DEPTH} levels")


def _value(node: ast.expr, path: str) -> object:
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each, f"{path}[{index}]") for index, each in enumerate(node.elts)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        bounds = [_value(each, path) for each in node.args]
        if 1 <= len(bounds) <= 2 and all(type(b) is int and b < 100 for b in bounds):
            low, high = (0, *bounds)[-2:]
            return list(range(int(str(low)), int(str(high))))
    raise SpaceError(path, "unknown value; allowed: a number, string, list, tuple or range")


_COMMENT: Final = re.compile(r"""'[^'\n]*'|"[^"\n]*"|\#[^\n]*""")
_NAME: Final = re.compile(r"(\w+)\s*[=:]\s*$", re.ASCII)


def the_call(text: str, name: str, note: Callable[[str], None]) -> str:
    """The one `NAME(...)` in a file, without comments: a literal, a module of Python, or a log.

    Args:
        text: of the file.
        name: of what is called.
        note: is told how much else the file holds.

    Raises:
        SpaceError: several are there; the message names them.
    """
    text = _COMMENT.sub(lambda found: "" if found[0].startswith("#") else found[0], text)
    places = list(_calls(text, name))
    if not places:
        return text
    if len(places) > 1:
        names = [_name_of(text, start) for start, _ in places]
        listed = ", ".join(names[:-1][:4]) + (", ..." if len(names) > 5 else "")
        raise SpaceError("", f"holds {len(names)} of {name}: {listed} and {names[-1]}; leave one")
    start, end = places[0]
    before = _NAME.sub("", text[:start])
    others = sum(bool(line.strip()) for line in f"{before}\n{text[end:]}".splitlines())
    # An unfinished call is not cut out: what is wrong with it is worth more than where it stands.
    if others and text[start:end].endswith(")"):
        note(f"passed over: {plural(others, 'line')} around {name}(...)")
    return text[start:end]


def _calls(text: str, name: str) -> Iterator[tuple[int, int]]:
    """Start and end of every call; the end of the text where one is not closed."""
    opening, at = re.compile(rf"\b{name}\s*\(", re.ASCII), 0
    while found := opening.search(text, at):
        at = _closed(text, found.end())
        yield found.start(), at


def _closed(text: str, at: int) -> int:
    """The place after the bracket that closes the one before `at`."""
    depth, quote = 1, ""
    for index in range(at, len(text)):
        char = text[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char == "(") - (char == ")")
            if depth == 0:
                return index + 1
    return len(text)


def _name_of(text: str, start: int) -> str:
    """What a call is assigned to, and its line."""
    line = text.count("\n", 0, start) + 1
    named = _NAME.search(text[max(0, start - 100) : start])
    return f"{shown(named[1])[1:-1]} (line {line})" if named else f"line {line}"
