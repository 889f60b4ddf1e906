"""Draws a panel as inline SVG for an HTML page, and defines the colours of the report.

Equal panels give equal bytes. Colours and widths of lines are set by the style sheet. Every point
with a tip has an invisible target with a `<title>`, so that tips appear without a script.

The colours of series follow Okabe and Ito (2008), whose eight colours can be distinguished with any
common colour blindness. Here they are darkened for a white background and lightened for a black
one. No chart relies on colour alone: series also differ in dash, shape or label.
"""

from collections.abc import Mapping
from typing import Final

from autospace.charts.figure import (
    SERIES,
    Area,
    Dots,
    LegendEntry,
    Line,
    Mark,
    Panel,
    Rule,
    Scale,
    Segments,
    ticks,
)
from autospace.spaces.text import xml

LIGHT: Final[Mapping[str, str]] = {
    "page": "#ffffff",
    "raised": "#f6f8fa",
    "line": "#d8dee4",
    "ink": "#1f2328",
    "faint": "#59636e",
    "link": "#0b5cad",
    "good": "#1a6b34",
    "bad": "#b3261e",
    "mark": "#ddeeff",
    "reference": "#59636e",
    "first": "#0b62a8",
    "second": "#b34700",
    "third": "#00735a",
    "fourth": "#a03a78",
    "fifth": "#7a6300",
    "sixth": "#5a4fcf",
}
DARK: Final[Mapping[str, str]] = {
    "page": "#0d1117",
    "raised": "#151b23",
    "line": "#3d444d",
    "ink": "#f0f6fc",
    "faint": "#9aa4af",
    "link": "#79b8ff",
    "good": "#4cc366",
    "bad": "#ff8a80",
    "mark": "#10304f",
    "reference": "#9aa4af",
    "first": "#66b3f0",
    "second": "#f59e4c",
    "third": "#3fc79f",
    "fourth": "#e59ac6",
    "fifth": "#e0c64f",
    "sixth": "#a79cf5",
}
TEXT_ROLES: Final = ("ink", "faint", "link", "good", "bad")
"""Roles of text; their contrast is at least 4.5 to 1 on every background."""
BACKGROUNDS: Final = ("page", "raised")
MARK_ROLES: Final = ("reference", *SERIES)


def style() -> str:
    """Custom properties `--ROLE`, and a class `c-ROLE` that makes one the colour of a mark."""
    light = _properties(LIGHT)
    dark = _properties(DARK)
    roles = ("ink", "faint", *MARK_ROLES)
    classes = "".join(f".c-{role}{{--c:var(--{role})}}" for role in roles)
    # Paper is white, whatever the screen was.
    screen = f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return f":root{{{light}}}\n{screen}\n{classes}\n"


def _properties(colours: Mapping[str, str]) -> str:
    return "".join(f"--{role}:{colour};" for role, colour in colours.items())


TICK = 11
CHARACTER = 0.62
"""Width of a character in units of the font size, as in common fonts."""
TITLE_ROOM = 24
LABEL_ROOM = 16


def panel_svg(panel: Panel, size: tuple[int, int], identity: str) -> str:
    """One panel; `identity` is unique on the page and made of letters, digits and dashes."""
    width, height = size
    box = _Box.of(panel, width, height)
    title, described = f"{identity}-t", f"{identity}-d"
    parts = [
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{title}" aria-describedby="{described}">',
        f'<title id="{title}">{xml(panel.title)}</title>',
        f'<desc id="{described}">{xml(panel.description)}</desc>',
        _text(0, 13, panel.title, "name"),
        box.frame(),
        *(box.drawn(mark) for mark in panel.marks),
        *(box.targets(mark) for mark in panel.marks if isinstance(mark, Dots) and mark.tips),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part)


def legend_svg(entry: LegendEntry) -> str:
    """The sample of a mark before its label in the legend."""
    shapes = {
        "line": '<path class="line" d="M1 6H23"/>',
        "dashed": '<path class="line dashed" d="M1 6H23"/>',
        "slight": '<path class="line slight" d="M1 6H23"/>',
        "area": '<path class="area" d="M1 1H23V11H1z"/>',
        "dot": '<circle class="dot" cx="12" cy="6" r="3.5"/>',
        "ring": '<circle class="ring" cx="12" cy="6" r="3.5"/>',
        "square": '<rect class="ring" x="8.5" y="2.5" width="7" height="7"/>',
        "speck": '<path class="specks" d="M7 6h0M12 6h0M17 6h0"/>',
    }
    return (
        f'<svg class="sample c-{entry.role}" viewBox="0 0 24 12" width="24" height="12" '
        f'aria-hidden="true">{shapes[entry.look]}</svg>'
    )


