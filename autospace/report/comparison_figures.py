"""The figures of a comparison."""

from collections.abc import Sequence

from autospace.charts.figure import (
    SERIES,
    Axis,
    Dots,
    Figure,
    LegendEntry,
    Line,
    Mark,
    Panel,
    Point,
    Role,
    Rule,
    Segments,
    with_minus,
)
from autospace.comparison.document import ComparisonDocument
from autospace.comparison.statistics import LEVEL
from autospace.spaces.cost import NAMES
from autospace.spaces.text import human

MOST_TIPS = 400
"""Scatter plots with more points than this show no values on hovering."""


def role(index: int) -> Role:
    """The colour of a space. Every second space is also dashed."""
    return SERIES[index % len(SERIES)]


def edf_figure(found: ComparisonDocument) -> Figure:
    """Distributions of the error, and of the cost before and after matching."""
    panels = (_errors(found), _costs(found))
    caption = (
        f"Left: the share of the networks of each space whose {quantity(found)} is at most this "
        "value. The space whose curve is further left is better. Right: the same for the cost of "
        "the networks. Where these curves coincide, cost does not explain the difference."
    )
    before = (LegendEntry("thin: before matching", "faint", "slight"),)
    legend = _legend(found) + (before if found.matching.cost != "none" else ())
    return Figure("edf", caption, panels, legend, (400, 270))


def difference_figure(found: ComparisonDocument) -> Figure:
    """Differences and means, with their intervals."""
    panels = []
    if found.pairs:
        # The first space is the same in every pair, so that the second one names a row.
        names = [_label(found, each.b) for each in found.pairs]
        rows = [_row(found, each.difference, each.interval) for each in found.pairs]
        unit = "points of error" if found.unit == "share" else "dominance"
        quantity_ = "Difference in mean error" if found.unit == "share" else "Dominance"
        title = f"{quantity_} to {_short(_label(found, found.pairs[0].a))}"
        panels.append(_intervals(title, names, rows, f"{unit}; above 0 the space here is better"))
    known = [(index, each.mean) for index, each in enumerate(found.spaces) if each.mean is not None]
    if known:
        names = [_label(found, index) for index, _ in known]
        rows = [_row(found, each.value, each.interval) for _, each in known]
        panels.append(
            _intervals(f"Mean {quantity(found)}", names, rows, error_label(found), zero=False)
        )
    caption = (
        f"Means with {percent(LEVEL)} intervals. A difference is significant if its interval "
        f"excludes 0; {levels(found)}."
    )
    return Figure("difference", caption, tuple(panels), (), (400, 90 + 26 * len(found.spaces)))


def best_figure(found: ComparisonDocument) -> Figure:
    """Expected error of the best of n random networks."""
    marks: list[Mark] = []
    values: list[float] = []
    longest = max((len(each.curve) for each in found.spaces), default=0)
    for index, space in enumerate(found.spaces):
        curve = tuple((n + 1.0, found.shown(error)) for n, error in enumerate(space.curve))
        ends = []
        for each in space.best:
            low, high = map(found.shown, each.interval)
            ends.append(((float(each.of), low), (float(each.of), high)))
        tips = tuple(
            f"{space.label}: best of {n}: {error_text(error, found)}"
            for n, error in enumerate(space.curve, start=1)
        )
        marks += [
            Segments(tuple(ends), role(index)),
            Line(curve, role(index), dashed=index % 2 == 1),
            Dots(curve[:: _stride(curve)], role(index), "none", tips[:: _stride(curve)]),
        ]
        values += [error for _, error in (*curve, *(end for pair in ends for end in pair))]
    panel = Panel(
        "Best of n random networks",
        "; ".join(
            f"{each.label}: {error_text(each.curve[0], found)} for one, "
            f"{error_text(each.curve[-1], found)} for the best of {len(each.curve)}"
            for each in found.spaces
            if each.curve
        )
        or "No network was evaluated.",
        Axis("n", 0.5, max(2, longest) + 0.5, "whole"),
        Axis.of(error_label(found), values),
        tuple(marks),
    )
    caption = (
        "The expected result of a random search that evaluates n networks. The further right, "
        "the fewer networks support the curve. Bars show intervals where there are enough networks."
    )
    return Figure("best-of-n", caption, (panel,), _legend(found), (400, 260))


def scatter_figure(found: ComparisonDocument) -> Figure:
    """Cost and error of every network."""
    marks: list[Mark] = []
    unit = NAMES[found.cost]
    for index, space in enumerate(found.spaces):
        pairs = list(zip(space.costs(found.cost), space.errors, strict=True))
        points = tuple((float(cost), found.shown(error)) for cost, error in pairs)
        tips = tuple(
            f"{space.label} {number}: {error_text(error, found)}, {human(cost)} {unit}"
            for number, (cost, error) in enumerate(pairs, start=1)
        )
        told = tips if len(points) <= MOST_TIPS else ()
        marks.append(Dots(points, role(index), "dot" if index % 2 == 0 else "ring", told))
    panel = Panel(
        "Every network",
        "; ".join(f"{each.label}: {len(each.errors)} networks" for each in found.spaces) + ".",
        Axis.of(unit, [x for each in found.spaces for x in each.costs(found.cost)], "count"),
        Axis.of(error_label(found), [found.shown(y) for each in found.spaces for y in each.errors]),
        tuple(marks),
    )
    entries = tuple(
        LegendEntry(each.label, role(index), "dot" if index % 2 == 0 else "ring")
        for index, each in enumerate(found.spaces)
    )
    return Figure(
        "networks", f"Cost and {quantity(found)} of every network.", (panel,), entries, (400, 260)
    )


