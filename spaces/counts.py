"""Counts as people write them: `5M`, `1.5k`, `300000`."""

from typing import Final

_UNITS: Final = {"k": 10**3, "m": 10**6, "g": 10**9}


def parse_count(text: str) -> int | None:
    """A number with an optional suffix k, M or G, rounded down; None if it is none.

    A limit is a promise, so it is never rounded up.
    """
    scale = _UNITS.get(text[-1:].lower(), 1)
    digits = text[:-1] if scale > 1 else text
    try:
        # Through a float only what is no whole number: a float holds 15 digits.
        return int(digits) * scale if digits.isdigit() else int(float(digits) * scale)
    except (ValueError, OverflowError):
        return None
