"""The colours of the report, for light and for dark paper, and their style sheet.

Series colours follow Okabe and Ito (2008), whose eight colours people with any of the common
colour blindnesses tell apart; they are darkened for white paper and lightened for black. No chart
relies on colour alone: series also differ in dash, shape or label.
"""

from collections.abc import Mapping
from typing import Final

from autospace.charts.figure import SERIES

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
"""Roles that are written with; contrast 4.5 to 1 at least on every background."""
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
