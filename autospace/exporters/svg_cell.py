"""One cell as a piece of SVG: bars for its nodes, wires with a label for its edges."""

from dataclasses import dataclass
from typing import Final

from autospace.exporters.cell_layout import Bar, cell_layout
from autospace.spaces import OPERATIONS, Cell, Edge, LayerShape
from autospace.spaces.cells.notation import edge_label, node_label
from autospace.spaces.text import xml

PITCH: Final = 60
CHIP: Final = (56, 20)
BAR: Final = 24
GAP: Final = 46
MARGIN: Final = 6
LANE: Final = 22
NARROWEST: Final = 3 * PITCH

# Every colour twice: dark ink on light paper, light ink on dark paper. Written as plain rules, not
# as custom properties, because viewers other than browsers know no var().
STYLE: Final = """
.as-page{fill:#ffffff}.as-card{fill:#f6f8fa;stroke:#d8dee4}
.as-ink{fill:#1f2328}.as-faint{fill:#59636e}.as-mark{fill:#1a7f37}
.as-wire{stroke:#818b98;stroke-width:1.5;fill:none}.as-tip{fill:#818b98}
.as-way{stroke:#818b98;stroke-width:1.5;stroke-dasharray:2 4;stroke-linecap:round;fill:none}
.as-node{fill:#ffffff;stroke:#59636e;stroke-width:1.2}.as-end{fill:#e6eaef;stroke:#59636e}
.as-dw rect{fill:#ddf4ff;stroke:#54aeff}.as-dw text{fill:#0a3069}
.as-dilated rect{fill:#fbefff;stroke:#c297ff}.as-dilated text{fill:#512a97}
.as-pool rect{fill:#fff1e5;stroke:#fb8f44}.as-pool text{fill:#762c00}
.as-skip rect{fill:#f6f8fa;stroke:#818b98}.as-skip text{fill:#1f2328}
.as-track{fill:#d8dee4}.as-bar{fill:#54aeff}
@media (prefers-color-scheme:dark){
.as-page{fill:#0d1117}.as-card{fill:#151b23;stroke:#3d444d}
.as-ink{fill:#f0f6fc}.as-faint{fill:#9198a1}.as-mark{fill:#3fb950}
.as-wire,.as-way{stroke:#656c76}.as-tip{fill:#656c76}
.as-node{fill:#0d1117;stroke:#9198a1}.as-end{fill:#262c36;stroke:#9198a1}
.as-dw rect{fill:#121d2f;stroke:#1f6feb}.as-dw text{fill:#a5d6ff}
.as-dilated rect{fill:#211530;stroke:#8957e5}.as-dilated text{fill:#e2c5ff}
.as-pool rect{fill:#2a1a0c;stroke:#bd561d}.as-pool text{fill:#ffc680}
.as-skip rect{fill:#151b23;stroke:#656c76}.as-skip text{fill:#f0f6fc}
.as-track{fill:#3d444d}.as-bar{fill:#1f6feb}
}
.as-sans{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
.as-mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """A piece of SVG with its extent; its upper left corner is the origin."""

    width: int
    height: int
    markup: str

    def at(self, x: float, y: float, scale: float = 1) -> str:
        """The piece moved, and shrunk if asked."""
        shrunk = "" if scale == 1 else f" scale({scale:.4g})"
        return f'<g transform="translate({x:g} {y:g}){shrunk}">{self.markup}</g>\n'


def text(x: float, y: float, content: str, style: str, size: float, anchor: str = "start") -> str:
    """A text element; the content is escaped here."""
    place = f'x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}"'
    return f'<text class="{style}" {place}>{xml(content)}</text>'


def cell_figure(cell: Cell, shape: LayerShape | None = None) -> Figure:
    """The live part of a cell; a cell without a path shows as the layer's bare shortcut."""
    pruned = cell.pruned()
    if pruned.is_zero:
        return _zero(shape)
    layout = cell_layout(pruned)
    inner = max(layout.width * PITCH, NARROWEST)
    left = MARGIN + (inner - layout.width * PITCH) / 2
    bars = {bar.node: bar for bar in layout.bars}
    parts = [
        _wire(left + (column + 0.5) * PITCH, edge, bars)
        for edge, column in sorted(layout.columns.items())
    ]
    # Bars come after wires: a wire that has to pass a bar passes behind it.
    for bar in layout.bars:
        parts.append(_bar(pruned, bar, layout.rows, left, inner))
    for edge, column in sorted(layout.columns.items()):
        parts.append(_chip(left + (column + 0.5) * PITCH, edge, bars, pruned, shape))
    height = layout.rows * BAR + (layout.rows - 1) * GAP + 2 * MARGIN
    width = inner + 2 * MARGIN
    if shape is not None and shape.shortcut:
        parts.append(_shortcut(width - MARGIN, height))
        width += LANE
    return Figure(width, height, "".join(parts))


