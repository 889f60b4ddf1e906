"""A cell drawn with box characters, and a curve as one line of characters."""

from collections.abc import Sequence
from itertools import pairwise
from textwrap import fill
from typing import Any, Final

from autospace.exporters.cell_layout import Bar, CellLayout, cell_layout
from autospace.spaces import Cell, Edge, LayerShape
from autospace.spaces.cells.bert import BertCell
from autospace.spaces.cells.darts_cell import INPUTS
from autospace.spaces.cells.family import KINDS, check_kind
from autospace.spaces.cells.notation import (
    PAIRED,
    cell_ends,
    conv_ends,
    dead_edges,
    drawable,
    edge_label,
    edge_notation,
    has_shortcut,
    known_symbol,
    node_label,
)
from autospace.spaces.cells.recurrent_cell import recurrent_lines

BLOCKS = "▁▂▃▄▅▆▇█"
# For terminals whose encoding has no blocks.
PLAIN = "_.-=*#"


def thinned(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: the means of equal stretches."""
    count = len(values)
    if count <= width:
        return list(values)
    edges = [index * count // width for index in range(width + 1)]
    pairs = pairwise(edges)
    return [sum(values[start:end]) / (end - start) for start, end in pairs]


def curve(values: Sequence[float], width: int, encoding: str | None = None) -> str:
    """The course of some values from the lowest to the highest, in at most `width` characters.

    Args:
        values: at least one.
        width: at least 1.
        encoding: of the stream that it goes to; None for one that has everything.
    """
    levels = BLOCKS
    try:
        BLOCKS.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        levels = PLAIN
    shown = thinned(values, width)
    low, high = min(shown), max(shown)
    scale = (len(levels) - 1) / (high - low) if high > low else 0
    return "".join(levels[round((value - low) * scale)] for value in shown)


BOX_WIDTH: Final = 9
COLUMN_GAPS: Final = (2, 1)
BAR_HEIGHT: Final = 3
GAP: Final = 2


class Canvas:
    """Characters that can be set at any place."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    def put(self, row: int, column: int, text: str) -> None:
        """Writes a text from left to right, over what was there."""
        while len(self.lines) <= row:
            self.lines.append([])
        line = self.lines[row]
        line.extend(" " * (column + len(text) - len(line)))
        line[column : column + len(text)] = text

    def __str__(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines)


def draw_cell(cell: Cell, shape: LayerShape | None = None, width: int = 80) -> str:
    """The live part of a cell as lines of at most `width` characters.

    Nodes are boxes and edges run down from box to box, without a crossing; where that takes more
    than `width` columns or is impossible, the edges stand in a triangular table instead. A DARTS
    cell is a line per node: with two inputs and four outputs there is hardly one without crossings.

    Args:
        cell: any cell, also one that computes zero.
        shape: the layer it stands in, for channel counts and the stride.
        width: number of columns; at least 40.

    Raises:
        SpaceError: no drawing is known for cells of this family.
    """
    check_kind(
        cell.kind,
        "drawings",
        KINDS,
    )
    if cell.kind == "recurrent":
        picture = _nodes(cell)
    elif cell.kind in PAIRED:
        picture = _listed(cell, shape)
    elif drawable(cell).is_zero:
        picture = _zero(cell, shape)
    else:
        picture = _diagram(cell, shape, width) or _triangle(cell, shape, width)
    dead = ", ".join(edge_notation(edge) for edge in dead_edges(cell))
    return f"{picture}\n{_wrapped('dead, not drawn: ' + dead, width)}" if dead else picture


def _nodes(cell: Any) -> str:
    """The nodes of a recurrent cell, a line each: with eight of them there is no room for boxes."""
    return "\n".join(recurrent_lines(cell))


def _listed(cell: Any, shape: LayerShape | None) -> str:
    """The nodes of a DARTS cell with what they add up, and what the output consists of."""
    width = "" if shape is None else f", {shape.layers[0].width} channels"
    before, last = "the layer before the previous one", "the previous layer"
    lines = [f"0 = input: {before}{width}", f"1 = input: {last}{width}"]
    for node in dict.fromkeys(edge.target for edge in cell.chosen):
        terms = [_term(edge, shape) for edge in cell.into(node) if edge.operation != "none"]
        lines.append(f"{node} = {' + '.join(terms) or 'zero'}")
    if cell.is_whole:
        lines.append(f"output = {', '.join(map(str, cell.concat))} side by side")
    return "\n".join(lines)


def _term(edge: Edge, shape: LayerShape | None) -> str:
    strided = shape is not None and shape.stride != 1 and edge.source < INPUTS
    symbol = known_symbol(edge.operation)
    return f"{symbol}{f'/{shape.stride}' if strided and shape else ''}({edge.source})"


def _zero(cell: Cell, shape: LayerShape | None) -> str:
    if cell.kind == BertCell.kind:
        return "skipped: the layer is the identity"
    alone = shape is not None and has_shortcut(cell, shape)
    rest = "the layer is its shortcut" if alone else "zero"
    text = f"no path from input to output: {rest}"
    if cell.edge is not None:
        text = f"nothing from node {cell.edge[0]} to node {cell.edge[1]}"
    edge = "─" * (len(text) + 2)
    return f"┌{edge}┐\n│ {text} │\n└{edge}┘"


def _ends(cell: Cell, shape: LayerShape | None) -> tuple[str, str]:
    """What the first and the last box say: expansion and projection."""
    last = node_label(cell, drawable(cell).nodes - 1)
    if cell.edge is not None:
        return node_label(cell, 0), last
    if cell.kind == "binary":
        widths = "" if shape is None else f", {' → '.join(_widths(shape))}"
        return f"{node_label(cell, 0)}   binary 1x1{widths}", last
    if cell.kind == "conv":
        first, end = conv_ends(cell, shape)
        return f"{node_label(cell, 0)}   {first}", f"{last}   {end}".rstrip()
    if cell.kind == BertCell.kind:
        return f"{node_label(cell, 0)}   {cell_ends(cell)[0]}", last
    if cell.bare:
        channels = "" if shape is None else f", {' to '.join(_widths(shape))}"
        return _start(1, channels), last
    if shape is None:
        return _start(cell.expansion, ""), f"{last}   project 1x1"
    inner = cell.expansion * shape.in_channels
    channels = f"{shape.in_channels} → {inner}" if cell.expansion != 1 else str(inner)
    added = ", + input" if shape.shortcut else ""
    return (
        _start(cell.expansion, f", {channels}"),
        f"{last}   project 1x1, {inner} → {shape.out_channels}{added}",
    )


def _widths(shape: LayerShape) -> list[str]:
    """The channels of the first and the last layer of this cell, once if they are the same."""
    ends = (shape.layers[0].in_channels, shape.layers[-1].in_channels)
    return [*dict.fromkeys(map(str, ends))]


def _start(expansion: int, channels: str) -> str:
    if expansion == 1:
        return f"0   input{channels}"
    return f"0   expand 1x1, x{expansion}{channels}"


def _diagram(cell: Cell, shape: LayerShape | None, width: int) -> str | None:
    layout = cell_layout(drawable(cell))
    ends = _ends(cell, shape)
    needed = max(map(len, ends)) + 4
    for gap in COLUMN_GAPS:
        total = max(layout.width * (BOX_WIDTH + gap) - gap, needed)
        if layout.crossing_free and total <= width:
            return _drawn(cell, shape, layout, ends, total, gap)
    return None


def _drawn(
    cell: Cell,
    shape: LayerShape | None,
    layout: CellLayout,
    ends: tuple[str, str],
    total: int,
    gap: int,
) -> str:
    canvas = Canvas()
    pitch = BOX_WIDTH + gap
    left = (total - (layout.width * pitch - gap)) // 2
    for bar in layout.bars:
        top = bar.row * (BAR_HEIGHT + GAP)
        if bar.row in (0, layout.rows - 1):
            _box(canvas, top, 0, total, ends[bar.row > 0])
        else:
            span = (bar.last - bar.first + 1) * pitch - gap
            _box(canvas, top, left + bar.first * pitch, span, node_label(cell, bar.node))
    bars = {bar.node: bar for bar in layout.bars}
    for edge, column in layout.columns.items():
        at = left + column * pitch + BOX_WIDTH // 2
        _wire(canvas, at, edge, bars, edge_label(edge, cell, shape))
    return str(canvas)


def _box(canvas: Canvas, top: int, left: int, width: int, text: str) -> None:
    canvas.put(top, left, f"┌{'─' * (width - 2)}┐")
    canvas.put(top + 1, left, f"│{text:^{width - 2}}│")
    canvas.put(top + 2, left, f"└{'─' * (width - 2)}┘")


def _wire(canvas: Canvas, at: int, edge: Edge, bars: dict[int, Bar], label: str) -> None:
    """A wire down from box to box, its label half-way, in a gap between two rows of boxes."""
    pitch = BAR_HEIGHT + GAP
    source, target = bars[edge.source].row, bars[edge.target].row
    top, bottom = source * pitch + BAR_HEIGHT - 1, target * pitch
    canvas.put(top, at, "┬")
    for row in range(top + 1, bottom - 1):
        canvas.put(row, at, "│")
    canvas.put(bottom - 1, at, "▼")
    middle = (source + target - 1) // 2 * pitch + BAR_HEIGHT
    canvas.put(middle, at - (len(label) - 1) // 2, label)


def _triangle(cell: Cell, shape: LayerShape | None, width: int) -> str:
    """A row per target and a column per source, between the texts of the first and last box."""
    pruned = drawable(cell)
    sources = sorted({edge.source for edge in pruned.edges})
    targets = sorted({edge.target for edge in pruned.edges})
    label = {edge[:2]: edge_label(edge, cell, shape) for edge in pruned.edges}
    table = [["to \\ from", *map(str, sources)]]
    for node in targets:
        row = [label.get((source, node), "·") for source in sources if source < node]
        table.append([node_label(cell, node), *row])
    lines = _aligned(table)
    if max(map(len, lines)) > width:
        lines = [
            f"{edge.source}>{edge.target} {edge_label(edge, cell, shape)}" for edge in pruned.edges
        ]
    start, end = _ends(cell, shape)
    return "\n".join([start, "", *lines, "", end])


def _aligned(table: list[list[str]]) -> list[str]:
    """Rows of unequal length as lines; the first column to the right, the others to the left."""
    widths = [
        max(len(row[column]) for row in table if column < len(row))
        for column in range(len(table[0]))
    ]
    return [
        "  ".join(
            f"{text:>{size}}" if column == 0 else f"{text:<{size}}"
            for column, (text, size) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in table
    ]


def _wrapped(text: str, width: int) -> str:
    return fill(text, width, subsequent_indent="  ")
