"""Draws figures for a paper with matplotlib, as SVG, PDF or PNG.

This is the only module that imports matplotlib, which is an extra. Files hold no date, so equal
figures give equal bytes with the same version of matplotlib.
"""

import io
import warnings
from typing import Any, Literal

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from autospace.charts.figure import (
    Area,
    Axis,
    Dots,
    Figure,
    LegendEntry,
    Line,
    Mark,
    Panel,
    Rule,
    Segments,
    ticks,
)
from autospace.charts.svg import LIGHT

Form = Literal["svg", "pdf", "png"]

INCH = 105.0
"""Pixels of a panel per inch of paper; three panels are about as wide as the text of a page."""
COLUMNS = 3
DOTS_PER_INCH = 300
_STYLE: Any = {
    "axes.edgecolor": LIGHT["faint"],
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "font.size": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "autospace",
    "xtick.color": LIGHT["faint"],
    "ytick.color": LIGHT["faint"],
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}
_NO_DATE: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}
_MARKERS = {"dot": "o", "ring": "o", "square": "s", "speck": "."}


def render(figure: Figure, form: Form) -> bytes:
    """The file of a figure."""
    columns = min(COLUMNS, len(figure.panels))
    rows = -(-len(figure.panels) // columns)
    width, height = figure.size
    extent = (columns * width / INCH, rows * height / INCH + 0.3)
    buffer = io.BytesIO()
    with rc_context(_STYLE), warnings.catch_warnings():
        # A name may hold characters that the font lacks; matplotlib then draws a box and warns.
        warnings.simplefilter("ignore", UserWarning)
        canvas = Canvas(figsize=extent, layout="constrained")
        for place, panel in enumerate(figure.panels):
            _draw(canvas.add_subplot(rows, columns, place + 1), panel)
        if figure.legend:
            handles = [_sample(entry) for entry in figure.legend]
            canvas.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)))
        canvas.savefig(buffer, format=form, dpi=DOTS_PER_INCH, metadata=_NO_DATE[form])
    return buffer.getvalue()


def _draw(axes: Axes, panel: Panel) -> None:
    axes.set_title(_plain(panel.title), loc="left", fontweight="bold")
    axes.set_xlim(panel.x.low, panel.x.high)
    low, high = panel.y.low, panel.y.high
    axes.set_ylim(*((high, low) if panel.y.names else (low, high)))
    axes.set_xlabel(_plain(panel.x.label))
    axes.set_ylabel(_plain(panel.y.label))
    axes.grid(axis="y", color=LIGHT["line"], linewidth=0.5)
    axes.set_axisbelow(True)
    for axis, place in ((panel.x, axes.xaxis), (panel.y, axes.yaxis)):
        found = ticks(axis, 5)
        place.set_ticks([at for at, _ in found], [_plain(label) for _, label in found])
    for mark in panel.marks:
        _mark(axes, mark, panel)


def _mark(axes: Axes, mark: Mark, panel: Panel) -> None:
    colour = LIGHT[mark.role]
    match mark:
        case Line(points=points):
            style = _line(dashed=mark.dashed, slight=mark.slight)
            drawn: Any = "steps-post" if mark.step else "default"
            axes.plot(*_columns(points), color=colour, drawstyle=drawn, **style)
        case Area(points=points):
            xs = [x for x, _, _ in points]
            lows = [_inside(panel.y, low) for _, low, _ in points]
            highs = [_inside(panel.y, high) for _, _, high in points]
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.1, linewidth=0)
        case Rule(at=at):
            line = axes.axhline if mark.along == "x" else axes.axvline
            line(at, color=colour, linewidth=0.8, linestyle="--" if mark.dashed else "-")
        case Segments(pairs=pairs):
            width = 1.6 if mark.thick else 0.6
            axes.add_collection(LineCollection(pairs, colors=colour, linewidths=width))
        case Dots(points=points) if mark.shape != "none":
            look = _marker(mark.shape, colour)
            axes.plot(*_columns(points), linestyle="", clip_on=False, **look)
        case Dots():
            pass  # only there to be hovered over


def _sample(entry: LegendEntry) -> Line2D | Patch:
    colour, label = LIGHT[entry.role], _plain(entry.label)
    match entry.look:
        case "area":
            return Patch(color=colour, alpha=0.1, label=label)
        case "line" | "dashed" | "slight":
            return Line2D(
                [],
                [],
                color=colour,
                label=label,
                **_line(dashed=entry.look == "dashed", slight=entry.look == "slight"),
            )
        case shape:
            return Line2D([], [], linestyle="", label=label, **_marker(shape, colour))


def _line(*, dashed: bool, slight: bool) -> dict[str, Any]:
    return {"linestyle": "--" if dashed else "-", "linewidth": 0.6 if slight else 1.2}


def _marker(shape: str, colour: str) -> dict[str, Any]:
    filled = shape in {"dot", "speck"}
    return {
        "marker": _MARKERS[shape],
        "markersize": 2 if shape == "speck" else 4,
        "markeredgecolor": colour,
        "markerfacecolor": colour if filled else LIGHT["page"],
        "alpha": 0.5 if shape == "speck" else 1.0,
    }


def _columns(points: tuple[tuple[float, float], ...]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _inside(axis: Axis, value: float) -> float:
    return min(max(value, axis.low), axis.high)


def _plain(text: str) -> str:
    """A text with escaped dollar signs, which would start a formula."""
    return text.replace("$", r"\$")
