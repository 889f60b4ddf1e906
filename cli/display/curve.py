"""A curve as one line of characters."""

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"
# For terminals whose encoding has no blocks.
PLAIN = "_.-=*#"


def thinned(values: Sequence[float], width: int) -> list[float]:
    """At most `width` values: the means of equal stretches."""
    count = len(values)
    if count <= width:
        return list(values)
    edges = [index * count // width for index in range(width + 1)]
    pairs = pairwise(edges)
    return [sum(values[start:end]) / (end - start) for start, end in pairs]


def curve(values: Sequence[float], width: int, encoding: str | None = None) -> str:
    """The course of some values from the lowest to the highest, in at most `width` characters.

    Args:
        values: at least one.
        width: at least 1.
        encoding: of the stream that it goes to; None for one that has everything.
    """
    levels = BLOCKS
    try:
        BLOCKS.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        levels = PLAIN
    shown = thinned(values, width)
    low, high = min(shown), max(shown)
    scale = (len(levels) - 1) / (high - low) if high > low else 0
    return "".join(levels[round((value - low) * scale)] for value in shown)
