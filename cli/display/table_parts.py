"""The parts that tables for people are made of."""

import re
import shlex
from textwrap import fill
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from autospace.cli.output import terminal_width
from autospace.spaces.text import visible

BAR_WIDTH: Final = 8
EIGHTHS: Final = " ▏▎▍▌▋▊▉"
ROOMY: Final = 100
WIDE: Final = 140
ID_BESIDE_TEXT: Final = 26


def header(name: str, *lines: str) -> Text:
    """A name in bold, and lines of facts below it."""
    text = Text(visible(name), style="bold")
    for line in lines:
        text.append(f"\n{visible(line)}", style="not bold")
    return text


def table(*headings: str) -> Table:
    """A table without lines; a heading that starts with `>` is a column of numbers."""
    gap = 2 if terminal_width() >= ROOMY else 1
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for heading in headings:
        if heading.startswith(">"):
            made.add_column(heading[1:], justify="right", no_wrap=True)
        else:
            fixed = heading not in ("best", "cell")
            shortest = len(heading) if fixed else None
            made.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=shortest)
    return made


def fit(made: Table, heading: str) -> Table:
    """The table with this column shortened, if need be, so that no other one is."""
    gap = 2 if terminal_width() >= ROOMY else 1
    # A column that folds takes what is left, and needs some of it.
    folds = any(column.overflow == "fold" for column in made.columns)
    room = terminal_width() if not folds else min(terminal_width(), ID_BESIDE_TEXT)
    others = sum(
        gap + max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        for column in made.columns
        if column.header != heading and column.overflow != "fold"
    )
    for column in made.columns:
        if column.header == heading:
            column.max_width = max(len(heading), min(room, terminal_width() - others - gap))
    return made


def bar(value: float, largest: float) -> Text:
    """A bar of up to `BAR_WIDTH` characters."""
    eighths = round(8 * BAR_WIDTH * value / largest) if largest else 0
    full, rest = divmod(eighths, 8)
    return Text("█" * full + EIGHTHS[rest].strip(), style="green")


def hint(*words: str, after: str = "") -> Text:
    """The command to go on with, ready to be copied, and what may follow it."""
    command = " ".join(shlex.quote(visible(word)) for word in words)
    # On one line even where that is too long, to be copied.
    text = f"next: autospace {command}{after}"
    return Text(text, style="dim", no_wrap=True, overflow="ignore")


def faint(text: str) -> Text:
    """A remark."""
    return Text(text, style="dim")


def clipped(name: str, width: int) -> str:
    """A name in so many columns exactly, shortened where it is longer."""
    shown = visible(name)
    if cell_len(shown) > width:
        shown = set_cell_size(shown, width - 1) + "…"
    return set_cell_size(shown, width)


def folded(graph: str, indent: int) -> str:
    """A cell's notation on indented lines, broken between edges, never inside one."""
    blanks = " " * indent
    width = max(terminal_width(), indent + 20)
    # textwrap breaks at ordinary spaces only.
    joined = re.sub(r"(\d>\d) ", "\\1\xa0", graph)
    return fill(joined, width, initial_indent=blanks, subsequent_indent=blanks).replace("\xa0", " ")
