"""`autospace spaces` and `schema`: what comes with the program."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from autospace.cli.options import Format
from autospace.cli.output import InputError, json_data, rich_data, terminal_width
from autospace.spaces.errors import offered

if TYPE_CHECKING:
    from autospace.spaces import Space


def spaces(format_: Format = "table") -> None:
    """List the built-in search spaces."""
    from autospace.spaces import builtin_names, load

    found = [load(name) for name in builtin_names()]
    if format_ == "json":
        json_data([_record(space) for space in found])
    else:
        _print_table(found)


def schema(
    kind: Annotated[
        Literal["space", "architecture", "skeleton", "table"],
        typer.Argument(help="Kind of the file."),
    ] = "space",
    family: Annotated[
        str,
        typer.Option(help="mobile, dense, darts, binary, conv, bats, ofa, recurrent or nas-bert."),
    ] = "mobile",
) -> None:
    """Print the JSON Schema of a file format."""
    if kind == "table" and family != "mobile":
        raise InputError(f"--family {family!r}: a table has no schema of its own for a family")
    if kind == "table":
        from autospace.evaluators.tabular import table_schema

        json_data(table_schema())
        return
    from autospace.spaces import FAMILIES, json_schema

    if family not in FAMILIES:
        raise InputError(f"--family {family[:40]!r}: unknown; {offered(family, FAMILIES)}")
    json_data(json_schema(f"autospace.{kind}", kind=family))


def _record(space: "Space") -> dict[str, Any]:
    from autospace.cli.display.summary import ranges, size_log10

    return {
        "name": space.name,
        "skeleton": space.skeleton.name,
        "layers": len(space.layers),
        "candidates": sum(len(layer.candidates) for layer in space.layers),
        "log10_architectures": size_log10(space),
        **ranges(space),
        "description": _family_description(space),
        "skeleton_description": space.skeleton.description,
    }


def _print_table(found: list["Space"]) -> None:
    from rich.table import Table
    from rich.text import Text

    from autospace.cli.display.summary import span
    from autospace.spaces.text import magnitude

    headings = ["space", "layers", "cells", "networks", "MAdds", "params"]
    rows = [headings]
    for space in found:
        costs = [span(each, "-") for each in (space.madds, space.params)]
        candidates = sum(len(layer.candidates) for layer in space.layers)
        counts = [str(len(space.layers)), f"{candidates:,}", magnitude(space.size)]
        rows.append([space.name, *counts, *costs])
    shown = _columns_within(rows, terminal_width())
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for place in shown:
        table.add_column(headings[place], justify="right" if place else "left", no_wrap=True)
    for each in rows[1:]:
        table.add_row(*(each[place] for place in shown))
    parts: list[Table | Text | str] = [table]
    left_out = [each for place, each in enumerate(headings) if place not in shown]
    if left_out:
        parts += ["", f"In a wider window: {', '.join(left_out)}."]
    families = {space.name.partition("@")[0]: _family_description(space) for space in found}
    skeletons = {space.skeleton.name: space.skeleton.description for space in found}
    for heading, described in (("cells", families), ("skeletons", skeletons)):
        notes = Table.grid(padding=(0, 2, 0, 0))
        for name, text in described.items():
            notes.add_row(name, text)
        parts.extend(["", Text(heading, style="bold"), notes])
    rich_data(*parts, "", Text(f"next: autospace show {found[1].name}", style="dim"))


GAP: Final = 2
"""Blanks between two columns."""


def _columns_within(rows: list[list[str]], width: int) -> list[int]:
    """The columns that fit beside each other; the widest but the first goes first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = list(range(len(widths)))
    while len(shown) > 1 and sum(widths[place] + GAP for place in shown) - GAP > width:
        shown.remove(max(shown[1:], key=lambda place: (widths[place], place)))
    return shown


def _family_description(space: "Space") -> str:
    return str(space.provenance.get("source", ""))
