"""Draws cells, layers and networks as SVG text; equal values give equal bytes.

In a cell, bars are nodes, and wires with a label are edges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from autospace.exporters.cell_layout import Bar, cell_layout, tree_markup
from autospace.exporters.graphs import head_facts, stem_facts
from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    Edge,
    Layer,
    LayerShape,
    Space,
    cell_cost,
)
from autospace.spaces.cells.bert import SYMBOLS as BERT
from autospace.spaces.cells.bert import BertCell
from autospace.spaces.cells.darts_cell import ENDS
from autospace.spaces.cells.darts_cell import OPERATIONS as DARTS
from autospace.spaces.cells.family import KINDS, check_kind, notation, work_of, work_unit
from autospace.spaces.cells.notation import (
    PAIRED,
    cell_ends,
    drawable,
    edge_label,
    has_shortcut,
    node_label,
    operation_of,
    shape_label,
)
from autospace.spaces.cells.operations import SIGNS
from autospace.spaces.space import by_fitness, drawn_layers
from autospace.spaces.text import human, shortened, xml

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
class Picture:
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


def cell_figure(cell: Cell, shape: LayerShape | None = None) -> Picture:
    """The live part of a cell; a cell without a path shows as the layer's bare shortcut.

    Raises:
        SpaceError: no drawing is known for cells of this family.
    """
    check_kind(
        cell.kind,
        "drawings",
        KINDS,
    )
    if cell.kind == "recurrent":
        return Picture(*tree_markup(cell))
    pruned = drawable(cell)
    if pruned.is_zero:
        return _zero(cell, shape)
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
        parts.append(_bar(cell, bar, layout.rows, left, inner))
    for edge, column in sorted(layout.columns.items()):
        parts.append(_chip(left + (column + 0.5) * PITCH, edge, bars, pruned, shape))
    height = layout.rows * BAR + (layout.rows - 1) * GAP + 2 * MARGIN
    width = inner + 2 * MARGIN
    if shape is not None and has_shortcut(cell, shape):
        parts.append(_shortcut(width - MARGIN, height))
        width += LANE
    return Picture(width, height, "".join(parts))


def _zero(cell: Cell, shape: LayerShape | None) -> Picture:
    width, height = NARROWEST + 2 * MARGIN, BAR + 2 * MARGIN
    label = "shortcut only" if shape is not None and has_shortcut(cell, shape) else "zero"
    label = "skipped" if shape is not None and shape.only == BertCell.kind else label
    bar = _rectangle(MARGIN, MARGIN, NARROWEST, "as-end")
    label = text(width / 2, MARGIN + 16, label, "as-ink as-sans", 12, "middle")
    return Picture(width, height, bar + label)


def _top(row: int) -> int:
    return MARGIN + row * (BAR + GAP)


def _rectangle(x: float, y: float, width: float, style: str) -> str:
    size = f'width="{width:g}" height="{BAR}" rx="7"'
    return f'<rect class="{style}" x="{x:g}" y="{y:g}" {size}/>'


def _bar(cell: Cell, bar: Bar, rows: int, left: float, inner: int) -> str:
    y = _top(bar.row)
    if bar.row in (0, rows - 1):
        x, width, style = float(MARGIN), float(inner), "as-end"
        label = node_label(cell, bar.node)
        if cell.edge is None:
            label = _first(cell) if bar.row == 0 else _last(cell, label)
    else:
        x = left + bar.first * PITCH + 2
        width, style = (bar.last - bar.first + 1) * PITCH - 4, "as-node"
        label = node_label(cell, bar.node)
    middle = text(x + width / 2, y + 16.5, label, "as-ink as-sans", 12.5, "middle")
    return _rectangle(x, y, width, style) + middle


def _first(cell: Cell) -> str:
    return node_label(cell, 0) if cell.kind in PAIRED else f"0 · {cell_ends(cell)[0]}"


def _last(cell: Cell, label: str) -> str:
    return " · ".join(each for each in (label, cell_ends(cell)[1]) if each)


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
    if edge.operation in ENDS:
        return "skip"
    if edge.operation in BERT:
        return {"attention": "dilated", "feed_forward": "pool"}.get(edge.operation, "dw")
    if edge.operation in DARTS:
        kind = DARTS[edge.operation].kind
        return {"skip": "skip", "dilated": "dilated"}.get(kind, "pool" if "pool" in kind else "dw")
    operation = operation_of(edge.operation)
    if operation.kind in ("depthwise", "dense", "mlp", *SIGNS):
        return "dilated" if operation.dilation > 1 else "dw"
    return "skip" if operation.kind == "skip" else "pool"


def _shortcut(x: float, height: int) -> str:
    """The way around the cell, as a dotted line at its right."""
    top, bottom = MARGIN + BAR / 2, height - MARGIN - BAR / 2
    bend = f"M{x:g} {top:g}h8q8 0 8 8V{bottom - 8:g}q0 8 -8 8h-2"
    tip = f'<path class="as-tip" d="M{x + 8:g} {bottom - 4:g}v8l-8 -4z"/>'
    return f'<path class="as-way" d="{bend}"/>{tip}'


CARD: Final = 224
WIDEST: Final = 3 * CARD
PAD: Final = 12
GUTTER: Final = 20
HEADER: Final = 60
CARD_HEADER: Final = 66
LINE: Final = 17


@dataclass(frozen=True, slots=True)
class _Card:
    """A name with a mark beside it, lines of facts, and a cell."""

    name: str
    facts: tuple[str, ...]
    figure: Picture | None = None
    mark: str = ""

    @property
    def header(self) -> int:
        return CARD_HEADER + LINE * max(0, len(self.facts) - 2)

    def height(self, width: int) -> int:
        if self.figure is None:
            return self.header
        return round(self.header + self.figure.height * self._scale(width) + MARGIN)

    def drawn(self, width: int, height: int) -> Picture:
        """The card in a frame of this size; a cell that is too wide for it is shrunk."""
        extent = f'width="{width - 1}" height="{height - 1}"'
        parts = [f'<rect class="as-card" x="0.5" y="0.5" {extent} rx="10"/>']
        parts.append(text(PAD, 24, shortened(self.name, width // 10), "as-ink as-mono", 14))
        if self.mark:
            parts.append(text(width - PAD, 24, self.mark, "as-mark as-sans", 12, "end"))
        for index, line in enumerate(self.facts):
            parts.append(text(PAD, 43 + LINE * index, line, "as-faint as-sans", 12.5))
        if self.figure is not None:
            scale = self._scale(width)
            parts.append(
                self.figure.at((width - self.figure.width * scale) / 2, self.header, scale)
            )
        return Picture(width, height, "".join(parts))

    def _scale(self, width: int) -> float:
        return min(1.0, width / self.figure.width) if self.figure is not None else 1.0


def export_space(space: Space) -> str:
    """The best cell of every layer."""
    return network_svg(space, space.name)


def export_architecture(architecture: Architecture) -> str:
    """The cell of every layer, under the name of the skeleton."""
    return network_svg(architecture, architecture.skeleton.name)


def cell_svg(candidate: Candidate, shape: LayerShape) -> str:
    """One candidate of a layer."""
    title = f"Cell {candidate.id} of {shape.name}"
    return _document(title, notation(candidate.cell), _grid([_candidate_card(candidate, shape)]))


def layer_svg(layer: Layer, reference: str | None = None) -> str:
    """All candidates of a layer, the fittest first, the reference marked."""
    ordered = by_fitness(layer.candidates)
    cards = [
        _candidate_card(each, layer.shape, "reference" if each.id == reference else "")
        for each in ordered
    ]
    title = f"{layer.shape.name}: {len(ordered)} candidates"
    told = "; ".join(f"{each.id}: {notation(each.cell)}" for each in ordered)
    return _document(title, told, _grid(cards), title, _arrowed(layer.shape))


def network_svg(value: Space | Architecture, name: str) -> str:
    """The layers in order, row by row, each with its best cell (of an architecture, its own)."""
    layers = drawn_layers(value)
    cards = [
        _Card("stem", stem_facts(value.skeleton)),
        *map(_layer_card, layers),
        _Card("head", head_facts(value.skeleton)),
    ]
    title = f"{name}: {len(layers)} layers on the skeleton {value.skeleton.name}"
    best = [(layer.shape.name, by_fitness(layer.candidates)[0]) for layer in layers]
    told = "; ".join(f"{place}: {each.id}, {notation(each.cell)}" for place, each in best)
    return _document(title, told, _grid(cards, joined=True), name, _summary(value))


def _summary(value: Space | Architecture) -> str:
    if isinstance(value, Architecture):
        return f"{work_of(value.kind, value.cost)}, {human(value.cost.params)} params"
    unit = work_unit(value.kind)
    works = value.ops if unit == "OPs" else value.madds
    low, high = human(works.min), human(works.max)
    count = sum(len(layer.candidates) for layer in value.layers)
    return f"{count} candidates, {low} to {high} {unit}; drawn: the best cell of each layer"


def _arrowed(shape: LayerShape) -> str:
    return shape_label(shape).replace("->", "→")


def _candidate_card(candidate: Candidate, shape: LayerShape, mark: str = "") -> _Card:
    cost = cell_cost(candidate.cell, shape)
    facts = [f"{work_of(candidate.cell.kind, cost)}, {human(cost.params)} params"]
    if candidate.fitness is not None:
        facts.append(f"fitness {candidate.fitness:+.3f}")
    return _Card(candidate.id, tuple(facts), cell_figure(candidate.cell, shape), mark)


def _layer_card(layer: Layer) -> _Card:
    best = by_fitness(layer.candidates)[0]
    count = len(layer.candidates)
    fitness = "" if best.fitness is None else f", fitness {best.fitness:+.3f}"
    facts = (_arrowed(layer.shape), f"{shortened(best.id, 20)}{fitness}")
    figure = cell_figure(best.cell, layer.shape)
    mark = "" if count == 1 else f"{'1' if best.fitness is None else 'best'} of {count}"
    return _Card(layer.shape.name, facts, figure, mark)


def _grid(cards: Sequence[_Card], *, joined: bool = False) -> Picture:
    """Cards row by row, all of a row equally high, joined by arrows if asked.

    Wide cells get wider cards, and fewer of them in a row.
    """
    widest = max((card.figure.width for card in cards if card.figure), default=0)
    # Cells slightly too wide are shrunk, to keep three in a row.
    width = CARD if widest <= 1.3 * CARD else min(widest, WIDEST)
    per_row = min(len(cards), max(1, WIDEST // width))
    parts, y = [], 0
    for start in range(0, len(cards), per_row):
        row = cards[start : start + per_row]
        height = max(card.height(width) for card in row)
        for index, card in enumerate(row):
            x = index * (width + GUTTER)
            parts.append(card.drawn(width, height).at(x, y))
            if joined and start + index + 1 < len(cards):
                turn = index == per_row - 1
                parts.append(_turn(x, y + height, width) if turn else _arrow(x + width, y))
        y += height + GUTTER
    return Picture(per_row * (width + GUTTER) - GUTTER, y - GUTTER, "".join(parts))


def _arrow(x: int, y: int) -> str:
    """From the right edge of a card to the next one in its row."""
    line = f'<path class="as-wire" d="M{x} {y + 20}h{GUTTER - 6}"/>'
    return f'{line}<path class="as-tip" d="M{x + GUTTER - 8} {y + 16}v8l8 -4z"/>\n'


def _turn(x: int, y: int, width: int) -> str:
    """From the lower edge of a row's last card to the first card of the next row."""
    start, end, down = x + width // 2, width // 2, GUTTER // 2 - 2
    line = f"M{start} {y}V{y + down}"
    if start != end:
        line = f"M{start} {y}v{down - 4}q0 4 -4 4H{end + 4}q-4 0 -4 4"
    tip = f"M{end - 4} {y + GUTTER - 8}h8l-4 8z"
    return f'<path class="as-wire" d="{line}"/><path class="as-tip" d="{tip}"/>\n'


def _document(
    title: str, described: str, content: Picture, heading: str = "", subtitle: str = ""
) -> str:
    header = HEADER if heading else GUTTER // 2
    width, height = content.width + GUTTER, content.height + header + GUTTER // 2
    half = GUTTER // 2
    head = ""
    if heading:
        head = text(half, 28, shortened(heading, 60), "as-ink as-sans", 18)
        head += text(half, 48, shortened(subtitle, 100), "as-faint as-sans", 13)
    # In a page it takes its natural width, or the page's where that is less.
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" style="max-width:100%;height:auto">\n'
        f"<title>{xml(title)}</title>\n<desc>{xml(described)}</desc>\n<style>{STYLE}</style>\n"
        f'<rect class="as-page" width="{width}" height="{height}" rx="8"/>\n'
        f"{head}\n{content.at(half, header)}</svg>\n"
    )
