"""`autospace import`: a space or an architecture out of another program's file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from autospace.cli.options import Format, Overwrite
from autospace.cli.output import (
    InputError,
    check_new,
    is_stdout,
    json_data,
    message,
    raw_data,
    write_new,
)
from autospace.spaces.errors import offered

if TYPE_CHECKING:
    from autospace.importers.target import Target
    from autospace.spaces import Architecture, Space


def import_(
    file: Annotated[
        str | None, typer.Argument(help="File of another program; - means stdin.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="Format of the file; --list shows all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; - means stdout.", show_default="stdout")
    ] = None,
    skeleton: Annotated[
        str | None,
        typer.Option(
            help="Skeleton around the cells: a built-in one or a file.", show_default="by format"
        ),
    ] = None,
    resolution: Annotated[
        int | None,
        typer.Option(
            help="Height and width of the images in pixels.", show_default="the skeleton's"
        ),
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Space that the cell ids of a client's result refer to.")
    ] = None,
    trial: Annotated[
        str | None,
        typer.Option(
            help="Which trial of a client's result: its id, max or min by value, or max:KEY.",
            show_default="the only one",
        ),
    ] = None,
    force: Overwrite = False,
    list_: Annotated[bool, typer.Option("--list", help="Show all formats, and exit.")] = False,
    format_: Format = "table",
) -> None:
    """Read a space or an architecture of another tool.

    It is written as JSON. If a cell cannot express a part of the file, an error names that part.
    """
    if list_:
        _list_formats(format_)
        return
    if file is None or from_ is None:
        missing = "FILE" if file is None else "--from FORMAT"
        raise InputError(f"{missing}: missing; autospace import --list shows all formats")
    if format_ != "table":
        raise InputError("--format: allowed only with --list; what is imported is always JSON")
    target = _target(from_, skeleton, resolution, space, trial)
    if out is not None:
        check_new(out, force=force)
    value = _imported(file, from_, target)
    _write(value, out, force)


_READ_AS: Final = {
    **dict.fromkeys(
        ("smac", "smac3", "dehb", "neps", "hydra", "wandb", "syne-tune"), "configspace"
    ),
    **dict.fromkeys(("ax", "nevergrad", "pymoo", "archai"), "flat"),
    **dict.fromkeys(("nni-python",), "nni"),
    **dict.fromkeys(("mcunet", "net.config"), "proxylessnas"),
    **dict.fromkeys(("ofa", "once_for_all"), "once-for-all"),
    **dict.fromkeys(("darts", "genotype", "pc-darts", "p-darts"), "darts-genotype"),
    **dict.fromkeys(("nas-bench-201", "nasbench-201"), "nasbench201"),
    **dict.fromkeys(("timm",), "timm-arch"),
}
"""Names that people give a format, and targets of `export` -> the format that reads it."""


def _target(
    name: str,
    skeleton: str | None,
    resolution: int | None,
    space: str | None,
    trial: str | None,
) -> "Target":
    from autospace.importers.formats import FORMATS
    from autospace.importers.target import Target
    from autospace.spaces import load, load_skeleton
    from autospace.spaces.checks import MAX_RESOLUTION

    if name in _READ_AS:
        raise InputError(f"--from {name}: its results are read by --from {_READ_AS[name]}")
    if name not in FORMATS:
        raise InputError(f"--from {name[:40]!r}: unknown; {offered(name, FORMATS)}")
    if FORMATS[name].needs == "space":
        if space is None:
            raise InputError(
                f"--from {name}: cell ids need the space that they refer to; add --space SPACE"
            )
        if skeleton is not None or resolution is not None:
            raise InputError(f"--from {name}: skeleton and resolution are those of --space")
        return Target(space=load(space), trial=trial, note=_note)
    if space is not None or trial is not None:
        option = "--trial" if space is None else "--space"
        raise InputError(f"--from {name}: holds whole cells; allowed: without {option}")
    if resolution is not None and not 1 <= resolution <= MAX_RESOLUTION:
        raise InputError(f"--resolution {resolution}: allowed: 1 to {MAX_RESOLUTION}")
    outer = None if skeleton is None else load_skeleton(skeleton)
    return Target(outer, resolution, note=_note)


def _note(text: str) -> None:
    message(f"note: {text}")


def _imported(file: str, name: str, target: "Target") -> "Space | Architecture":
    from autospace.importers.formats import import_text
    from autospace.spaces import SpaceError

    text = _text(file)
    try:
        return import_text(name, text, target)
    except SpaceError as error:
        raise SpaceError(file, str(error)) from None


def _text(file: str) -> str:
    """The text of a file or of stdin, in bounded size."""
    from autospace.spaces import SpaceError
    from autospace.spaces.checks import MAX_BYTES
    from autospace.spaces.errors import located
    from autospace.spaces.files.reading import read_text, text_of

    if file != "-":
        return read_text(Path(file), others=True)
    raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise SpaceError("-", f"too large; allowed: up to {MAX_BYTES} bytes")
    with located("-"):
        return text_of(raw, others=True)


def _write(value: "Space | Architecture", out: Path | None, force: bool) -> None:
    from autospace.cli.display.summary import described
    from autospace.spaces import to_json

    text = to_json(value)
    if out is None or is_stdout(out):
        raw_data(text)
        message(f"imported {described(value)}")
        return
    write_new(out, text, force=force)
    message(f"wrote {out}: {described(value)}")


def _list_formats(format_: str) -> None:
    from autospace.importers.formats import FORMATS

    if format_ == "json":
        records = [
            {"format": name, "gives": each.gives, "needs": each.needs, "about": each.about}
            for name, each in FORMATS.items()
        ]
        json_data(records)
        return
    from rich.table import Table

    from autospace.cli.output import rich_data

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("format", "needs"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for name, each in FORMATS.items():
        kind = "a space, or an architecture" if "space or" in each.gives else "an architecture"
        table.add_row(name, f"--{each.needs}", f"{kind}: {each.about}")
    rich_data(table)
