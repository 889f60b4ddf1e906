"""A space or an architecture as a Mermaid flowchart: Markdown pages draw it."""

import json
from collections.abc import Iterable

from autospace.exporters.flow import Flow, Link, Node, flow
from autospace.spaces import Architecture, Space
from autospace.spaces.text import visible


def export_space(space: Space) -> str:
    """The network with the best cell of every layer."""
    return _chart(flow(space))


def export_architecture(architecture: Architecture) -> str:
    """The network with the cell of every layer."""
    return _chart(flow(architecture))


def _chart(drawn: Flow) -> str:
    # The header is YAML, in which a JSON string is a string.
    lines = ["---", f"title: {json.dumps(visible(drawn.title))}", "---", "flowchart TB"]
    lines.append(f"  {_node(drawn.stem)}")
    for group in drawn.groups:
        # Without a title of its own it shows its id, across which arrows would run.
        lines.append(f'  subgraph {group.id}[" "]')
        lines += [f"    {_node(node)}" for node in group.nodes]
        lines += [f"    {_link(link)}" for link in group.links]
        lines.append("  end")
    lines += [f"  {_node(drawn.head)}", *(f"  {_link(link)}" for link in drawn.links)]
    return "\n".join(lines) + "\n"


def _node(node: Node) -> str:
    return f"{node.id}({_text(node.lines)})"


def _link(link: Link) -> str:
    arrow = "-.->" if link.dashed else "-->"
    return f"{link.source} {arrow}{f'|{_text([link.text])}|' if link.text else ''} {link.target}"


def _text(lines: Iterable[str]) -> str:
    """A quoted label: whatever Mermaid, Markdown or HTML could read in it is an entity code."""
    return f'"{"<br/>".join("".join(map(_escaped, visible(line))) for line in lines)}"'


def _escaped(char: str) -> str:
    return char if char.isalnum() or char in " ,.:/+-()_→" else f"#{ord(char)};"
