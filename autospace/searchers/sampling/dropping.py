"""What drops out of a space in a search by `bnas`, and in how many stages.

Where whole cells are chosen, a candidate of a layer drops out. Where nodes of cells with two inputs
are chosen, a candidate is a pair of edges: the alternatives are then the operations of each edge,
and those that two candidates have in common count as one, as in BNAS (Chen et al., AAAI 2020).
Operations drop out until each edge has one; then edges drop out until a node has two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autospace.spaces.cells.cell import Edge
from autospace.spaces.cells.darts_cell import EDGES, DartsCell
from autospace.spaces.space import Layer


class Stage(NamedTuple):
    """Networks that are drawn before something drops out.

    Attributes:
        draws: their number.
        level: that is reached afterwards; see `Levels`.
    """

    draws: int
    level: int


def stages(
    widest: int,
    rounds: int | None,
    most: int,
    half: bool = False,
    cover: Callable[[int, bool], int] | None = None,
) -> list[Stage]:
    """The stages of a search, which draws at most so many networks.

    It goes down one level at a time, or as many as the number of networks requires.

    Args:
        widest: the first level; the last is 1.
        rounds: draws of each alternative in each stage; None for as many as possible.
        most: networks that may be drawn.
        half: whether later stages draw only half of the alternatives.
        cover: from a level, and whether half are drawn, to the networks that hold each alternative
            once; by default those of a layer that has as many candidates.
    """
    cover = cover or (lambda size, halved: -(-size // 2) if halved else size)
    for dropped in range(1, max(2, widest)):
        levels = [*range(widest, 1, -dropped)]
        draws = [cover(level, half and place > 0) for place, level in enumerate(levels)]
        if sum(draws) <= most:
            break
    each = most // max(1, sum(draws))
    if rounds is not None:
        each = min(each, rounds)
    return [
        Stage(count * each or min(most, count), max(1, level - dropped))
        for count, level in zip(draws, levels, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What competes in a layer.

    Attributes:
        names: of the alternatives.
        edges: per alternative, the number of its edge; all are on one if candidates drop out whole.
        parts: per candidate, the alternatives that it is made of.
    """

    names: tuple[str, ...]
    edges: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, layer: Layer) -> "Alternatives":
        """The operations of each edge of a node; elsewhere the candidates."""
        if layer.shape.node is None:
            names = tuple(candidate.id for candidate in layer.candidates)
            return cls(names, (0,) * len(names), tuple((i,) for i in range(len(names))))
        rows = [_chosen(candidate.cell) for candidate in layer.candidates]
        every = sorted({edge for row in rows for edge in row})
        places = {edge: place for place, edge in enumerate(every)}
        sources = sorted({edge.source for edge in every})
        return cls(
            tuple(f"{edge.operation}~{edge.source}" for edge in every),
            tuple(sources.index(edge.source) for edge in every),
            tuple(tuple(places[edge] for edge in row) for row in rows),
        )

    @property
    def kept(self) -> int:
        """Edges that are left in the end."""
        return min(EDGES, len(set(self.edges))) if len(self.parts[0]) > 1 else 1

    def rivals(self, left: Sequence[int]) -> list[list[int]]:
        """Of the alternatives that are left, those that compete with each other.

        That is those of an edge; if each edge has one left, it is the edges.
        """
        return [[*left]] if self.between_edges(left) else self._by_edge(left)

    def between_edges(self, left: Sequence[int]) -> bool:
        """Whether the edges of a node compete, because each has one operation left."""
        rows = self._by_edge(left)
        return len(rows) > 1 and all(len(row) == 1 for row in rows)

    def _by_edge(self, left: Sequence[int]) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for each in left:
            found.setdefault(self.edges[each], []).append(each)
        return [*found.values()]

    def whole(self, left: Sequence[int]) -> list[int]:
        """The candidates of which all parts are left."""
        there = set(left)
        return [index for index, parts in enumerate(self.parts) if there.issuperset(parts)]


def _chosen(cell: object) -> tuple[Edge, ...]:
    if not isinstance(cell, DartsCell):
        raise TypeError(f"a {type(cell).__name__} among choices of nodes")
    return cell.chosen


@dataclass(frozen=True, slots=True)
class Levels:
    """How far a space has been thinned out: the highest level is the whole space, 1 the end.

    Attributes:
        layers: what competes in each.
        operations: most alternatives of an edge.
        edges: most edges of a layer.
        kept: most edges that are left in the end.
    """

    layers: tuple[Alternatives, ...]
    operations: int
    edges: int
    kept: int

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> "Levels":
        """The levels of a space."""
        found = tuple(map(Alternatives.of, layers))
        return cls(
            found,
            max(each.edges.count(edge) for each in found for edge in set(each.edges)),
            max(len(set(each.edges)) for each in found),
            max(each.kept for each in found),
        )

    @property
    def highest(self) -> int:
        """The level of the whole space: a step down for every operation and edge too many."""
        return self.operations + self.edges - self.kept

    def operations_at(self, level: int) -> int:
        """The most alternatives of an edge that are left at a level."""
        return max(1, level - (self.edges - self.kept))

    def edges_at(self, level: int) -> int:
        """The most edges of a layer that are left at a level."""
        return min(self.edges, level + self.kept - 1)

    def draws(self, level: int, halved: bool) -> int:
        """The networks that hold every alternative of a level, or half of them, once."""
        most = self.operations_at(level)
        if most == 1:
            return -(-_half_of(self.edges_at(level), halved) // self.kept)
        counts = (
            [_half_of(min(most, each.edges.count(edge)), halved) for edge in set(each.edges)]
            for each in self.layers
        )
        return max(-(-sum(row) // min(self.kept, len(row))) for row in counts)


def _half_of(count: int, halved: bool) -> int:
    return -(-count // 2) if halved else count