def percent(level: float) -> str:
    """A confidence level, as precise as the sentence of a verdict has it."""
    return f"{100 * level:.3g}%"


def levels(found: ComparisonDocument) -> str:
    """The levels of the intervals of differences; Holm's procedure may give each pair its own."""
    given = list(dict.fromkeys(percent(pair.level) for pair in found.pairs))
    if len(given) > 1:
        return f"levels of the intervals of differences: {', '.join(given)}"
    return f"the intervals of differences are {(given or [percent(found.level)])[0]} ones"


def quantity(found: ComparisonDocument) -> str:
    """The name of the quantity that is compared."""
    return "error" if found.unit == "share" else "negated score"


def error_label(found: ComparisonDocument) -> str:
    """The axis label of errors: a percentage, or the negated score of a proxy."""
    return "error in %" if found.unit == "share" else "minus the score"


def error_text(value: float, found: ComparisonDocument) -> str:
    """An error of the document as text."""
    if found.unit == "share":
        return f"{found.shown(value):.2f} %"
    return with_minus(f"{value:.4g}")


def _errors(found: ComparisonDocument) -> Panel:
    marks: list[Mark] = []
    for index, space in enumerate(found.spaces):
        steps = tuple(zip(map(found.shown, space.edf.error), space.edf.share, strict=True))
        start = ((steps[0][0], 0.0),) if steps else ()
        line = (*start, *steps)
        tips = tuple(
            f"{space.label}: {share:.0%} of networks at most {error_text(error, found)}"
            for error, share in zip(space.edf.error, space.edf.share, strict=True)
        )
        marks.append(Line(line, role(index), step=True, dashed=index % 2 == 1))
        marks.append(Dots(steps[:: _stride(steps)], role(index), "none", tips[:: _stride(steps)]))
    errors = [found.shown(error) for space in found.spaces for error in space.edf.error]
    words = "; ".join(
        f"{each.label}: median {error_text(each.median.value, found)}"
        for each in found.spaces
        if each.median is not None
    )
    return Panel(
        f"Distribution of the {quantity(found)}",
        words or "No network was evaluated.",
        Axis.of(error_label(found), errors),
        Axis("share of networks", 0.0, 1.0, "percent"),
        tuple(marks),
    )


def _costs(found: ComparisonDocument) -> Panel:
    label = NAMES[found.cost]
    marks: list[Mark] = []
    values: list[float] = []
    means: list[str] = []
    for index, space in enumerate(found.spaces):
        for costs, slight in ((space.drawn, True), (space.matched, False)):
            if costs is None or (slight and found.matching.cost == "none"):
                continue
            spread = costs.of(found.cost)
            steps = max(1, len(spread.quantiles) - 1)
            line = tuple((value, place / steps) for place, value in enumerate(spread.quantiles))
            marks.append(Line(line, role(index), dashed=index % 2 == 1, slight=slight))
            values += spread.quantiles
            means += [] if slight else [f"{space.label}: {human(spread.mean)} on average"]
    matched = "as drawn" if found.matching.cost == "none" else "matched"
    return Panel(
        f"{label} of the networks compared, {matched}",
        "; ".join(means) or "No network was evaluated.",
        Axis.of(label, values, "count"),
        Axis("share of networks", 0.0, 1.0, "percent"),
        tuple(marks),
    )


def _intervals(
    title: str,
    names: Sequence[str],
    rows: Sequence[tuple[float, tuple[float, float]]],
    label: str,
    *,
    zero: bool = True,
) -> Panel:
    places = [float(index) for index in range(len(rows))]
    bars = tuple(((low, at), (high, at)) for at, (_, (low, high)) in zip(places, rows, strict=True))
    points = tuple((value, at) for at, (value, _) in zip(places, rows, strict=True))
    tips = tuple(
        f"{name}: {with_minus(f'{value:.3g} ({low:.3g} to {high:.3g})')}"
        for name, (value, (low, high)) in zip(names, rows, strict=True)
    )
    values = [end for _, ends in rows for end in ends] + ([0.0] if zero else [])
    marks: list[Mark] = [Rule(0.0, "reference", "y")] if zero else []
    marks += [Segments(bars, "first", thick=True), Dots(points, "first", "dot", tips)]
    span = Axis.of(label, values)
    low = min(values) - 0.06 * (max(values) - min(values) or 1.0)
    x = Axis(label, low, span.high)
    return Panel(
        title, "; ".join(tips), x, Axis.named([_short(name) for name in names]), tuple(marks)
    )


def _row(
    found: ComparisonDocument, value: float, interval: Sequence[float]
) -> tuple[float, tuple[float, float]]:
    """An estimate and its interval as text."""
    low, high = map(found.shown, interval)
    return found.shown(value), (low, high)


def _label(found: ComparisonDocument, index: int) -> str:
    return found.spaces[index].label


def _short(name: str, most: int = 30, end: int = 10) -> str:
    """A name that fits beside an axis; its end stays, which tells apart what begins alike."""
    return name if len(name) <= most else f"{name[: most - end - 1]}…{name[-end:]}"


def _legend(found: ComparisonDocument) -> tuple[LegendEntry, ...]:
    return tuple(
        LegendEntry(each.label, role(index), "dashed" if index % 2 else "line")
        for index, each in enumerate(found.spaces)
    )


def _stride(points: Sequence[Point]) -> int:
    return -(-len(points) // MOST_TIPS) or 1
