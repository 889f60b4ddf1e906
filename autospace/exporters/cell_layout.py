"""Places the nodes and edges of a cell in the rows and columns of a picture.

Nodes become horizontal bars, row by row along the longest path; every edge becomes one vertical
wire from the bar of its source to that of its target. A sweep over the rows from the input down
keeps a list of the current wires from left to right. If the incoming wires of a node are adjacent
in it, its outgoing wires replace them, and nothing crosses. The order of the outgoing wires is
searched; every planar cell has an order without crossings, so every cell of up to four nodes has.

A recurrent cell is a tree: every node stands under the one that it reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice, pairwise, permutations, product
from typing import Any, Final, NamedTuple

from autospace.spaces import Cell, Edge
from autospace.spaces.cells.recurrent_cell import read_by, recurrent_lines
from autospace.spaces.text import xml

MAX_STEPS: Final = 4000
MAX_ARRANGEMENTS: Final = 120
MAX_PASSES: Final = 8

_State = tuple[Edge, ...]
_Row = list[list[Edge]]


class Bar(NamedTuple):
    """A node: the row it stands in and the columns it spans."""

    node: int
    row: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class CellLayout:
    """Positions for the live part of a cell that has one.

    Attributes:
        bars: one per live node, input first.
        columns: the column of every live edge.
        crossing_free: whether no wire passes a bar that it does not belong to.
    """

    bars: tuple[Bar, ...]
    columns: dict[Edge, int]
    crossing_free: bool

    @property
    def width(self) -> int:
        """Number of columns."""
        return 1 + max(self.columns.values())

    @property
    def rows(self) -> int:
        """Number of rows."""
        return 1 + self.bars[-1].row


def cell_layout(cell: Cell) -> CellLayout:
    """The narrowest arrangement in the search, for the live edges of a cell that is not zero."""
    edges = cell.pruned().edges
    rows = _longest_path_rows(edges)
    best: CellLayout | None = None
    for arrangement in islice(_arrangements(edges, rows), MAX_ARRANGEMENTS):
        layout = _placed(edges, rows, arrangement, crossing_free=True)
        if best is None or _size(layout) < _size(best):
            best = layout
    return best if best is not None else _with_crossings(edges)


def _size(layout: CellLayout) -> tuple[int, int]:
    return layout.width, sum(bar.last - bar.first for bar in layout.bars[1:-1])


def _longest_path_rows(edges: tuple[Edge, ...]) -> list[list[int]]:
    """Nodes row by row; a node's row is the length of the longest path to it."""
    row = {0: 0}
    for edge in sorted(edges, key=lambda edge: edge.target):
        row[edge.target] = max(row.get(edge.target, 0), row[edge.source] + 1)
    ordered = sorted(row, key=lambda node: (row[node], node))
    return [list(nodes) for _, nodes in groupby(ordered, key=row.__getitem__)]


def _arrangements(edges: tuple[Edge, ...], rows: list[list[int]]) -> Iterator[list[_Row]]:
    """Per row, blocks from left to right: the wires of a bar, or one wire that passes it."""
    dead_ends: set[tuple[int, tuple[int, ...]]] = set()
    steps = 0

    def descend(index: int, state: _State) -> Iterator[list[_Row]]:
        nonlocal steps
        targets = tuple(target for target, _ in groupby(edge.target for edge in state))
        if (index, targets) in dead_ends or steps > MAX_STEPS:
            return
        steps += 1
        found = False
        if all(targets.count(node) == 1 for node in rows[index]) or index == 0:
            for row, below in _rows_after(edges, rows[index], state):
                if index == len(rows) - 1:
                    found = True
                    yield [row]
                    continue
                for rest in descend(index + 1, below):
                    found = True
                    yield [row, *rest]
        if not found:
            dead_ends.add((index, targets))

    return descend(0, ())


