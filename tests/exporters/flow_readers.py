"""Strict readers of the DOT and the Mermaid that we write: everything else is an error."""

import html
import json
import re
from dataclasses import dataclass, field

_QUOTED = r'"((?:[^"\\\n]|\\.)*)"'
_ID = r"(\w+)"


@dataclass
class Drawn:
    """What a picture holds: nodes with their lines, links, and the nodes of each group."""

    title: str = ""
    nodes: dict[str, list[str]] = field(default_factory=dict)
    links: list[tuple[str, str, str, bool]] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)


def read_dot(text: str) -> Drawn:
    """A digraph, one statement a line."""
    drawn, group = Drawn(), None
    first, *body, last = text.splitlines()
    assert (first, last) == ("digraph network {", "}")
    for line in map(str.strip, body):
        if match := re.fullmatch(rf"label={_QUOTED};", line):
            if group is None:
                (drawn.title,) = _dot_lines(match[1])
            else:
                assert match[1] == ""
        elif match := re.fullmatch(rf"subgraph cluster_{_ID} {{", line):
            group = drawn.groups.setdefault(match[1], [])
        elif line == "}":
            group = None
        elif match := re.fullmatch(rf"{_ID} \[label={_QUOTED}\];", line):
            _add_node(drawn, group, match[1], _dot_lines(match[2]))
        elif match := re.fullmatch(
            rf'{_ID} -> {_ID}(?: \[label={_QUOTED}(, style="dashed")?\])?;', line
        ):
            label = _dot_lines(match[3])[0] if match[3] is not None else ""
            drawn.links.append((match[1], match[2], label, match[4] is not None))
        else:
            assert re.fullmatch(r'(node \[.*\]|edge \[.*\]|\w+="[^"]*");', line), line
    return drawn


def read_mermaid(text: str) -> Drawn:
    """A flowchart with a title, one statement a line."""
    opening, title, closing, kind, *body = text.splitlines()
    assert (opening, closing, kind) == ("---", "---", "flowchart TB")
    drawn, group = Drawn(json.loads(title.removeprefix("title: "))), None
    label = r'"([^"]*)"'
    for line in map(str.strip, body):
        if match := re.fullmatch(rf'subgraph {_ID}\[" "\]', line):
            group = drawn.groups.setdefault(match[1], [])
        elif line == "end":
            group = None
        elif match := re.fullmatch(rf"{_ID}\({label}\)", line):
            _add_node(drawn, group, match[1], _mermaid_lines(match[2]))
        else:
            match = re.fullmatch(rf"{_ID} (-->|-\.->)(?:\|{label}\|)? {_ID}", line)
            assert match, line
            (words,) = _mermaid_lines(match[3] or "")
            drawn.links.append((match[1], match[4], words, match[2] != "-->"))
    return drawn


def _add_node(drawn: Drawn, group: list[str] | None, name: str, lines: list[str]) -> None:
    assert name not in drawn.nodes
    drawn.nodes[name] = lines
    if group is not None:
        group.append(name)


def _dot_lines(text: str) -> list[str]:
    r"""Lines of a label: `\n` ends one, `\"` and `\\` are one character, `&...;` an entity."""
    lines = [""]
    for token in re.findall(r"\\.|[^\\]", text):
        if token == r"\n":
            lines.append("")
        else:
            assert token in (r"\\", r"\"") or len(token) == 1, token
            lines[-1] += token[-1]
    return [html.unescape(line) for line in lines]


def _mermaid_lines(text: str) -> list[str]:
    """Lines of a label: `#9;` is the character of that number, the others are harmless."""
    parts = text.split("<br/>")
    for part in parts:
        assert re.fullmatch(r"(?:[\w ,.:/+()→-]|#\d+;)*", part), part
    return [re.sub(r"#(\d+);", lambda match: chr(int(match[1])), part) for part in parts]
