"""A page with its parts, pictures and numbers: one file that needs no other.

`page.html.j2` is the frame of a page, and `parts.html.j2` holds its parts. Templates escape all
values that are not `Markup`.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from autospace.charts import svg
from autospace.charts.figure import Figure, with_minus
from autospace.charts.svg import legend_svg, panel_svg
from autospace.exporters.svg import STYLE, Picture, cell_figure
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import notation
from autospace.spaces.text import xml

MOST_BYTES = 450_000
"""Once pictures take so many bytes, cells appear as notation: a page stays below a megabyte."""
PRINTED_LIGHT = STYLE.replace("@media (", "@media screen and (")
"""The colours of cells; on paper the light ones, whatever the screen shows."""
TALL = 40
"""A table with more rows than this scrolls in its box, under its headings."""
PAGE = "page.html.j2"
PARTS = "parts.html.j2"

Content = str
"""Plain text, which is escaped, or `Markup`, which is not."""


def part(name: str, /, *values: object, **named: object) -> Markup:
    """A part of a page, made by a macro of `parts.html.j2`."""
    made: Markup = getattr(_templates().get_template(PARTS).module, name)(*values, **named)
    return made


@dataclass(frozen=True, slots=True)
class Number:
    """A number as text, with the value by which a column is sorted."""

    text: str
    value: float | None

    @property
    def key(self) -> str:
        """The value by which the script sorts."""
        return "" if self.value is None else f"{self.value:.6g}"


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a column; `about` explains it if the heading alone does not."""

    heading: str
    numeric: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption, which readers can sort if scripts run.

    Attributes:
        filter: label of the field that filters the rows; empty for none.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Content | Number, ...], ...]
    filter: str = ""

    @property
    def tall(self) -> bool:
        """Whether its box scrolls."""
        return len(self.rows) > TALL

    def markup(self) -> Markup:
        """The table in a box that scrolls if the page is too narrow."""
        return part("table", self)


class Pictures:
    """The pictures of one page."""

    def __init__(self) -> None:
        self._known: dict[tuple[Cell, int, bool, str], tuple[str, Picture]] = {}
        self._bytes = 0

    def of(self, cell: Cell, shape: LayerShape) -> Markup:
        """The picture of a cell at a layer, or its notation once the page is full."""
        # Whether anything uses a single choice depends on the others: it is drawn as it is.
        own = cell.pruned() if cell.edge is None else cell
        key = (own, shape.stride, shape.shortcut, shape.only)
        if key not in self._known:
            figure = cell_figure(cell, shape)
            size = len(figure.markup.encode())
            if self._bytes + size > MOST_BYTES:
                return part("p", part("code", notation(cell)), "spelled")
            self._bytes += size
            self._known[key] = (f"cell-{len(self._known)}", figure)
        identity, figure = self._known[key]
        return part("picture", identity, figure, notation(cell))

    def shelf(self) -> Markup:
        """The definitions to which the pictures refer; hidden, and once per page."""
        return part("shelf", self._known.values())


@dataclass(frozen=True, slots=True)
class PageSection:
    """A part of the page with a heading; `anchor` is its place in the navigation."""

    anchor: str
    heading: str
    content: tuple[Content, ...]


@dataclass(frozen=True, slots=True)
class Hero:
    """The top of the page.

    Attributes:
        kind: what the page reports on, in a word or two.
        headline: the outcome in one sentence.
        sentences: what it means.
        facts: the most important numbers: names and values.
        state: `good`, `open` or `plain`, the look of the headline.
    """

    kind: str
    title: str
    headline: str
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    state: str = "plain"


def page(hero: Hero, sections: Sequence[PageSection], pictures: Pictures) -> str:
    """The text of the file; equal arguments give equal bytes.

    The page loads nothing and sends nothing: the policy in its head forbids every request, and
    allows only this style sheet and this script, by their digests.
    """
    style = f"{svg.style()}{_resource('style.css')}{PRINTED_LIGHT}"
    return (
        _templates()
        .get_template(PAGE)
        .render(
            hero=hero,
            sections=sections,
            shelf=pictures.shelf(),
            style=style,
            script=_resource("script.js"),
        )
    )


def figure(drawn: Figure, *below: Content) -> Markup:
    """A figure with legend and caption; `below` are its numbers as tables."""
    panels = "\n".join(
        panel_svg(panel, drawn.size, f"{drawn.name}-{index}")
        for index, panel in enumerate(drawn.panels)
    )
    legend = [(Markup(legend_svg(each)), each.label) for each in drawn.legend]
    return part("figure", drawn, legend, Markup(panels), *below)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["digest"] = _digest
    return environment


def _template(name: str) -> str:
    text = _resource(name)
    return re.sub(r"\n *", "", text) if name == PARTS else text


def _escaped(value: object) -> Markup:
    # Jinja alone does not escape control characters.
    return value if isinstance(value, Markup) else Markup(xml(str(value)))


@cache
def _resource(name: str) -> str:
    return (resources.files("autospace.report") / name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def signed(value: float, digits: int = 3) -> str:
    """A fitness or difference with its sign."""
    # Adding zero makes a zero of minus zero.
    return with_minus(f"{round(value, digits) + 0.0:+.{digits}f}")


def fitness(value: float | None, uncertainty: float | None = None) -> Number:
    """A fitness in a table, with its standard deviation where that is known."""
    return missing() if value is None else Number(fitness_text(value, uncertainty), value)


def fitness_text(value: float, uncertainty: float | None) -> str:
    """A fitness, with its standard deviation where that is known."""
    return signed(value) + ("" if uncertainty is None else f" ± {uncertainty:.3f}")


def share(value: float | None) -> Number:
    """A share in whole per cent."""
    return missing() if value is None else Number(f"{value:.0%}", value)


def whole(value: int | None) -> Number:
    """A count with separated thousands."""
    return missing() if value is None else Number(f"{value:,}", value)


def decimal(value: float | None, digits: int) -> Number:
    """A number with this many digits after the point."""
    return missing() if value is None else Number(with_minus(f"{value:.{digits}f}"), value)


def probability(value: float | None) -> Number:
    """A p-value."""
    if value is None:
        return missing()
    return Number("< 0.001" if value < 0.001 else f"{value:.3f}", value)


def missing() -> Number:
    """The mark of an unknown value."""
    return Number("-", None)


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
