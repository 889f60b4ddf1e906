"""Formats text for people and programs: safe names, counts, costs and JSON."""

import json
import math
from html import escape
from typing import Any, Final


def visible(text: str) -> str:
    """The text on one line, with control and other invisible characters spelled as escapes.

    A name in a file may hold escape sequences of the terminal, or characters that XML forbids.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def shortened(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis where it is longer than `length`."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 layer`, `2 layers`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def magnitude(count: int) -> str:
    """A count of what may be too many to count: `1,764`, `10^7.2`."""
    return f"{count:,}" if count < 10**6 else f"10^{math.log10(count):.1f}"


def xml(text: str) -> str:
    """The text for element content and attribute values of an XML document."""
    return escape(visible(text))


def _spelled(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


_UNITS: Final = {"k": 10**3, "m": 10**6, "g": 10**9}


def parse_count(text: str) -> int | None:
    """A number with an optional suffix k, M or G, rounded down; None for other text.

    A limit is a guarantee, so it is never rounded up.
    """
    # Here, because every start of the program imports this module.
    from decimal import ROUND_DOWN, Context, Decimal

    scale = _UNITS.get(text[-1:].lower(), 1)
    digits = text[:-1] if scale > 1 else text
    try:
        if digits.isdigit():
            return int(digits) * scale
        if not math.isfinite(float(digits) * scale):
            return None
        # A float of 4.1 is a little less: 4.1M would lose one.
        return int(Context(rounding=ROUND_DOWN).multiply(Decimal(digits), scale))
    except (ValueError, ArithmeticError):
        return None


def json_text(plain: Any) -> str:
    """Plain values as indented JSON with sorted keys and a newline at the end: equal bytes.

    ASCII, because some clients open files in the encoding of their platform.
    """
    return json.dumps(plain, sort_keys=True, indent=2, allow_nan=False) + "\n"


def human(value: float) -> str:
    """A count with three digits and a unit: `43.5M`, `214k`, `96`."""
    if value < 999.5:
        return f"{value:.0f}" if value == int(value) else f"{value:.3g}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if value < 999.5:
            return f"{_three_digits(value)}{unit}"
    return f"{_three_digits(value / 1000)}T"


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}"