def _rows_after(
    edges: tuple[Edge, ...], nodes: list[int], state: _State
) -> Iterator[tuple[_Row, _State]]:
    """The blocks of a row and the wires below it, for every order of leaving its nodes."""
    outgoing = {node: [edge for edge in edges if edge.source == node] for node in nodes}
    groups = [(node, list(wires)) for node, wires in groupby(state, key=lambda e: e.target)]
    groups = groups or [(0, [])]
    here = [node for node, _ in groups if node in outgoing]
    for orders in product(*(permutations(outgoing[node]) for node in here)):
        leaving = dict(zip(here, orders, strict=True))
        row: _Row = []
        below: list[Edge] = []
        for node, wires in groups:
            if node in leaving:
                row.append([*wires, *leaving[node]])
                below.extend(leaving[node])
            else:
                row.extend([wire] for wire in wires)
                below.extend(wires)
        yield row, tuple(below)


def _placed(
    edges: tuple[Edge, ...],
    rows: list[list[int]],
    arrangement: list[_Row],
    *,
    crossing_free: bool,
) -> CellLayout:
    order: set[tuple[Edge, Edge]] = set()
    for row in arrangement:
        for left, right in pairwise(row):
            order.update(product(left, right))
        for block in row:
            for wires in (_ends(block, "target"), _ends(block, "source")):
                order.update(wires)
    column = _leftmost(edges, order)
    _tighten(column, order, edges)
    return CellLayout(_bars(column, rows), column, crossing_free)


def _ends(block: list[Edge], end: str) -> list[tuple[Edge, Edge]]:
    """Neighbours among a bar's incoming (equal target) or outgoing (equal source) wires."""
    return [
        (left, right)
        for left, right in pairwise(block)
        if getattr(left, end) == getattr(right, end)
    ]


def _leftmost(edges: tuple[Edge, ...], order: set[tuple[Edge, Edge]]) -> dict[Edge, int]:
    column = dict.fromkeys(edges, 0)
    changed = True
    while changed:
        changed = False
        for left, right in order:
            if column[right] <= column[left]:
                column[right] = column[left] + 1
                changed = True
    return column


def _tighten(
    column: dict[Edge, int], order: set[tuple[Edge, Edge]], edges: tuple[Edge, ...]
) -> None:
    """Moves wires within their free room to where the bars that they join get shorter."""
    width = max(column.values())
    last = max(edge.target for edge in edges)
    for _ in range(MAX_PASSES):
        before = dict(column)
        for edge in sorted(edges, key=lambda e: (-column[e], e)):
            low = max((column[a] + 1 for a, b in order if b == edge), default=0)
            high = min((column[b] - 1 for a, b in order if a == edge), default=width)
            inner = {edge.source, edge.target} - {0, last}
            spans = [
                (_span(column, edge, at, inner), abs(at - column[edge]), at)
                for at in range(low, high + 1)
            ]
            column[edge] = min(spans)[2]
        if column == before:
            return


def _span(column: dict[Edge, int], moved: Edge, at: int, nodes: set[int]) -> int:
    total = 0
    for node in nodes:
        places = [
            at if edge == moved else place
            for edge, place in column.items()
            if node in (edge.source, edge.target)
        ]
        total += max(places) - min(places)
    return total


def _bars(column: dict[Edge, int], rows: list[list[int]]) -> tuple[Bar, ...]:
    bars = []
    for row, nodes in enumerate(rows):
        for node in nodes:
            places = [place for edge, place in column.items() if node in edge[:2]]
            bars.append(Bar(node, row, min(places), max(places)))
    width = max(column.values())
    first, last = bars[0], bars[-1]
    return (first._replace(first=0, last=width), *bars[1:-1], last._replace(first=0, last=width))


