"""Nested Python literals, laid out as ruff and black lay them out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Union

WIDTH: Final = 88
INDENT: Final = 4

Node = Union[str, "Group"]


@dataclass(frozen=True, slots=True)
class Group:
    """Parts in brackets; each part has a label in front of it, such as `stride=`, or none."""

    opening: str
    parts: tuple[tuple[str, Node], ...]
    closing: str

    @property
    def flat(self) -> str:
        """The group on one line."""
        inner = ", ".join(f"{label}{_flat(part)}" for label, part in self.parts)
        return f"{self.opening}{inner}{self.closing}"


def listed(parts: Iterable[Node]) -> Group:
    """A list."""
    return Group("[", tuple(("", part) for part in parts), "]")


def called(function: str, /, *positional: Node, **named: Node) -> Group:
    """A call with positional and named arguments."""
    labelled = tuple((f"{label}=", part) for label, part in named.items())
    return Group(f"{function}(", (*(("", part) for part in positional), *labelled), ")")


def laid_out(node: Node, before: str = "", after: str = "", depth: int = 0) -> str:
    """The text of a node between two others: on one line if it fits there, else part by part."""
    margin = " " * INDENT * depth
    line = f"{margin}{before}{_flat(node)}{after}"
    # Of what is not ASCII, formatters know the width better: it is taken for too wide, always.
    if isinstance(node, str) or (line.isascii() and len(line) <= WIDTH):
        return line
    inner = (laid_out(part, label, ",", depth + 1) for label, part in node.parts)
    return "\n".join([f"{margin}{before}{node.opening}", *inner, f"{margin}{node.closing}{after}"])


def _flat(node: Node) -> str:
    return node if isinstance(node, str) else node.flat
