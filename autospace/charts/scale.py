"""Numbers to places: round tick values, their labels, and how much room labels need."""

import math
from dataclasses import dataclass

from autospace.charts.figure import Axis, Unit

STEPS = (1, 2, 2.5, 5, 10)
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis laid over the pixels from `start` to `end`; what lies outside goes to its ends."""

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
    """A value with as many digits as tell it from its neighbours, a step away.

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
    """A number with the sign that is as wide as a digit, in place of the hyphen."""
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
