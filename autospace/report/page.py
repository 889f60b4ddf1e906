"""The whole page: head, navigation, sections, style and script, in one file without links out.

Drawn cells on a page: every different picture stands in it once, and only so many do.
"""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from autospace.charts import svg
from autospace.charts.figure import Figure
from autospace.charts.svg import legend_svg, panel_svg
from autospace.exporters.svg import STYLE, Picture, cell_figure
from autospace.report.html import Content, Markup, definitions, element, joined
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.notation import notation

MOST_BYTES = 450_000
"""Beyond this, cells are only spelled: the page has to stay below a megabyte."""
PRINTED_LIGHT = STYLE.replace("@media (", "@media screen and (")
"""The colours of cells; on paper the light ones, whatever the screen shows."""


class Pictures:
    """The pictures of one page."""

    def __init__(self) -> None:
        self._known: dict[tuple[Cell, int, bool], tuple[str, Picture]] = {}
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
        facts: the numbers that one wants first: names and values.
        state: `good`, `open` or `plain`: how the headline is marked.
    """

    kind: str
    title: str
    headline: str
    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    state: str = "plain"


def page(hero: Hero, sections: Sequence[PageSection], pictures: Pictures) -> str:
    """The text of the file; equal arguments give equal bytes.

    Nothing is loaded and nothing sent: the policy in the head forbids every request, and allows
    only this style sheet and this script, by their digests.
    """
    style, script = _style(), _resource("script.js")
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    body = joined(
        pictures.shelf(),
        element("a", "Skip to the report", class_="skip", href="#report"),
        _navigation(hero, sections),
        element("main", _top(hero), *map(_section, sections), id="report", tabindex="-1"),
        _footer(),
        by="\n",
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="generator" content="autospace report">\n'
        f"{element('title', f'{hero.title}: {hero.kind}')}\n"
        f"<style>{style}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def figure(drawn: Figure, *below: Content) -> Markup:
    """A figure with legend and caption; `below` are its numbers as tables."""
    panels = "\n".join(
        panel_svg(panel, drawn.size, f"{drawn.name}-{index}")
        for index, panel in enumerate(drawn.panels)
    )
    entries = [element("li", Markup(legend_svg(each)), each.label) for each in drawn.legend]
    legend = [element("ul", *entries, class_="legend")] if entries else []
    few = " few" if len(drawn.panels) < 3 else ""
    return element(
        "figure",
        *legend,
        element("div", Markup(panels), class_=f"panels{few}"),
        element("figcaption", drawn.caption),
        *below,
        class_="chart-figure",
    )


def _top(hero: Hero) -> Markup:
    return element(
        "header",
        element("p", hero.kind, class_="kind"),
        element("h1", hero.title),
        element("p", hero.headline, class_=f"headline {hero.state}"),
        *(element("p", sentence) for sentence in hero.sentences),
        definitions(hero.facts),
        class_="hero",
    )


def _section(section: PageSection) -> Markup:
    heading = f"{section.anchor}-heading"
    return element(
        "section",
        element("h2", section.heading, id=heading),
        *section.content,
        id=section.anchor,
        aria_labelledby=heading,
    )


def _navigation(hero: Hero, sections: Sequence[PageSection]) -> Markup:
    links = [element("li", element("a", each.heading, href=f"#{each.anchor}")) for each in sections]
    name = element("p", element("a", hero.title, href="#report"), class_="brand")
    return element("nav", name, element("ol", *links), aria_label="Sections of this report")


def _footer() -> Markup:
    told = "Made by autospace. This file is complete: it loads nothing and sends nothing."
    return element("footer", element("p", told))


@cache
def _style() -> str:
    return f"{svg.style()}{_resource('style.css')}{PRINTED_LIGHT}"


@cache
def _resource(name: str) -> str:
    return (resources.files("autospace.report") / name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
