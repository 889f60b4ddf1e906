"""A comparison on a terminal: figures, box plots on one axis, verdict."""

from pathlib import Path
from typing import Any

from autospace.cli.output import rich_data, terminal_width
from autospace.spaces.text import human, shortened, visible

LONGEST_LABEL = 24


def print_comparison(found: dict[str, Any], result: Path, report: Path) -> None:
    """Writes it to stdout.

    Args:
        found: what `comparison.json` holds.
        result: that file.
        report: the report.
    """
    from rich.text import Text

    parts: list[Any] = [_figures(found), Text(_matching(found), style="dim")]
    if found["comparable"]:
        parts += ["", *_boxes(found)]
    parts.append("")
    sentences = [pair["sentence"] for pair in found["pairs"]] or [found["sentence"]]
    parts += [Text(visible(sentence), style="bold") for sentence in sentences]
    parts += [Text(f"- {visible(note)}", style="dim") for note in found["notes"]]
    parts += ["", Text(f"Written: {visible(str(result))}, {report.name} beside it", no_wrap=True)]
    rich_data(*parts)


def _figures(found: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("space", no_wrap=True)
    # Scores are kept with a minus, so that lower is better everywhere.
    sign = 1 if found["unit"] == "points" else -1
    error = "error, 95 %" if sign == 1 else "score, 95 %"
    best = found["spaces"][0]["best"]
    headings = ["n", error, "median", "MAdds"]
    if best:
        headings.insert(3, f"best of {best[-1]['of']}")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for space in found["spaces"]:
        matched = space["matched"]
        cells = ["-"] * len(headings)
        if matched:
            figures = [space["median"], *space["best"][-1:]]
            cells = [
                str(space["n"]),
                _estimate(space["mean"], sign),
                *(_number(each["value"], sign) for each in figures),
                human(round(matched["madds"]["mean"])),
            ]
        label = shortened(visible(space["label"]), LONGEST_LABEL)
        table.add_row(label, *cells)
    return table


def _matching(found: dict[str, Any]) -> str:
    """What the compared networks cost, and what those cost that were drawn."""
    cost, span = found["matching"]["cost"], found["matching"]["range"]
    measure = "params" if cost == "params" else "madds"
    unit = "params" if cost == "params" else "MAdds"
    drawn = [space["drawn"][measure] for space in found["spaces"]]
    spans = ", ".join(f"{human(each['min'])} to {human(each['max'])}" for each in drawn)
    if span is None:
        return f"drawn: {spans} {unit}"
    return f"compared at equal {unit}, {human(span[0])} to {human(span[1])}; drawn: {spans}"


def _boxes(found: dict[str, Any]) -> list[Any]:
    """Per space a line from the least to the greatest error, its middle half thick."""
    from rich.text import Text

    sign = 1 if found["unit"] == "points" else -1
    errors = [sorted(sign * error for error in space["errors"]) for space in found["spaces"]]
    low, high = min(each[0] for each in errors), max(each[-1] for each in errors)
    labels = [shortened(visible(space["label"]), LONGEST_LABEL) for space in found["spaces"]]
    margin = max(map(len, labels)) + 2
    width = max(20, min(60, terminal_width() - margin))
    left, right = _number(low, 1), _number(high, 1)
    unit = "error" if sign == 1 else "score"
    axis = f"{unit:<{margin}}{left}{right:>{width - len(left)}}"
    lines = [Text(axis, style="dim", no_wrap=True)]
    for label, values in zip(labels, errors, strict=True):
        bar = box(values, low, high, width)
        lines.append(Text(f"{label:<{margin}}{bar}".rstrip(), no_wrap=True))
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


def _estimate(found: dict[str, Any], sign: int) -> str:
    low, high = sorted(sign * each for each in found["interval"])
    return f"{_number(found['value'], sign)} ({_number(low, 1)} to {_number(high, 1)})"


def _number(value: float, sign: int) -> str:
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{sign * value:.{digits}f}"
