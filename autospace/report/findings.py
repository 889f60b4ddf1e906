"""The findings of a run as numbers and sentences, and the traits of its cells by depth."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from autospace.report.record import RunRecord
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import FAMILIES, used, work_unit
from autospace.spaces.cost import LIMITED, NAMES
from autospace.spaces.space import Candidate, Space
from autospace.spaces.text import human, magnitude

Key = TypeVar("Key", str, int)


@dataclass(frozen=True, slots=True)
class Traits:
    """Averages over some cells.

    Attributes:
        operations: share of each operation among those that the outputs depend on.
        mixes: share of each mix among the live nodes that have several edges or a mix but `sum`;
            empty of cells whose nodes just add up.
        expansions: share of the cells with each expansion ratio; empty of cells without one.
        edges: operations per cell that its output depends on.
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
    layers: tuple[str, ...]
    learned: Traits
    initial: Traits | None


def traits(cells: Iterable[Cell]) -> Traits:
    """The traits of some cells; all zero if there are none."""
    given = tuple(cells)
    pruned = [cell.pruned() for cell in given if not cell.bare]
    operations = Counter(name for cell in given for name in used(cell))
    mixes = Counter(cell.mix[node - 1] for cell in pruned for node in _mixing(cell))
    expansions = Counter(cell.expansion for cell in pruned)
    return Traits(
        _shares(operations),
        _shares(mixes) if set(mixes) - {"sum"} else {},
        _shares(expansions),
        operations.total() / max(1, len(given)),
        len(given),
    )


def by_depth(record: RunRecord) -> tuple[Depth, ...]:
    """Early, middle and late layers: evolved cells against the initial population.

    Where several choices make a cell, the choices of each cell: their order is none of depth.
    """
    places = len(record.shapes)
    if not places or (record.state is None and record.space is None):
        return ()
    if record.divided and record.skeleton is not None:
        size = record.skeleton.choices_per_cell
        return tuple(
            _depth(record, _cell_name(record, start), range(start, start + size))
            for start in range(0, places, size)
        )
    parts = min(3, places)
    names = {1: (_all(record),), 2: ("early layers", "late layers")}.get(
        parts, ("early layers", "middle layers", "late layers")
    )
    cuts = [round(places * index / parts) for index in range(parts + 1)]
    return tuple(
        _depth(record, name, range(cuts[index], cuts[index + 1]))
        for index, name in enumerate(names)
    )


def overall(record: RunRecord) -> Depth:
    """All layers, edges or nodes together."""
    return _depth(record, _all(record), range(len(record.shapes)))


def _all(record: RunRecord) -> str:
    return f"all {record.place}s"


def _cell_name(record: RunRecord, start: int) -> str:
    """The cell that the choices from `start` on make: by its first layer, if there are several."""
    skeleton = record.skeleton
    if skeleton is None or len(record.shapes) == skeleton.choices_per_cell:
        return _all(record)
    return f"cell of {skeleton.undivided.shapes[start // skeleton.choices_per_cell].name}"


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
        each.cell for layer in layers for each in record.chosen(layer) if each.origin.evolved
    ]
    initial = _founders(record, layers)
    names = tuple(record.shapes[layer].name for layer in layers)
    return Depth(name, names, traits(learned), traits(initial) if initial else None)


def _founders(record: RunRecord, layers: range) -> list[Cell]:
    """The initial population without the references, if the log holds all of it."""
    found = []
    for past in record.history:
        logged = record.log.get(past.index)
        if past.phase == "initial" and (logged is None or logged.cells is None):
            return []  # a part of the population would be no fair baseline
        if past.phase == "initial" and logged is not None and logged.cells is not None:
            members = [member for layer in layers for member in logged.cells[layer]]
            found += [each.cell for each in members if each.origin.evolved]
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
        evolved = [each for each in cells if each.origin.evolved]
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
    place, thing = record.place, record.thing
    if not beating:
        where = f" in any {place}" if place != thing else ""
        return f"Evolution found no {thing} with a higher fitness than the hand-made ones{where}."
    some = f"found a {thing} with a higher fitness than every hand-made one."
    if place == thing:
        return f"Evolution {some}"
    if beating == layers:
        where = f"In every {place}" if layers > 1 else f"In the only {place}"
    else:
        where = f"In {beating} of {layers} {place}s"
    return f"{where}, evolution {some}"


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
    limits = " and ".join(f"{human(most)} {NAMES[unit]}" for unit, most in limits_of(space))
    kept = f"; none exceeds the budget of {limits}" if limits else ""
    place, thing = record.place, record.thing
    where = f" in each of {_count(len(space.layers), place)}" if place != thing else ""
    return (
        f"The learned space offers {each} {thing}s{where}: {magnitude(space.size)} architectures "
        f"of {work_range(space)}{kept}."
    )


def limits_of(space: Space) -> list[tuple[str, int]]:
    """The costs that the space limits, and their limits."""
    limits = ((unit, getattr(space.budget, f"max_{unit}")) for unit in LIMITED)
    return [(unit, most) for unit, most in limits if most is not None]


def work_range(space: Space) -> str:
    """The cheapest and the most expensive architecture of a space."""
    costs = space.ops if FAMILIES[space.kind].binary else space.madds
    low, high, unit = human(costs.min), human(costs.max), work_unit(space.kind)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _stop(record: RunRecord) -> str:
    stop = record.space.provenance.get("evolution") if record.space else None
    return f"Evolution {stop}." if isinstance(stop, str) else ""


def _best(record: RunRecord) -> str:
    found = [each for each in layer_findings(record) if each.best is not None]
    if not found:
        return ""
    top = max(found, key=gain)
    rival = max(0.0, _value(top.rival))
    if record.place == record.thing:
        return (
            f"The best one, {top.identity}, has a fitness of {_value(top.best):.3f}; the best "
            f"hand-made {record.thing} has {rival:.3f}."
        )
    return (
        f"The largest gain is in {top.name}, where {top.identity} has a fitness of "
        f"{_value(top.best):.3f}; the best hand-made {record.thing} there has {rival:.3f}."
    )


def _operations(record: RunRecord) -> list[str]:
    everything = overall(record)
    changed = [each for each in shifts(everything) if abs(each[2] - each[1]) >= LEAST_SHIFT]
    more = [each for each in changed if each[2] > each[1]][:MOST_SHIFTS]
    less = [each for each in changed if each[2] < each[1]][:MOST_SHIFTS]
    parts = [f"more {_shift(*each)}" for each in more] + [f"less {_shift(*each)}" for each in less]
    if not parts:
        return []
    kept = f"the kept {record.thing}s use {_listed(parts)}"
    return [f"Compared with the initial population, {kept}."]


def _caution(record: RunRecord) -> str:
    if not record.history and record.space is None:
        return ""
    return (
        "Fitness is an estimate from short training, not an accuracy. To test whether the space "
        "is better than another, use autospace compare."
    )


def _shift(name: str, before: float, after: float) -> str:
    return f"{name} ({before:.0%} → {after:.0%} of the operations)"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _value(candidate: Candidate | None) -> float:
    return candidate.fitness or 0.0 if candidate is not None else 0.0
