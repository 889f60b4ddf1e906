"""Drawn cells on a page: every different picture stands in it once, and only so many do."""

from autospace.exporters.svg_cell import STYLE, Figure, cell_figure
from autospace.report.html import Markup, element
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.notation import notation
from autospace.spaces.skeleton import LayerShape

MOST_BYTES = 450_000
"""Beyond this, cells are only spelled: the page has to stay below a megabyte."""
PRINTED_LIGHT = STYLE.replace("@media (", "@media screen and (")
"""The colours of cells; on paper the light ones, whatever the screen shows."""


class Pictures:
    """The pictures of one page."""

    def __init__(self) -> None:
        self._known: dict[tuple[Cell, int, bool], tuple[str, Figure]] = {}
        self._bytes = 0

    def of(self, cell: Cell, shape: LayerShape) -> Markup:
        """The picture of a cell at a layer, or its notation once the page is full."""
        key = (cell.pruned(), shape.stride, shape.shortcut)
        if key not in self._known:
            figure = cell_figure(cell, shape)
            size = len(figure.markup.encode())
            if self._bytes + size > MOST_BYTES:
                return element("p", element("code", notation(cell)), class_="spelled")
            self._bytes += size
            self._known[key] = (f"cell-{len(self._known)}", figure)
        identity, figure = self._known[key]
        return Markup(
            f'<svg class="picture" viewBox="0 0 {figure.width} {figure.height}" '
            f'width="{figure.width}" height="{figure.height}" role="img">'
            f"{element('title', notation(cell))}"
            f'<use href="#{identity}"/></svg>'
        )

    def shelf(self) -> Markup:
        """What the pictures refer to; stands once in the page, unseen."""
        stored = "".join(
            f'<g id="{identity}">{figure.markup}</g>' for identity, figure in self._known.values()
        )
        return Markup(f'<svg class="shelf" aria-hidden="true"><defs>{stored}</defs></svg>')