class _Box:
    """The rectangle between the axes of a panel."""

    def __init__(
        self, panel: Panel, left: float, right: float, top: float, bottom: float, rows: int
    ) -> None:
        self.panel, self.rows = panel, rows
        self.left, self.right, self.top, self.bottom = left, right, top, bottom
        self.x = Scale(panel.x, left, right)
        self.y = Scale(panel.y, top, bottom) if panel.y.names else Scale(panel.y, bottom, top)

    @classmethod
    def of(cls, panel: Panel, width: int, height: int) -> "_Box":
        """The largest box that leaves room for the labels."""
        longest = max((len(label) for _, label in ticks(panel.y, _rows(height))), default=0)
        left = longest * TICK * CHARACTER + 8
        top = TITLE_ROOM + (LABEL_ROOM if panel.y.label else 0)
        bottom = height - 18 - (LABEL_ROOM if panel.x.label else 0)
        return cls(panel, left, width - 10.0, float(top), float(bottom), _rows(height))

    def frame(self) -> str:
        """Grid, tick labels and the names of the axes."""
        columns = max(2, int((self.right - self.left) // 62))
        parts = []
        for value, label in ticks(self.panel.y, self.rows):
            y = self.y.at(value)
            parts.append(f'<path class="grid" d="M{_n(self.left)} {_n(y)}H{_n(self.right)}"/>')
            parts.append(_text(self.left - 6, y + 4, label, "tick", "end"))
        parts.append(
            f'<path class="axis" d="M{_n(self.left)} {_n(self.bottom)}H{_n(self.right)}"/>'
        )
        for value, label in ticks(self.panel.x, columns):
            x = self.x.at(value)
            parts.append(f'<path class="axis" d="M{_n(x)} {_n(self.bottom)}v4"/>')
            half = len(label) * TICK * CHARACTER / 2
            inside = min(max(x, half), self.right + 10 - half)
            parts.append(_text(inside, self.bottom + 16, label, "tick", "middle"))
        if self.panel.y.label:
            parts.append(_text(0, TITLE_ROOM + 6, self.panel.y.label, "label"))
        if self.panel.x.label:
            parts.append(_text(self.right, self.bottom + 31, self.panel.x.label, "label", "end"))
        return "\n".join(parts)

    def drawn(self, mark: Mark) -> str:
        """A mark at its position."""
        match mark:
            case Line(points=points):
                style = f"line{' dashed' * mark.dashed}{' slight' * mark.slight}"
                return self._path(style, mark.role, self._joined(points, mark.step))
            case Area(points=points):
                there = [f"{_n(self.x.at(x))} {_n(self.y.at(high))}" for x, _, high in points]
                back = [f"{_n(self.x.at(x))} {_n(self.y.at(low))}" for x, low, _ in points[::-1]]
                return self._path("area", mark.role, f"M{'L'.join([*there, *back])}z")
            case Rule(at=at):
                y, x = _n(self.y.at(at)), _n(self.x.at(at))
                across = f"M{_n(self.left)} {y}H{_n(self.right)}"
                data = across if mark.along == "x" else f"M{x} {_n(self.top)}V{_n(self.bottom)}"
                return self._path("rule dashed" if mark.dashed else "rule", mark.role, data)
            case Segments(pairs=pairs):
                data = "".join(f"M{self._place(a)}L{self._place(b)}" for a, b in pairs)
                return self._path("bar" if mark.thick else "thin", mark.role, data)
            case Dots():
                return self._dots(mark)

    def targets(self, mark: Dots) -> str:
        """Invisible circles around the points; the pointer over one shows its tip."""
        return "\n".join(
            f'<circle class="hit" cx="{_n(self.x.at(x))}" cy="{_n(self.y.at(y))}" r="7">'
            f"<title>{xml(tip)}</title></circle>"
            for (x, y), tip in zip(mark.points, mark.tips, strict=True)
        )

    def _dots(self, mark: Dots) -> str:
        places = [(_n(self.x.at(x)), _n(self.y.at(y))) for x, y in mark.points]
        if mark.shape == "none" or not places:
            return ""
        if mark.shape == "speck":
            return self._path("specks", mark.role, "".join(f"M{x} {y}h0" for x, y in places))
        if mark.shape == "square":
            data = "".join(f"M{x} {y}m-3.5-3.5h7v7h-7z" for x, y in places)
            return self._path("ring", mark.role, data)
        circle = "a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z"
        data = "".join(f"M{x} {y}m-3.6 0{circle}" for x, y in places)
        return self._path(mark.shape, mark.role, data)

    def _joined(self, points: tuple[tuple[float, float], ...], step: bool) -> str:
        if not step:
            return f"M{'L'.join(map(self._place, points))}" if points else ""
        data = f"M{self._place(points[0])}" if points else ""
        for x, y in points[1:]:
            data += f"H{_n(self.x.at(x))}V{_n(self.y.at(y))}"
        return data

    def _place(self, point: tuple[float, float]) -> str:
        return f"{_n(self.x.at(point[0]))} {_n(self.y.at(point[1]))}"

    def _path(self, style: str, role: str, data: str) -> str:
        return f'<path class="{style} c-{role}" d="{data}"/>' if data else ""


def _rows(height: int) -> int:
    """The number of ticks for which a vertical axis has room."""
    return max(2, (height - 70) // 26)


def _text(x: float, y: float, content: str, style: str, anchor: str = "start") -> str:
    at = f'x="{_n(x)}" y="{_n(y)}"'
    end = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{style}" {at}{end}>{xml(content)}</text>' if content else ""


def _n(value: float) -> str:
    """A pixel coordinate with at most one digit after the point."""
    return f"{value:.1f}".removesuffix(".0").replace("-0", "0") if value > -0.05 else f"{value:.1f}"
