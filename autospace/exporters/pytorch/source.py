"""Python source as text: definitions of templates, and tables laid out as by a formatter.

The classes and functions of an exported file are those of `templates/`, which linters and the type
checker read like any other source. Tables of cells and layers are nested Python literals, formatted
as by ruff and black.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Final, Union

from autospace.exporters.python_clients import literal
from autospace.spaces import Architecture, Skeleton, Space
from autospace.spaces.text import visible

_MARK: Final = re.compile(r"  # (?:(\w+)|type: ignore.*)$")


def imports(*templates: str) -> str:
    """The imports of these templates, sorted as by isort."""
    nodes = (node for name in templates for node in _tree(name).body)
    lines = {ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)}
    groups: tuple[list[str], list[str]] = ([], [])
    for line in sorted(lines, key=lambda line: (line.startswith("from"), line)):
        package = re.split(r"[ .]", line)[1]
        if package != "autospace":
            groups[package not in sys.stdlib_module_names].append(line)
    return "\n\n".join("\n".join(group) for group in groups) + "\n"


def definition(template: str, name: str, **marks: bool | str) -> str:
    """A class or function of a template.

    Args:
        template: the file's name.
        name: of the class or function; `__main__` for what the file does as a program.
        marks: for every mark at the end of a line, such as `# mix`, whether the lines with it
            stay, or the text that replaces them.
    """
    lines: list[str] = []
    for mark, marked in groupby(_definitions(template)[name], key=_mark):
        filling = marks[mark] if mark else True
        if filling is True:
            lines += [_MARK.sub("", line) for line in marked]
        elif filling:
            lines.append(filling)
    return "\n".join(lines)


def _mark(line: str) -> str | None:
    found = _MARK.search(line)
    return found and found[1]


def _text(template: str) -> str:
    folder = resources.files("autospace.exporters") / "templates"
    return (folder / f"{template}.py").read_text("utf-8")


@cache
def _tree(template: str) -> ast.Module:
    return ast.parse(_text(template))


@cache
def _definitions(template: str) -> Mapping[str, list[str]]:
    lines = _text(template).splitlines()
    return {
        getattr(node, "name", "__main__"): lines[node.lineno - 1 : node.end_lineno]
        for node in _tree(template).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.If)
    }


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
    # Only a formatter knows the width of text that is not ASCII: it always counts as too wide.
    if isinstance(node, str) or (line.isascii() and len(line) <= WIDTH):
        return line
    inner = (laid_out(part, label, ",", depth + 1) for label, part in node.parts)
    return "\n".join([f"{margin}{before}{node.opening}", *inner, f"{margin}{node.closing}{after}"])


def _flat(node: Node) -> str:
    return node if isinstance(node, str) else node.flat


def dict_display(entries: Mapping[str, str] | Mapping[int, str]) -> Group:
    """A dict of strings."""
    parts = (
        (f"{literal(key) if isinstance(key, str) else key}: ", literal(value))
        for key, value in entries.items()
    )
    return Group("{", tuple(parts), "}")


def joined(*parts: str) -> str:
    """Definitions, two blank lines between them."""
    return "\n\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def constants(skeleton: Skeleton) -> str:
    """The constants for the input and the output of the network."""
    side = skeleton.resolution
    return (
        f"IMAGE = ({skeleton.in_channels}, {side}, {side})  # channels, height, width\n"
        f"CLASSES = {skeleton.classes}\n"
    )


def described(architecture: Architecture) -> str:
    """The docstring of a file that makes a network."""
    skeleton, cost = architecture.skeleton, architecture.cost
    facts = f"{cost.madds:,} MAdds for an image, {cost.params:,} params"
    if cost.bops:
        facts += f", {cost.bops:,} binary operations, computed as real ones"
    return f"""A network of {len(architecture.cells)} cells, written by autospace.

{_wrapped(f"Skeleton: {_quiet(skeleton.name)}. {facts}.")}

Weights that autospace trained load as they are:

    network = build()
    network.load_state_dict(safetensors.torch.load_file("model.safetensors"))
"""


def facts_of(space: Space, unit: str = "an image") -> str:
    """What the docstring of a file says of a space: its name, size and costs."""
    ranges = [("MAdds", space.madds), ("params", space.params)]
    if space.bops.max:
        ranges.append(("binary operations", space.bops))
    costs = [f"{each.min:,} to {each.max:,} {name}" for name, each in ranges]
    costs[0] += f" for {unit}"
    facts = f"{space.size:,} architectures of {costs[0]}, {' and '.join(costs[1:])}"
    return _wrapped(f"Space: {_quiet(space.name)}. {facts}.")


def default_choices(space: Space) -> str:
    """The architecture that a file of a space builds as a program."""
    first = space.at([row[0] for part in space.parts for row in part.alternatives[0]]).choices
    about = "# The reference architecture; where there is none, the first candidate.\n"
    return about + laid_out(dict_display(space.reference or first), "DEFAULT = ")


def _quiet(name: str) -> str:
    """A name for a docstring, which none of its characters can end or change."""
    return visible(name).replace("\\", "\\\\").replace('"', "'")


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 88, break_long_words=False, break_on_hyphens=False))
