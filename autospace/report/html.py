"""HTML as values: text is escaped unless it is `Markup` already.

Numbers as the tables and sentences of a report show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from autospace.charts.figure import with_minus
from autospace.spaces.text import xml

TALL = 40
"""Rows beyond which a table scrolls in its box, under its headings."""


class Markup(str):
    """Text that is HTML; only the functions of this package make it."""

    __slots__ = ()


Content = str
"""Plain text, which is escaped, or `Markup`, which is not."""


def element(name: str, *children: Content, **attributes: str) -> Markup:
    """`<name attributes>children</name>`; `class_` and `data_x` become `class` and `data-x`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{xml(value)}"' for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def joined(*children: Content, by: str = "") -> Markup:
    """Contents one after the other."""
    return Markup(by.join(each if isinstance(each, Markup) else xml(each) for each in children))


def lines(text: str) -> Markup:
    """A text of several lines for a `<pre>`."""
    return Markup("\n".join(xml(line) for line in text.rstrip("\n").split("\n")))


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is shown, with the value by which a column is sorted."""

    text: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Column:
    """The heading of a column; `about` explains it where the heading alone does not."""

    heading: str
    numeric: bool = False
    about: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption.

    Attributes:
        filter: label of the field that filters the rows; empty for none.
        sortable: whether its headings become buttons that sort it, where scripts run.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Content | Number, ...], ...]
    filter: str = ""
    sortable: bool = True

    def markup(self) -> Markup:
        """The table in a box of its own that scrolls where the page is too narrow for it."""
        heads = [_head(column) for column in self.columns]
        body = [element("tr", *map(_cell, row, self.columns)) for row in self.rows]
        table = element(
            "table",
            element("caption", self.caption),
            element("thead", element("tr", *heads)),
            element("tbody", joined(*body, by="\n")),
            class_="sortable" if self.sortable else "fixed",
            **({"data_filter": self.filter} if self.filter else {}),
        )
        # A box that scrolls has to take the keyboard's focus, and so needs a name.
        style = "wide tall" if len(self.rows) > TALL else "wide"
        return element(
            "div", table, class_=style, tabindex="0", role="region", aria_label=self.caption
        )


def details(summary: Content, *children: Content, open_: bool = False) -> Markup:
    """A part that opens on a click; everything in it is in the page already."""
    inner = joined(element("summary", summary), *children)
    return Markup(f"<details{' open' if open_ else ''}>{inner}</details>")


def definitions(pairs: Sequence[tuple[Content, Content]], style: str = "facts") -> Markup:
    """Names and what they stand for."""
    groups = [element("div", element("dt", name), element("dd", value)) for name, value in pairs]
    return element("dl", *groups, class_=style)


def _head(column: Column) -> Markup:
    extra = {"class_": "number"} if column.numeric else {}
    if column.about:
        extra["title"] = column.about
    return element("th", column.heading, scope="col", **extra)


def _cell(value: Content | Number, column: Column) -> Markup:
    if isinstance(value, Number):
        sort = "" if value.value is None else f"{value.value:.6g}"
        return element("td", value.text, class_="number", data_sort=sort)
    return element("td", value, **({"class_": "number"} if column.numeric else {}))


def signed(value: float, digits: int = 3) -> str:
    """A fitness or difference with its sign."""
    return with_minus(f"{value:+.{digits}f}")


def fitness(value: float | None) -> Number:
    """A fitness in a table."""
    return missing() if value is None else Number(signed(value), value)


def share(value: float | None) -> Number:
    """A share in whole per cent."""
    return missing() if value is None else Number(f"{value:.0%}", value)


def whole(value: int | None) -> Number:
    """A count with its thousands set off."""
    return missing() if value is None else Number(f"{value:,}", value)


def decimal(value: float | None, digits: int) -> Number:
    """A number with so many digits after the point."""
    return missing() if value is None else Number(with_minus(f"{value:.{digits}f}"), value)


def probability(value: float | None) -> Number:
    """A p-value."""
    if value is None:
        return missing()
    return Number("< 0.001" if value < 0.001 else f"{value:.3f}", value)


def missing() -> Number:
    """What is not known."""
    return Number("-", None)


def size_text(size: int) -> str:
    """A number of architectures; a power of ten where it is large."""
    return f"{size:,}" if size < 10**7 else f"about 10^{len(str(size)) - 1}"


def duration(seconds: float) -> str:
    """A time in its two largest units."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60:02d} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60:02d} min"
