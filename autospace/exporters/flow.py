"""A network as nodes and links in groups: what DOT and Mermaid spell, each in its own way."""

from dataclasses import dataclass

from autospace.exporters.ends import head_facts, stem_facts
from autospace.exporters.svg import by_fitness, layers_of
from autospace.spaces import Architecture, Layer, Space
from autospace.spaces.cells.notation import edge_label, human, node_label, shape_label


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
    """The network with the best cell of every layer; of an architecture, its own cells."""
    skeleton = value.skeleton
    return Flow(
        value.name if isinstance(value, Space) else skeleton.name,
        Node("stem", ("stem", *stem_facts(skeleton))),
        tuple(map(_group, layers_of(value))),
        Node("head", ("head", *head_facts(skeleton))),
    )


def _group(layer: Layer) -> Group:
    best = by_fitness(layer.candidates)[0]
    cell, name = best.cell.pruned(), layer.shape.name
    last = cell.nodes - 1
    nodes = []
    for index in sorted(cell.live_nodes | {0, last}):
        expand = [f"expand x{cell.expansion}"] if index == 0 and cell.expansion > 1 else []
        project = ["project"] if index == last and not cell.is_zero else []
        label = ", ".join((node_label(cell, index), *expand, *project))
        nodes.append(Node(f"{name}_{index}", (*(_facts(layer) if index == 0 else ()), label)))
    links = [
        Link(f"{name}_{edge.source}", f"{name}_{edge.target}", edge_label(edge, cell, layer.shape))
        for edge in cell.edges
    ]
    if layer.shape.shortcut:
        links.append(Link(f"{name}_0", f"{name}_{last}", "shortcut", dashed=True))
    return Group(name, tuple(nodes), tuple(links))


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
        f"{human(cost.madds)} MAdds{fitness}",
    )
