"""What makes a cell another one than the reference, in the notation of cells."""

from autospace.spaces import OPERATIONS, Cell, Edge
from autospace.spaces.cells.notation import edge_notation, notation


def changes(cell: Cell, reference: Cell) -> str:
    """The differences between two cells: `e6→e3, 0>3 dw3→dw5, +0>1 id, -1>3 dw3, 3:sum→se`.

    Dead edges do not count. Where the cells have different numbers of nodes, their last nodes are
    taken for the same one, which then has the larger number. Empty if nothing differs.
    """
    here, there = cell.pruned(), reference.pruned()
    if here.is_zero or there.is_zero:
        return "" if here.is_zero == there.is_zero else f"{notation(there)} → {notation(here)}"
    last = max(here.nodes, there.nodes) - 1
    parts = []
    if here.expansion != there.expansion:
        parts.append(f"e{there.expansion}→e{here.expansion}")
    parts.extend(_edge_changes(_edges(here, last), _edges(there, last)))
    parts.extend(_mix_changes(_mixes(here, last), _mixes(there, last)))
    return ", ".join(parts)


def _edges(cell: Cell, last: int) -> dict[tuple[int, int], str]:
    """Operations by edge, the last node renumbered."""
    end = cell.nodes - 1
    return {
        (edge.source, last if edge.target == end else edge.target): edge.operation
        for edge in cell.edges
    }


def _mixes(cell: Cell, last: int) -> dict[int, str]:
    """Mixes other than sums by node, the last node renumbered."""
    end = cell.nodes - 1
    named = enumerate(cell.mix, start=1)
    return {last if node == end else node: mix for node, mix in named if mix != "sum"}


def _edge_changes(here: dict[tuple[int, int], str], there: dict[tuple[int, int], str]) -> list[str]:
    parts = []
    for slot in sorted(here.keys() | there.keys(), key=lambda slot: (slot[1], slot[0])):
        old, new = there.get(slot), here.get(slot)
        if old == new:
            continue
        if old is None:
            parts.append(f"+{edge_notation(Edge(*slot, str(new)))}")
        elif new is None:
            parts.append(f"-{edge_notation(Edge(*slot, old))}")
        else:
            parts.append(f"{edge_notation(Edge(*slot, old))}→{OPERATIONS[new].symbol}")
    return parts


def _mix_changes(here: dict[int, str], there: dict[int, str]) -> list[str]:
    return [
        f"{node}:{there.get(node, 'sum')}→{here.get(node, 'sum')}"
        for node in sorted(here.keys() | there.keys())
        if here.get(node) != there.get(node)
    ]