def _zero(shape: LayerShape | None) -> Figure:
    width, height = NARROWEST + 2 * MARGIN, BAR + 2 * MARGIN
    label = "shortcut only" if shape is not None and shape.shortcut else "zero"
    bar = _rectangle(MARGIN, MARGIN, NARROWEST, "as-end")
    label = text(width / 2, MARGIN + 16, label, "as-ink as-sans", 12, "middle")
    return Figure(width, height, bar + label)


def _top(row: int) -> int:
    return MARGIN + row * (BAR + GAP)


def _rectangle(x: float, y: float, width: float, style: str) -> str:
    size = f'width="{width:g}" height="{BAR}" rx="7"'
    return f'<rect class="{style}" x="{x:g}" y="{y:g}" {size}/>'


def _bar(cell: Cell, bar: Bar, rows: int, left: float, inner: int) -> str:
    y = _top(bar.row)
    if bar.row in (0, rows - 1):
        x, width, style = float(MARGIN), float(inner), "as-end"
        label = _expansion(cell) if bar.row == 0 else f"{node_label(cell, bar.node)} · project"
    else:
        x = left + bar.first * PITCH + 2
        width, style = (bar.last - bar.first + 1) * PITCH - 4, "as-node"
        label = node_label(cell, bar.node)
    middle = text(x + width / 2, y + 16.5, label, "as-ink as-sans", 12.5, "middle")
    return _rectangle(x, y, width, style) + middle


def _expansion(cell: Cell) -> str:
    return "0 · input" if cell.expansion == 1 else f"0 · expand x{cell.expansion}"


def _wire(x: float, edge: Edge, bars: dict[int, Bar]) -> str:
    top = _top(bars[edge.source].row) + BAR
    bottom = _top(bars[edge.target].row)
    line = f'<path class="as-wire" d="M{x:g} {top}V{bottom - 6}"/>'
    return f'{line}<path class="as-tip" d="M{x - 4:g} {bottom - 8}h8l-4 8z"/>'


def _chip(x: float, edge: Edge, bars: dict[int, Bar], cell: Cell, shape: LayerShape | None) -> str:
    """The label of an edge, on its wire half-way, between two rows of bars."""
    row = (bars[edge.source].row + bars[edge.target].row - 1) // 2
    width, height = CHIP
    y = _top(row) + BAR + (GAP - 6 - height) / 2
    box = f'<rect x="{x - width / 2:g}" y="{y:g}" width="{width}" height="{height}" rx="5"/>'
    label = text(x, y + 14.2, edge_label(edge, cell, shape), "as-mono", 12, "middle")
    return f'<g class="as-{_colour(edge)}">{box}{label}</g>'


def _colour(edge: Edge) -> str:
    operation = OPERATIONS[edge.operation]
    if operation.kind == "depthwise":
        return "dilated" if operation.dilation > 1 else "dw"
    return "skip" if operation.kind == "skip" else "pool"


def _shortcut(x: float, height: int) -> str:
    """The skeleton's identity around the cell, as a dotted line at its right."""
    top, bottom = MARGIN + BAR / 2, height - MARGIN - BAR / 2
    bend = f"M{x:g} {top:g}h8q8 0 8 8V{bottom - 8:g}q0 8 -8 8h-2"
    tip = f'<path class="as-tip" d="M{x + 8:g} {bottom - 4:g}v8l-8 -4z"/>'
    return f'<path class="as-way" d="{bend}"/>{tip}'
