"""`autospace export`: a space or an architecture as a file that another program reads."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import Format, OneArchitecture, Overwrite, SpaceSource
from autospace.cli.output import InputError, check_new, json_data, message, write_new

if TYPE_CHECKING:
    from autospace.exporters.targets import Target
    from autospace.spaces import Architecture, Space


def export(
    space: Annotated[
        str | None,
        typer.Argument(help=SpaceSource),
    ] = None,
    to: Annotated[str | None, typer.Option(help="Target; --list shows all.")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; - means stdout.")] = None,
    architecture: OneArchitecture = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of trained weights, for onnx and pt2.")
    ] = None,
    force: Overwrite = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Show what each target is for, and exit.")
    ] = False,
    format_: Format = "table",
) -> None:
    """Write a space or an architecture for another tool."""
    if list_:
        _print_targets(format_)
        return
    if space is None or to is None:
        raise InputError(
            f"{'SPACE' if space is None else '--to'}: missing; --list shows all targets"
        )
    if format_ == "json":
        raise InputError("--format json: allowed only with --list")
    target = _target(to)
    if weights is not None and not target.deployed:
        raise InputError(f"--weights: files of {to} hold no weights; allowed: with onnx and pt2")
    value = _value(space, architecture, to, target)
    place = None if out is None or str(out) == "-" else out
    if target.deployed:
        _deploy(value, to, place, weights, force)
    else:
        _write(value, to, target, place, force)


def _target(name: str) -> "Target":
    from autospace.exporters.targets import TARGETS

    if name not in TARGETS:
        raise InputError(f"--to {name!r}: unknown target; allowed: {', '.join(TARGETS)}")
    return TARGETS[name]


def _value(
    source: str, architecture: str | None, name: str, target: "Target"
) -> "Space | Architecture":
    """What is to be exported, of the kind that the target takes."""
    from autospace.spaces import Architecture, Space, load_any, load_architecture

    value = load_any(source)
    if architecture is not None:
        if isinstance(value, Architecture):
            raise InputError(f"--architecture: {source} is already one; allowed: with a space")
        value = load_architecture(architecture, value)
    if isinstance(value, Space) and target.takes == "architecture":
        if value.size > 1:
            problem = f"is a space, but {name} takes one architecture"
            raise InputError(
                f"{source}: {problem}; add --architecture FILE, or use autospace sample"
            )
        value = load_architecture(source)
    if isinstance(value, Architecture) and target.takes == "space":
        given = source if architecture is None else "--architecture"
        raise InputError(f"{given}: {name} takes a space, not one architecture of it")
    return value


def _write(
    value: "Space | Architecture", name: str, target: "Target", out: Path | None, force: bool
) -> None:
    from autospace.spaces import Space

    make: Any = target.space if isinstance(value, Space) else target.architecture
    text = make(value)
    if name == "csv":
        _warn_of_formulas(value)
    if out is None:
        # The bytes of the file, whatever the encoding of the terminal.
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))
    else:
        write_new(out, text, force=force)
        message(f"wrote {out}")


def _warn_of_formulas(value: "Space | Architecture") -> None:
    from autospace.exporters.tabular import formulas

    if found := formulas(value):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        message(f"warning: a spreadsheet reads the id {found[0]!r}{more} as a formula")


def _deploy(
    value: "Space | Architecture", name: str, out: Path | None, weights: Path | None, force: bool
) -> None:
    if out is None:
        raise InputError(f"--out: missing; {name} is a binary file, which needs a name")
    check_new(out, force=force)
    from autospace.networks.deploy import deploy
    from autospace.spaces.text import human

    made: Any = deploy
    deployed = made(value, name, out, weights=weights)
    kind = (
        "trained weights"
        if deployed.trained
        else "untrained weights (--weights takes trained ones)"
    )
    message(f"wrote {out}: {human(deployed.bytes)} bytes, {kind}, checked against PyTorch")


def _print_targets(format_: str) -> None:
    from autospace.exporters.targets import TARGETS

    if format_ == "json":
        json_data([_record(name, target) for name, target in TARGETS.items()])
        return
    from rich.table import Table

    from autospace.cli.output import rich_data

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("target", "takes", "read by"):
        table.add_column(heading, no_wrap=True)
    table.add_column("what it is")
    for name, target in TARGETS.items():
        table.add_row(name, target.takes, target.reader or "-", target.purpose)
    rich_data(table)


def _record(name: str, target: "Target") -> dict[str, Any]:
    return {
        "target": name,
        "takes": target.takes,
        "read_by": target.reader or None,
        "suffix": target.suffix,
        "purpose": target.purpose,
    }
