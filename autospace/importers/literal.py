"""Python literals as data: parsed, in bounded size and depth, and never evaluated."""

import ast
import re
import warnings
from typing import Final

from autospace.spaces.errors import SpaceError, shown

MAX_LENGTH: Final = 20_000
MAX_DEPTH: Final = 16
# No operator, no backslash, no comment: all that lists, strings, numbers and keywords need.
_ALLOWED: Final = re.compile(r"[A-Za-z0-9_.,=\s()\[\]'\"]*")


def call_arguments(text: str, name: str) -> dict[str, object]:
    """The keyword arguments of `NAME(key=value, ...)`, maybe after `something = `.

    Values are numbers, strings, lists, tuples and `range(...)`, which becomes a list.

    Raises:
        SpaceError: anything else.
    """
    _check_size(text)
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
            raise SpaceError("", f"{name}(**...) is no literal")
        arguments[keyword.arg] = _value(keyword.value, keyword.arg)
    return arguments


def _check_size(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise SpaceError("", f"{len(text)} characters; allowed: up to {MAX_LENGTH}")
    legal = _ALLOWED.match(text)
    end = legal.end() if legal else 0
    if end < len(text):
        raise SpaceError("", f"{shown(text[end])} stands in no literal")
    depth = 0
    for char in text:
        depth += (char in "([") - (char in ")]")
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
    raise SpaceError(path, "no number, string, list, tuple or range")
