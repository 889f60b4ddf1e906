"""A comparison on a terminal: figures, box plots on one axis, verdict."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospace.cli.output import rich_data, terminal_width
from autospace.spaces.cost import NAMES
from autospace.spaces.text import human, visible

if TYPE_CHECKING:
    from autospace.comparison.document import ComparisonDocument, EstimateDocument

LONGEST_LABEL = 24


def print_comparison(found: "ComparisonDocument", result: Path, report: Path) -> None:
    """Writes it to stdout.

    Args:
        found: what `comparison.json` holds.
        result: that file.
        report: the report.
    """
    from rich.text import Text

    parts: list[Any] = [_figures(found), Text(_matching(found), style="dim")]
    if found.comparable:
        parts += ["", *_boxes(found)]
    parts.append("")
    sentences = [pair.sentence for pair in found.pairs] or [found.sentence]
    parts += [Text(visible(sentence), style="bold") for sentence in sentences]
    parts += [Text(f"- {visible(note)}", style="dim") for note in found.notes]
    parts += ["", Text(f"Written: {visible(str(result))}, {report.name} beside it", no_wrap=True)]
    rich_data(*parts)


def _figures(found: "ComparisonDocument") -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("space", overflow="fold")
    scale = _scale(found)
    error = "error, 95 %" if scale > 0 else "score, 95 %"
    best = found.spaces[0].best
    headings = ["n", error, "median", NAMES[found.cost]]
    if best:
        headings.insert(3, f"best of {best[-1].of}")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for space in found.spaces:
        cells = ["-"] * len(headings)
        if space.matched and space.mean and space.median:
            figures = [space.median, *space.best[-1:]]
            cells = [
                str(space.n),
                _estimate(space.mean, scale),
                *(_number(scale * each.value) for each in figures),
                human(round(space.matched.of(found.cost).mean)),
            ]
        table.add_row(visible(space.label), *cells)
    return table


def _matching(found: "ComparisonDocument") -> str:
    """What the compared networks cost, and what those cost that were drawn."""
    matching, unit = found.matching, NAMES[found.cost]
    drawn = [space.drawn.of(found.cost) for space in found.spaces if space.drawn]
    spans = ", ".join(f"{human(each.min)} to {human(each.max)}" for each in drawn)
    if matching.cost == "none" or matching.range is None:
        return f"drawn: {spans} {unit}"
    low, high = map(human, matching.range)
    equal = f"compared at equal {NAMES[matching.cost]}, {low} to {high}"
    # Results of earlier versions have no OPs of what was drawn.
    return f"{equal}; drawn: {spans}" + (f" {unit}" if matching.cost != found.cost else "")


def _boxes(found: "ComparisonDocument") -> list[Any]:
    """Per space a line from the least to the greatest error, its middle half thick."""
    from rich.cells import cell_len
    from rich.text import Text

    scale = _scale(found)
    errors = [sorted(scale * error for error in space.errors) for space in found.spaces]
    low, high = min(each[0] for each in errors), max(each[-1] for each in errors)
    labels = [visible(space.label) for space in found.spaces]
    unit = "error" if scale > 0 else "score"
    margin = min(LONGEST_LABEL, max(map(cell_len, (unit, *labels)))) + 2
    width = max(20, min(60, terminal_width() - margin))
    left, right = _number(low), _number(high)
    axis = f"{unit:<{margin}}{left}{right:>{width - len(left)}}"
    lines = [Text(axis, style="dim", no_wrap=True)]
    for label, values in zip(labels, errors, strict=True):
        bar = box(values, low, high, width)
        if cell_len(label) + 2 > margin:  # a line of its own
            lines.append(Text(label, overflow="fold"))
            label = ""
        blanks = " " * (margin - cell_len(label))
        lines.append(Text(f"{label}{blanks}{bar}".rstrip(), no_wrap=True))
    return lines


def box(values: list[float], low: float, high: float, width: int) -> str:
    """A box plot of sorted values on an axis from low to high, so many characters wide."""
    scale = (width - 1) / (high - low) if high > low else 0.0

    def place(share: float) -> int:
        value = values[round(share * (len(values) - 1))]
        return round((value - low) * scale)

    first, quarter, middle, rest, last = map(place, (0, 0.25, 0.5, 0.75, 1))
    line = [" "] * width
    line[first : last + 1] = "─" * (last + 1 - first)
    line[quarter : rest + 1] = "█" * (rest + 1 - quarter)
    line[middle] = "│"
    return "".join(line)


def _estimate(found: "EstimateDocument", scale: float) -> str:
    low, high = sorted(scale * each for each in found.interval)
    return f"{_number(scale * found.value)} ({_number(low)} to {_number(high)})"


def _scale(found: "ComparisonDocument") -> float:
    """From the file to what people read: points of error, or scores, which have a minus there."""
    return 100.0 if found.unit == "share" else -1.0


def _number(value: float) -> str:
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:.{digits}f}"
