"""Pictures of cells, layers and networks as SVG text: equal values give equal bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from autospace.exporters.ends import head_facts, stem_facts
from autospace.exporters.svg_cell import MARGIN, STYLE, Figure, cell_figure, text
from autospace.spaces import (
    Architecture,
    Candidate,
    Layer,
    LayerShape,
    Space,
    cell_cost,
)
from autospace.spaces.cells.notation import human, notation, shape_label
from autospace.spaces.text import shortened, xml

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
    figure: Figure | None = None
    mark: str = ""

    @property
    def header(self) -> int:
        return CARD_HEADER + LINE * max(0, len(self.facts) - 2)

    def height(self, width: int) -> int:
        if self.figure is None:
            return self.header
        return round(self.header + self.figure.height * self._scale(width) + MARGIN)

    def drawn(self, width: int, height: int) -> Figure:
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
        return Figure(width, height, "".join(parts))

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
    layers = layers_of(value)
    cards = [
        _Card("stem", stem_facts(value.skeleton)),
        *map(_layer_card, layers),
        _Card("head", head_facts(value.skeleton)),
    ]
    title = f"{name}: {len(layers)} layers on the skeleton {value.skeleton.name}"
    best = [(layer.shape.name, by_fitness(layer.candidates)[0]) for layer in layers]
    told = "; ".join(f"{place}: {each.id}, {notation(each.cell)}" for place, each in best)
    return _document(title, told, _grid(cards, joined=True), name, _summary(value))


def layers_of(value: Space | Architecture) -> tuple[Layer, ...]:
    """The layers of a space, or of an architecture as layers with one candidate each."""
    if isinstance(value, Space):
        return value.layers
    pairs = zip(value.skeleton.shapes, value.candidates, strict=True)
    return tuple(Layer(shape, (candidate,)) for shape, candidate in pairs)


def by_fitness(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The fittest first; those that were never scored last, in the order of the file."""
    return sorted(candidates, key=lambda each: (each.fitness is None, -(each.fitness or 0.0)))


def _summary(value: Space | Architecture) -> str:
    if isinstance(value, Architecture):
        return f"{human(value.cost.madds)} MAdds, {human(value.cost.params)} params"
    low, high = human(value.madds.min), human(value.madds.max)
    count = sum(len(layer.candidates) for layer in value.layers)
    return f"{count} candidates, {low} to {high} MAdds; drawn: the best cell of each layer"


def _arrowed(shape: LayerShape) -> str:
    return shape_label(shape).replace("->", "→")


def _candidate_card(candidate: Candidate, shape: LayerShape, mark: str = "") -> _Card:
    cost = cell_cost(candidate.cell, shape)
    facts = [f"{human(cost.madds)} MAdds, {human(cost.params)} params"]
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


def _grid(cards: Sequence[_Card], *, joined: bool = False) -> Figure:
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
    return Figure(per_row * (width + GUTTER) - GUTTER, y - GUTTER, "".join(parts))


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
    title: str, described: str, content: Figure, heading: str = "", subtitle: str = ""
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
