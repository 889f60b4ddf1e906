"""A figure as a value: panels with two axes, the marks on them, and round ticks for the axes.

The report and the paper draw the same value, so that they cannot disagree.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["ink", "faint", "reference", "first", "second", "third", "fourth", "fifth", "sixth"]
"""The meaning of a mark; `autospace.charts.svg` gives every role its colours."""
Unit = Literal["number", "whole", "count", "percent"]
Shape = Literal["dot", "ring", "square", "speck", "none"]
SERIES: tuple[Role, ...] = ("first", "second", "third", "fourth", "fifth", "sixth")
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`, to the right or upwards.

    Attributes:
        unit: the form of tick labels: numbers, whole numbers, counts (`43M`) or percent.
        names: labels of a categorical axis; entry i is at i, on a vertical axis from the top.
    """

    label: str
    low: float
    high: float
    unit: Unit = "number"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"axis {self.label!r}: from {self.low} to {self.high}")

    @classmethod
    def of(cls, label: str, values: Iterable[float], unit: Unit = "number") -> "Axis":
        """An axis that contains all values, with a small margin."""
        found = list(values) or [0.0, 1.0]
        low, high = min(found), max(found)
        margin = 0.06 * (high - low) or max(abs(high) * 0.1, 1e-6)
        start = low - margin
        return cls(label, 0.0 if low >= 0 > start else start, high + margin, unit)

    @classmethod
    def named(cls, names: Sequence[str]) -> "Axis":
        """A categorical axis."""
        return cls("", -0.5, len(names) - 0.5, names=tuple(names))


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined in their order, by straight lines or by steps."""

    points: tuple[Point, ...]
    role: Role
    step: bool = False
    dashed: bool = False
    slight: bool = False


@dataclass(frozen=True, slots=True)
class Area:
    """The area between two lines: x, lower y, upper y."""

    points: tuple[tuple[float, float, float], ...]
    role: Role


@dataclass(frozen=True, slots=True)
class Dots:
    """Separate points; `tips`, one per point, are shown when the pointer is over them."""

    points: tuple[Point, ...]
    role: Role
    shape: Shape = "dot"
    tips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tips and len(self.tips) != len(self.points):
            raise ValueError(f"{len(self.tips)} tips for {len(self.points)} points")


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the whole panel at one value."""

    at: float
    role: Role
    along: Literal["x", "y"] = "x"
    dashed: bool = True


@dataclass(frozen=True, slots=True)
class Segments:
    """Straight lines, each from one point to another."""

    pairs: tuple[tuple[Point, Point], ...]
    role: Role
    thick: bool = False


Mark = Line | Area | Dots | Rule | Segments


@dataclass(frozen=True, slots=True)
class Panel:
    """Marks over a pair of axes; `description` is the content in words, for screen readers."""

    title: str
    description: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """A line of the legend: the meaning of marks of this role and look."""

    label: str
    role: Role
    look: Literal["line", "dashed", "slight", "area", "dot", "ring", "square", "speck"]


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels that belong together.

    Attributes:
        name: its file name in a paper's folder, without the suffix.
        size: width and height of a panel in CSS pixels.
    """

    name: str
    caption: str
    panels: tuple[Panel, ...]
    legend: tuple[LegendEntry, ...] = ()
    size: tuple[int, int] = (300, 190)


STEPS = (1, 2, 2.5, 5, 10)
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps an axis to the pixels from `start` to `end`; values outside are moved to its ends."""

    axis: Axis
    start: float
    end: float

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.axis.low) / (self.axis.high - self.axis.low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ticks(axis: Axis, most: int) -> list[tuple[float, str]]:
    """Up to `most` round values of an axis with their labels; all names of a categorical one."""
    if axis.names:
        return [(float(index), name) for index, name in enumerate(axis.names)]
    step = _step(axis.high - axis.low, most, whole=axis.unit == "whole")
    first, last = math.ceil(axis.low / step - 1e-9), math.floor(axis.high / step + 1e-9)
    values = [index * step for index in range(first, last + 1)]
    largest = max(map(abs, values), default=0.0)
    return [(value, tick_label(value, step, axis.unit, largest)) for value in values]


def tick_label(value: float, step: float, unit: Unit = "number", largest: float = 0.0) -> str:
    """A value with enough digits to distinguish it from its neighbours, a step away.

    Counts are in the unit of the `largest` value of the axis, so that all labels agree.
    """
    if value == 0 and unit == "count":
        return "0"
    if unit == "percent":
        return f"{_plain(100 * value, 100 * step)}%"
    if unit == "count":
        for size, letter in _UNITS:
            if step >= size or (largest >= size and step >= size / 100):
                return f"{_plain(value / size, step / size)}{letter}"
    return _plain(value, step)


def with_minus(text: str) -> str:
    """A number with a minus sign, which is as wide as a digit, instead of the hyphen."""
    return text.replace("-", "\N{MINUS SIGN}")


def _plain(value: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if digits < 9 and abs(round(step, digits) - step) > 1e-9 * step:
        digits += 1  # a step of 2.5
    text = f"{value:.{digits}f}"
    return with_minus(text) if float(text) else text.replace("-", "")


def _step(span: float, most: int, *, whole: bool) -> float:
    """The smallest round step that gives at most so many ticks."""
    power = 10.0 ** math.floor(math.log10(span / max(1, most)))
    steps = [factor * power for factor in (*STEPS, 20, 50, 100)]
    if whole:
        steps = [max(1.0, step) for step in steps if step == round(step) or step < 1]
    return next((step for step in steps if span / step <= most), steps[-1])
