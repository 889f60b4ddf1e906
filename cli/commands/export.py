"""`autospace export`: a space or an architecture as a file that another program reads."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.output import Format, InputError, check_new, json_data, message, write_new

if TYPE_CHECKING:
    from autospace.exporters.targets import Target
    from autospace.spaces import Architecture, Space


def export(
    space: Annotated[
        str | None,
        typer.Argument(help="A space or architecture: a file, a run folder, or NAME@SKELETON."),
    ] = None,
    to: Annotated[str | None, typer.Option(help="The target; --list names them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write it; - for stdout.")] = None,
    architecture: Annotated[
        str | None,
        typer.Option(help='One of the space: a file, or its flat {"layer_03": "cell id"}.'),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Trained weights to write with a network.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Say what each target is for.")] = False,
    format_: Format = "table",
) -> None:
    """Hand a space or an architecture over to another tool."""
    if list_:
        _print_targets(format_)
        return
    if space is None or to is None:
        raise InputError(f"{'SPACE' if space is None else '--to'} is missing; --list shows targets")
    if format_ == "json":
        raise InputError("--format json: only with --list")
    target = _target(to)
    if weights is not None and not target.deployed:
        raise InputError(f"--weights: {to} files hold none; allowed: with onnx, pt2")
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
            raise InputError(f"--architecture: {source} is one already; allowed beside a space")
        value = load_architecture(architecture, value)
    if isinstance(value, Space) and target.takes == "architecture":
        if value.size > 1:
            problem = f"{source} is a space, and {name} takes one architecture"
            raise InputError(f"{problem}: add --architecture FILE, or run autospace sample")
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
        message(f"warning: a spreadsheet takes the id {found[0]!r}{more} for a formula")


def _deploy(
    value: "Space | Architecture", name: str, out: Path | None, weights: Path | None, force: bool
) -> None:
    if out is None:
        raise InputError(f"{name}: a binary file; name it with --out FILE")
    check_new(out, force=force)
    from autospace.networks.deploy import deploy
    from autospace.spaces.text import human

    made: Any = deploy
    deployed = made(value, name, out, weights=weights)
    kind = "trained weights" if deployed.trained else "fresh weights (--weights takes trained ones)"
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
