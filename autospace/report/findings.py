"""The findings of a run as numbers and sentences, and the traits of its cells by depth."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from autospace.report.page import size_text
from autospace.report.record import RunRecord
from autospace.spaces.cells.cell import Cell
from autospace.spaces.space import Candidate
from autospace.spaces.text import human

Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True)
class Traits:
    """Averages over some cells.

    Attributes:
        operations: share of each operation among the live edges.
        mixes: share of each mix among the live nodes that have several edges or a mix but `sum`.
        expansions: share of the cells with each expansion ratio.
        edges: live edges per cell.
        cells: number of cells.
    """

    operations: dict[str, float]
    mixes: dict[str, float]
    expansions: dict[int, float]
    edges: float
    cells: int


@dataclass(frozen=True, slots=True)
class Depth:
    """Neighbouring layers, and the traits of their cells at the end and at the beginning."""

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
    """The initial population without the references, if the log holds all of it."""
    found = []
    for past in record.history:
        logged = record.log.get(past.index)
        if past.phase == "initial" and (logged is None or logged.cells is None):
            return []  # a part of the population would be no fair baseline
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


MOST_SHIFTS = 2
LEAST_SHIFT = 0.03
"""Changes of an operation's share below three percentage points are not reported."""


@dataclass(frozen=True, slots=True)
class LayerFinding:
    """The best evolved cell of a layer, compared with the best hand-made one.

    Attributes:
        best: None if evolution kept no cell.
        rival: the fittest reference cell.
    """

    name: str
    best: Candidate | None
    rival: Candidate | None

    @property
    def identity(self) -> str:
        """Id of the best evolved cell; empty if there is none."""
        return self.best.id if self.best is not None else ""

    @property
    def beats_all(self) -> bool:
        """Whether it is fitter than every reference cell."""
        return self.best is not None and gain(self) > 0


def gain(found: LayerFinding) -> float:
    """The fitness of the best evolved cell minus that of the best hand-made one."""
    return _value(found.best) - max(0.0, _value(found.rival))


def layer_findings(record: RunRecord) -> tuple[LayerFinding, ...]:
    """One finding per layer, input side first."""
    found = []
    for index, shape in enumerate(record.shapes):
        cells = record.chosen(index)
        evolved = [each for each in cells if each.origin.kind != "reference"]
        rivals = [each for each in cells if each.origin.kind == "reference"]
        found.append(
            LayerFinding(
                shape.name,
                max(evolved, key=_value, default=None),
                max(rivals, key=_value, default=None),
            )
        )
    return tuple(found)


def headline(record: RunRecord) -> str:
    """The outcome in one sentence."""
    found = layer_findings(record)
    if record.space is None:
        done = len(record.history)
        if not done:
            return "This run has not finished its first round yet."
        return f"This run is not finished: {_count(done, 'round')} done. Numbers are provisional."
    beating = sum(each.beats_all for each in found)
    layers = len(found)
    if beating == layers:
        where = "In every layer" if layers > 1 else "In the only layer"
    elif beating:
        where = f"In {beating} of {layers} layers"
    else:
        return "Evolution found no cell with a higher fitness than the hand-made ones in any layer."
    return f"{where}, evolution found a cell with a higher fitness than every hand-made one."


def story(record: RunRecord) -> list[str]:
    """A few sentences on what was learned."""
    told = [_outcome(record), _stop(record), _best(record), *_operations(record), _caution(record)]
    return [sentence for sentence in told if sentence]


def _outcome(record: RunRecord) -> str:
    space = record.space
    if space is None:
        return ""
    counts = {len(layer.candidates) for layer in space.layers}
    each = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    limit = space.budget.max_madds
    kept = f"; none exceeds the budget of {human(limit)}" if limit is not None else ""
    return (
        f"The learned space offers {each} cells in each of {_count(len(space.layers), 'layer')}: "
        f"{size_text(space.size)} architectures of {human(space.madds.min)} to "
        f"{human(space.madds.max)} MAdds{kept}."
    )


def _stop(record: RunRecord) -> str:
    stop = record.space.provenance.get("evolution") if record.space else None
    return f"Evolution {stop}." if isinstance(stop, str) else ""


def _best(record: RunRecord) -> str:
    found = [each for each in layer_findings(record) if each.best is not None]
    if not found:
        return ""
    top = max(found, key=gain)
    rival = max(0.0, _value(top.rival))
    return (
        f"The largest gain is in {top.name}, where {top.identity} has a fitness of "
        f"{_value(top.best):.3f}; the best hand-made cell there has {rival:.3f}."
    )


def _operations(record: RunRecord) -> list[str]:
    everything = overall(record)
    changed = [each for each in shifts(everything) if abs(each[2] - each[1]) >= LEAST_SHIFT]
    more = [each for each in changed if each[2] > each[1]][:MOST_SHIFTS]
    less = [each for each in changed if each[2] < each[1]][:MOST_SHIFTS]
    parts = [f"more {_shift(*each)}" for each in more] + [f"less {_shift(*each)}" for each in less]
    if not parts:
        return []
    return [f"Compared with the initial population, the kept cells use {_listed(parts)}."]


def _caution(record: RunRecord) -> str:
    if not record.history and record.space is None:
        return ""
    return (
        "Fitness is an estimate from short training, not an accuracy. To test whether the space "
        "is better than another, use autospace compare."
    )


def _shift(name: str, before: float, after: float) -> str:
    return f"{name} ({before:.0%} → {after:.0%} of edges)"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _value(candidate: Candidate | None) -> float:
    return candidate.fitness or 0.0 if candidate is not None else 0.0
