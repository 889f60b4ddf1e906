"""Where a cell comes from: its ancestors, and what changed from parent to child."""

from collections.abc import Mapping
from dataclasses import dataclass

from autospace.charts.scale import with_minus
from autospace.evolution.population import Member
from autospace.spaces.cells.cell import Cell, Edge
from autospace.spaces.cells.notation import edge_notation
from autospace.spaces.cells.operations import OPERATIONS

MOST_ANCESTORS = 400


@dataclass(frozen=True, slots=True)
class Step:
    """One ancestor on the main line.

    Attributes:
        changes: what makes it differ from the step before; empty for the first.
        other: the second parent of a crossover.
    """

    member: Member
    changes: tuple[str, ...] = ()
    other: Member | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The ancestry of a cell.

    Attributes:
        steps: the main line, from the first known ancestor to the cell itself.
        ancestors: all of them, the cell included, the oldest first.
        lost: id of the parent at which the record ends; None if it is whole.
    """

    steps: tuple[Step, ...]
    ancestors: tuple[Member, ...]
    lost: str | None = None


def lineage(identity: str, known: Mapping[str, Member]) -> Lineage:
    """How the cell of this id came about, among the cells of its layer.

    Of a crossover's two parents the one that the child is closest to continues the main line.

    Raises:
        KeyError: the cell itself is not known.
    """
    steps: list[Step] = []
    seen: set[str] = set()
    lost = None
    current: Member | None = known[identity]
    while current is not None and current.id not in seen:
        seen.add(current.id)
        parents = [known[each] for each in current.origin.parents if each in known]
        if current.origin.parents and not parents:
            lost = current.origin.parents[0]
        cell = current.cell
        parents.sort(key=lambda each: len(differences(each.cell, cell)))
        main = parents[0] if parents else None
        other = parents[1] if len(parents) > 1 else None
        changes = tuple(differences(main.cell, cell)) if main else ()
        steps.append(Step(current, changes, other))
        current = main
    return Lineage(tuple(steps[::-1]), _ancestors(identity, known), lost)


def differences(parent: Cell, child: Cell) -> list[str]:
    """What changed between two cells, in words; empty if they compute the same."""
    before, after = parent.pruned(), child.pruned()
    found = []
    if before.expansion != after.expansion:
        found.append(f"expansion {before.expansion} → {after.expansion}")
    old = {(edge.source, edge.target): edge for edge in before.edges}
    new = {(edge.source, edge.target): edge for edge in after.edges}
    for slot in sorted({*old, *new}, key=lambda slot: (slot[1], slot[0])):
        if old.get(slot) != new.get(slot):
            found.append(_edge_change(old.get(slot), new.get(slot)))
    nodes = zip(_mixes(before), _mixes(after), strict=False)
    for node, (was, now) in enumerate(nodes, start=1):
        if was != now:
            found.append(f"node {node} mixes by {now}, not {was}")
    return found


def _edge_change(old: Edge | None, new: Edge | None) -> str:
    if new is None:
        return with_minus(f"- {edge_notation(old)}") if old else ""
    if old is None:
        return f"+ {edge_notation(new)}"
    symbol = OPERATIONS[old.operation].symbol
    return f"{new.source}>{new.target} {symbol} → {OPERATIONS[new.operation].symbol}"


def _mixes(cell: Cell) -> tuple[str, ...]:
    # The last node stands last, however many nodes there are.
    return cell.mix


def _ancestors(identity: str, known: Mapping[str, Member]) -> tuple[Member, ...]:
    found: dict[str, Member] = {}
    waiting = [identity]
    while waiting and len(found) < MOST_ANCESTORS:
        member = known.get(waiting.pop(0))
        if member is not None and member.id not in found:
            found[member.id] = member
            waiting.extend(member.origin.parents)
    ordered = sorted(found.values(), key=lambda each: (each.origin.generation, each.id))
    return tuple(ordered)
