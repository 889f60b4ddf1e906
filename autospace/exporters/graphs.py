"""Writes spaces and architectures as graphs: DOT (for `dot -Tsvg`) or Mermaid (for Markdown)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from autospace.spaces import Architecture, Cell, Layer, Skeleton, Space
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.family import KINDS, check_kind, work_of
from autospace.spaces.cells.notation import (
    PAIRED,
    cell_ends,
    drawable,
    edge_label,
    has_shortcut,
    node_label,
    shape_label,
)
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.space import by_fitness, drawn_layers
from autospace.spaces.text import visible


def stem_facts(skeleton: Skeleton) -> tuple[str, ...]:
    """The image and the fixed convolutions before the first layer; of text, the embedding."""
    if isinstance(skeleton, EncoderSkeleton):
        size = f"sentence of {skeleton.length} tokens, {skeleton.vocabulary:,} different ones"
        rule = f"{len(skeleton.blocks)} blocks: one hidden size each, only last layers skipped"
        return (size, f"embedding, positions, layer norm: {skeleton.width} units", rule)
    if isinstance(skeleton, CaptionSkeleton):
        side = skeleton.resolution
        image = f"{skeleton.in_channels}x{side}x{side} image"
        convolutions = f"conv 3x3 /2, {' '.join(map(str, skeleton.encoder))} channels"
        feature = f"feature, {skeleton.width} units: first states, and added to tokens"
        tokens = f"{skeleton.vocabulary:,} tokens, embedding of {skeleton.width} units"
        return (image, convolutions, feature, tokens)
    if isinstance(skeleton, SequenceSkeleton):
        return (f"{skeleton.vocabulary:,} tokens", f"embedding, {skeleton.width} units")
    stem, side = skeleton.stem, skeleton.resolution
    stride = f" /{stem.stride}" if stem.stride != 1 else ""
    block = [f"MBConv k3, {stem.block} channels"] if stem.block is not None else []
    image = f"{skeleton.in_channels}x{side}x{side} image"
    fixed = sum(layer.fixed for layer in skeleton.layers)
    blocks = [f"{fixed} residual blocks between layers"] if fixed else []
    times = "" if stem.convolutions == 1 else f"{stem.convolutions} times "
    stages = [f"{len(skeleton.stages)} stages: only last layers skipped"] if skeleton.stages else []
    convolution = f"{times}conv 3x3{stride}, {stem.channels} channels"
    return (image, convolution, *block, *blocks, *stages)


def head_facts(skeleton: Skeleton) -> tuple[str, ...]:
    """The parts that turn the output of the last layer into scores of classes or tokens."""
    if isinstance(skeleton, EncoderSkeleton):
        return ("mean over tokens", f"{skeleton.classes} classes")
    if isinstance(skeleton, SequenceSkeleton):
        bias = ", with a bias" if skeleton.bias else ""
        if isinstance(skeleton, CaptionSkeleton):
            bias = f"{bias}, of the mean of all layers"
        return (f"matrix of the embedding{bias}", f"{skeleton.vocabulary:,} tokens")
    last = [f"conv 1x1, {skeleton.head} channels"] if skeleton.head else []
    norm = ["batch norm, ReLU"] if skeleton.preactivation else []
    mixing = [f"linear, {skeleton.last} channels"] if skeleton.last else []
    return (*last, *norm, "global average pool", *mixing, f"{skeleton.classes} classes")


@dataclass(frozen=True, slots=True)
class Node:
    """A box; its id is made of letters, digits and underscores, its lines may hold anything."""

    id: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow from one node to another; dashed for a shortcut around a cell."""

    source: str
    target: str
    text: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A layer: the nodes and edges of one cell; the first node says which cell it is."""

    id: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """Stem, one group per layer, head, and the links that join them in this order."""

    title: str
    stem: Node
    groups: tuple[Group, ...]
    head: Node

    @property
    def links(self) -> tuple[Link, ...]:
        """From each part's last node to the next part's first."""
        firsts = [*(group.nodes[0].id for group in self.groups), self.head.id]
        lasts = [self.stem.id, *(group.nodes[-1].id for group in self.groups)]
        return tuple(Link(*ends) for ends in zip(lasts, firsts, strict=True))


def flow(value: Space | Architecture) -> Flow:
    """The network with the best cell of every layer; of an architecture, its own cells.

    Raises:
        SpaceError: no drawing is known for cells of this family.
    """
    check_kind(
        value.kind,
        "drawings",
        KINDS,
    )
    skeleton = value.skeleton
    return Flow(
        value.name if isinstance(value, Space) else skeleton.name,
        Node("stem", ("stem", *stem_facts(skeleton))),
        tuple(map(_group, drawn_layers(value))),
        Node("head", ("head", *head_facts(skeleton))),
    )


def _group(layer: Layer) -> Group:
    best = by_fitness(layer.candidates)[0]
    cell, name = _drawn(best.cell), layer.shape.name
    last = cell.nodes - 1
    nodes = []
    # What only passes on its input, and what is behind no path, say nothing.
    before, behind = cell_ends(cell)
    around = {0: before.removeprefix("input").removeprefix(", "), last: behind}
    if cell.is_zero or cell.kind in PAIRED:
        around = {}
    for index in sorted(cell.live_nodes | {0, last}):
        label = ", ".join(each for each in (node_label(cell, index), around.get(index)) if each)
        nodes.append(Node(f"{name}_{index}", (*(_facts(layer) if index == 0 else ()), label)))
    links = [
        Link(f"{name}_{edge.source}", f"{name}_{edge.target}", edge_label(edge, cell, layer.shape))
        for edge in cell.edges
    ]
    if has_shortcut(best.cell, layer.shape):
        links.append(Link(f"{name}_0", f"{name}_{last}", "shortcut", dashed=True))
    return Group(name, tuple(nodes), tuple(links))


def _drawn(cell: Cell) -> Any:
    """The graph of a cell; one that is not drawn as it is has a picture."""
    return drawable(cell) if cell.kind in (*PAIRED, "recurrent") else cell.pruned()


def _facts(layer: Layer) -> tuple[str, ...]:
    best = by_fitness(layer.candidates)[0]
    cost = layer.costs[layer.candidates.index(best)]
    fitness = "" if best.fitness is None else f", fitness {best.fitness:+.3f}"
    count = len(layer.candidates)
    chosen = "" if count == 1 else f" ({'1' if best.fitness is None else 'best'} of {count})"
    shape = shape_label(layer.shape).replace("->", "→")
    return (
        f"{layer.shape.name}: {shape}",
        f"{best.id}{chosen}",
        f"{work_of(best.cell.kind, cost)}{fitness}",
    )


def space_to_dot(space: Space) -> str:
    """The network with the best cell of every layer."""
    return _graph(flow(space))


def architecture_to_dot(architecture: Architecture) -> str:
    """The network with the cell of every layer."""
    return _graph(flow(architecture))


def _graph(drawn: Flow) -> str:
    lines = [
        "digraph network {",
        f"  label={_dot_text([drawn.title])};",
        '  labelloc="t";',
        '  fontname="Helvetica,Arial,sans-serif";',
        '  node [shape="box", style="rounded", fontname="Helvetica,Arial,sans-serif"];',
        '  edge [fontname="Helvetica,Arial,sans-serif"];',
        f"  {_dot_node(drawn.stem)}",
    ]
    for group in drawn.groups:
        # A cluster has its own label, or else shows the graph's.
        lines += [f"  subgraph cluster_{group.id} {{", '    label="";']
        lines += [f"    {_dot_node(node)}" for node in group.nodes]
        lines += [f"    {_dot_link(link)}" for link in group.links]
        lines.append("  }")
    lines += [f"  {_dot_node(drawn.head)}", *(f"  {_dot_link(link)}" for link in drawn.links), "}"]
    return "\n".join(lines) + "\n"


def _dot_node(node: Node) -> str:
    return f"{node.id} [label={_dot_text(node.lines)}];"


def _dot_link(link: Link) -> str:
    label = [f"label={_dot_text([link.text])}"] if link.text else []
    style = ['style="dashed"'] if link.dashed else []
    attributes = f" [{', '.join([*label, *style])}]" if label or style else ""
    return f"{link.source} -> {link.target}{attributes};"


def _dot_text(lines: Iterable[str]) -> str:
    r"""A quoted label: in it `\` starts an escape, `&` an entity, and `\n` ends a line."""
    escaped = (
        visible(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
        for line in lines
    )
    return '"' + "\\n".join(escaped) + '"'


def space_to_mermaid(space: Space) -> str:
    """The network with the best cell of every layer."""
    return _chart(flow(space))


def architecture_to_mermaid(architecture: Architecture) -> str:
    """The network with the cell of every layer."""
    return _chart(flow(architecture))


def _chart(drawn: Flow) -> str:
    # The header is YAML, in which a JSON string is a string.
    lines = ["---", f"title: {json.dumps(visible(drawn.title))}", "---", "flowchart TB"]
    lines.append(f"  {_mermaid_node(drawn.stem)}")
    for group in drawn.groups:
        # Without a title of its own it shows its id, across which arrows would run.
        lines.append(f'  subgraph {group.id}[" "]')
        lines += [f"    {_mermaid_node(node)}" for node in group.nodes]
        lines += [f"    {_mermaid_link(link)}" for link in group.links]
        lines.append("  end")
    lines += [
        f"  {_mermaid_node(drawn.head)}",
        *(f"  {_mermaid_link(link)}" for link in drawn.links),
    ]
    return "\n".join(lines) + "\n"


def _mermaid_node(node: Node) -> str:
    return f"{node.id}({_mermaid_text(node.lines)})"


def _mermaid_link(link: Link) -> str:
    arrow = "-.->" if link.dashed else "-->"
    text = f"|{_mermaid_text([link.text])}|" if link.text else ""
    return f"{link.source} {arrow}{text} {link.target}"


def _mermaid_text(lines: Iterable[str]) -> str:
    """A quoted label: whatever Mermaid, Markdown or HTML could read in it is an entity code."""
    return f'"{"<br/>".join("".join(map(_escaped, visible(line))) for line in lines)}"'


def _escaped(char: str) -> str:
    return char if char.isalnum() or char in " ,.:/+-()_→" else f"#{ord(char)};"
