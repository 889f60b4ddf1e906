"""A recurrent cell as a tree: every node under the one that it reads, as a piece of SVG."""

from typing import Any, Final

from autospace.spaces.cells.recurrent_cell import recurrent_lines
from autospace.spaces.text import xml

BOX: Final = (104, 26)
GAPS: Final = (14, 24)
MARGIN: Final = 6
NARROWEST: Final = 180
CHARACTER: Final = 7.2
Place = tuple[float, float]


def tree_markup(cell: Any) -> tuple[int, int, str]:
    """Width, height and SVG of a cell; a single choice is a line of text."""
    if not cell.is_whole:
        (line,) = recurrent_lines(cell)
        width = max(NARROWEST, round(CHARACTER * len(line)) + 4 * MARGIN)
        return width, BOX[1] + 2 * MARGIN, _box((width / 2, MARGIN), line, width - 2 * MARGIN)
    places = _places(cell)
    wires = [_wire(places[edge.source], places[edge.target]) for edge in cell.edges]
    boxes = [
        _box(place, f"{node} {name}", BOX[0])
        for node, (place, name) in enumerate(zip(places, cell.functions, strict=True))
    ]
    width = max(NARROWEST, round(max(x for x, _ in places) + BOX[0] / 2) + MARGIN)
    height = round(max(y for _, y in places)) + BOX[1] + MARGIN
    return width, height, "".join((*wires, *boxes))


def _places(cell: Any) -> list[Place]:
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


def _wire(source: Place, target: Place) -> str:
    top, bottom = source[1] + BOX[1], target[1]
    line = f'<path class="as-wire" d="M{source[0]:g} {top:g}L{target[0]:g} {bottom - 6:g}"/>'
    return f'{line}<path class="as-tip" d="M{target[0] - 4:g} {bottom - 8:g}h8l-4 8z"/>'


def _box(place: Place, label: str, width: float) -> str:
    x, y = place
    extent = f'width="{width:g}" height="{BOX[1]}" rx="7"'
    box = f'<rect class="as-node" x="{x - width / 2:g}" y="{y:g}" {extent}/>'
    words = f'class="as-ink as-sans" x="{x:g}" y="{y + 17.5:g}" font-size="12.5"'
    return f'{box}<text {words} text-anchor="middle">{xml(label)}</text>'
