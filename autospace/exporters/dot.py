"""A space or an architecture as a graph in DOT: `dot -Tsvg FILE` draws it."""

from collections.abc import Iterable

from autospace.exporters.flow import Flow, Link, Node, flow
from autospace.spaces import Architecture, Space
from autospace.spaces.text import visible


def export_space(space: Space) -> str:
    """The network with the best cell of every layer."""
    return _graph(flow(space))


def export_architecture(architecture: Architecture) -> str:
    """The network with the cell of every layer."""
    return _graph(flow(architecture))


def _graph(drawn: Flow) -> str:
    lines = [
        "digraph network {",
        f"  label={_text([drawn.title])};",
        '  labelloc="t";',
        '  fontname="Helvetica,Arial,sans-serif";',
        '  node [shape="box", style="rounded", fontname="Helvetica,Arial,sans-serif"];',
        '  edge [fontname="Helvetica,Arial,sans-serif"];',
        f"  {_node(drawn.stem)}",
    ]
    for group in drawn.groups:
        # A cluster has its own label, or else shows the graph's.
        lines += [f"  subgraph cluster_{group.id} {{", '    label="";']
        lines += [f"    {_node(node)}" for node in group.nodes]
        lines += [f"    {_link(link)}" for link in group.links]
        lines.append("  }")
    lines += [f"  {_node(drawn.head)}", *(f"  {_link(link)}" for link in drawn.links), "}"]
    return "\n".join(lines) + "\n"


def _node(node: Node) -> str:
    return f"{node.id} [label={_text(node.lines)}];"


def _link(link: Link) -> str:
    label = [f"label={_text([link.text])}"] if link.text else []
    style = ['style="dashed"'] if link.dashed else []
    attributes = f" [{', '.join([*label, *style])}]" if label or style else ""
    return f"{link.source} -> {link.target}{attributes};"


def _text(lines: Iterable[str]) -> str:
    r"""A quoted label: in it `\` starts an escape, `&` an entity, and `\n` ends a line."""
    escaped = (
        visible(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
        for line in lines
    )
    return '"' + "\\n".join(escaped) + '"'
