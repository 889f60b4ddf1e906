"""What cells have in common: how often operations, mixes and expansions occur, by depth."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from autospace.report.record import RunRecord
from autospace.spaces.cells.cell import Cell

Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True)
class Traits:
    """Averages over some cells.

    Attributes:
        operations: share of each operation among the live edges.
        mixes: share of each mix among the live nodes with more than one way in, or any but `sum`.
        expansions: share of the cells with each expansion ratio.
        edges: live edges per cell.
        cells: how many cells there are.
    """

    operations: dict[str, float]
    mixes: dict[str, float]
    expansions: dict[int, float]
    edges: float
    cells: int


@dataclass(frozen=True, slots=True)
class Depth:
    """Neighbouring layers with the traits of what they offer at the end and at the beginning."""

    name: str
    layers: range
    learned: Traits
    initial: Traits | None


def traits(cells: Iterable[Cell]) -> Traits:
    """The traits of some cells; all zero if there are none."""
    pruned = [cell.pruned() for cell in cells]
    edges = Counter(edge.operation for cell in pruned for edge in cell.edges)
    mixes = Counter(cell.mix[node - 1] for cell in pruned for node in _mixing(cell))
    expansions = Counter(cell.expansion for cell in pruned)
    return Traits(
        _shares(edges),
        _shares(mixes),
        _shares(expansions),
        edges.total() / max(1, len(pruned)),
        len(pruned),
    )


def by_depth(record: RunRecord) -> tuple[Depth, ...]:
    """Early, middle and late layers: evolved cells against the initial population."""
    layers = len(record.shapes)
    if not layers or (record.state is None and record.space is None):
        return ()
    parts = min(3, layers)
    names = {1: ("all layers",), 2: ("early layers", "late layers")}.get(
        parts, ("early layers", "middle layers", "late layers")
    )
    cuts = [round(layers * index / parts) for index in range(parts + 1)]
    return tuple(
        _depth(record, name, range(cuts[index], cuts[index + 1]))
        for index, name in enumerate(names)
    )


def overall(record: RunRecord) -> Depth:
    """All layers together."""
    return _depth(record, "all layers", range(len(record.shapes)))


def shifts(depth: Depth) -> list[tuple[str, float, float]]:
    """Operations with their initial and learned share, the largest change first."""
    if depth.initial is None:
        return []
    names = {*depth.learned.operations, *depth.initial.operations}
    found = [
        (name, depth.initial.operations.get(name, 0.0), depth.learned.operations.get(name, 0.0))
        for name in names
    ]
    return sorted(found, key=lambda each: (-abs(each[2] - each[1]), each[0]))


def _depth(record: RunRecord, name: str, layers: range) -> Depth:
    learned = [
        each.cell
        for layer in layers
        for each in record.chosen(layer)
        if each.origin.kind != "reference"
    ]
    initial = _founders(record, layers)
    return Depth(name, layers, traits(learned), traits(initial) if initial else None)


def _founders(record: RunRecord, layers: range) -> list[Cell]:
    """The initial population but for the references, as far as the log holds it."""
    found = []
    for past in record.history:
        logged = record.log.get(past.index)
        if past.phase == "initial" and (logged is None or logged.cells is None):
            return []  # a part of it would be no fair yardstick
        if past.phase == "initial" and logged is not None and logged.cells is not None:
            members = [member for layer in layers for member in logged.cells[layer]]
            found += [each.cell for each in members if each.origin.kind != "reference"]
    return found


def _mixing(cell: Cell) -> Sequence[int]:
    incoming = Counter(edge.target for edge in cell.edges)
    live = cell.live_nodes
    nodes = range(1, cell.nodes)
    return [n for n in nodes if n in live and (incoming[n] > 1 or cell.mix[n - 1] != "sum")]


def _shares(counts: Counter[Key]) -> dict[Key, float]:
    total = max(1, counts.total())
    return {name: count / total for name, count in counts.items()}