def _with_crossings(edges: tuple[Edge, ...]) -> CellLayout:
    """One node a row; wires pass behind the bars that stand in their way."""
    nodes = sorted({node for edge in edges for node in edge[:2]})
    state: list[Edge] = []
    arrangement: list[_Row] = []
    for node in nodes:
        arrangement.append([[edge] for edge in state])
        incoming = [index for index, edge in enumerate(state) if edge.target == node]
        place = incoming[len(incoming) // 2] - len(incoming) // 2 if incoming else 0
        rest = [edge for edge in state if edge.target != node]
        state = [*rest[:place], *(edge for edge in edges if edge.source == node), *rest[place:]]
        arrangement.append([[edge] for edge in state])
    column = _leftmost(edges, {pair for row in arrangement for pair in _neighbours(row)})
    return CellLayout(_bars(column, [[node] for node in nodes]), column, crossing_free=False)


def _neighbours(row: _Row) -> Iterator[tuple[Edge, Edge]]:
    return ((left[0], right[0]) for left, right in pairwise(row))


BOX: Final = (104, 26)
GAPS: Final = (14, 24)
MARGIN: Final = 6
NARROWEST: Final = 180
LETTER: Final = 7.2
_Place = tuple[float, float]


def tree_markup(cell: Any) -> tuple[int, int, str]:
    """Width, height and SVG of a cell; a single choice is a line of text.

    Above the root stands what it reads, where cells have links to layers.
    """
    if not cell.is_whole:
        (line,) = recurrent_lines(cell)
        width = max(NARROWEST, round(LETTER * len(line)) + 4 * MARGIN)
        return width, BOX[1] + 2 * MARGIN, _tree_box((width / 2, MARGIN), line, width - 2 * MARGIN)
    places = _tree_places(cell)
    wires = [_tree_wire(places[edge.source], places[edge.target]) for edge in cell.edges]
    boxes = [
        _tree_box(place, f"{node} {name}", BOX[0])
        for node, (place, name) in enumerate(zip(places, cell.functions, strict=True))
    ]
    width = max(NARROWEST, round(max(x for x, _ in places) + BOX[0] / 2) + MARGIN)
    height = round(max(y for _, y in places)) + BOX[1] + MARGIN
    markup = "".join((*wires, *boxes))
    if cell.links is None:
        return width, height, markup
    (first, *_), step, line = places, BOX[1] + GAPS[1], read_by(cell)
    above = round(LETTER * len(line)) + 4 * MARGIN
    shift = max(0.0, above / 2 + MARGIN - first[0])
    wire = _tree_wire((first[0] + shift, MARGIN), (first[0] + shift, MARGIN + step))
    given = _tree_box((first[0] + shift, MARGIN), line, above, "as-end")
    moved = f'<g transform="translate({shift:g} {step})">{markup}</g>'
    width = max(width + round(shift), round(first[0] + shift + above / 2) + MARGIN)
    return width, height + step, f"{wire}{given}{moved}"


def _tree_places(cell: Any) -> list[_Place]:
    """The middle of the upper edge of every box: leaves side by side, others above readers."""
    readers: list[list[int]] = [[] for _ in range(cell.nodes + 1)]
    depth = [0] * (cell.nodes + 1)
    for edge in cell.edges:
        readers[edge.source].append(edge.target)
        depth[edge.target] = depth[edge.source] + 1
    column = [0.0] * (cell.nodes + 1)
    waiting, free = [0], 0.0
    while waiting:
        node = waiting.pop()
        if not readers[node]:
            column[node], free = free, free + 1
        waiting += reversed(readers[node])
    for node in reversed(range(cell.nodes + 1)):
        if readers[node]:
            column[node] = sum(column[each] for each in readers[node]) / len(readers[node])
    return [
        (MARGIN + BOX[0] / 2 + at * (BOX[0] + GAPS[0]), MARGIN + row * (BOX[1] + GAPS[1]))
        for at, row in zip(column, depth, strict=True)
    ]


def _tree_wire(source: _Place, target: _Place) -> str:
    top, bottom = source[1] + BOX[1], target[1]
    line = f'<path class="as-wire" d="M{source[0]:g} {top:g}L{target[0]:g} {bottom - 6:g}"/>'
    return f'{line}<path class="as-tip" d="M{target[0] - 4:g} {bottom - 8:g}h8l-4 8z"/>'


def _tree_box(place: _Place, label: str, width: float, style: str = "as-node") -> str:
    x, y = place
    extent = f'width="{width:g}" height="{BOX[1]}" rx="7"'
    box = f'<rect class="{style}" x="{x - width / 2:g}" y="{y:g}" {extent}/>'
    words = f'class="as-ink as-sans" x="{x:g}" y="{y + 17.5:g}" font-size="12.5"'
    return f'{box}<text {words} text-anchor="middle">{xml(label)}</text>'
