"""Lines of a summary: sentences that fit a terminal, and commands that can be pasted."""

import shlex
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from autospace.spaces.text import visible

WIDTH: Final = 80


def sentence(text: str, indent: str = "") -> list[str]:
    """A sentence in lines of at most 80 columns; only a word may be longer."""
    return textwrap.wrap(
        visible(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def quoted(path: Path | str) -> str:
    """A path as the shell takes it."""
    return shlex.quote(str(path))


def commands(found: Iterable[tuple[str, str]]) -> list[str]:
    """Commands, one a line, each with what it does as a comment, which the shell ignores.

    Args:
        found: commands and what they do. A remark that does not fit its line is left out.
    """
    pairs = [(visible(command), remark) for command, remark in found]
    longest = max((len(command) for command, _ in pairs), default=0)
    if any(longest + len(remark) + 6 > WIDTH for _, remark in pairs):
        longest = 0
    lines = [f"  {command:<{longest}}  # {remark}" for command, remark in pairs]
    return [
        line if len(line) <= WIDTH else f"  {command}"
        for line, (command, _) in zip(lines, pairs, strict=True)
    ]
