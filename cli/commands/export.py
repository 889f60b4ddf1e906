"""`autospace export`: a space or an architecture as a file that another program reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import Format, OneArchitecture, Overwrite, SpaceSource, architecture_of
from autospace.cli.output import InputError, check_new, is_stdout, json_data, message, raw_data

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
    from autospace import api
    from autospace.spaces import load_any

    value = _chosen(space, architecture)
    if to == "csv":
        _warn_of_formulas(load_any(value) if isinstance(value, str) else value)
    _note(to, value)
    if out is None or is_stdout(out):
        raw_data(api.export(value, to, weights=weights))
        return
    check_new(out, force=force)
    beside = _encoder(value, to, out)
    if beside is not None:
        check_new(beside, force=force)
    api.export(value, to, out, weights=weights)
    message(f"wrote {out}{_deployed(to, out, weights)}")
    if beside is not None:
        message(f"wrote {beside}: the encoder of the images")


def _encoder(value: "str | Architecture", to: str, out: Path) -> Path | None:
    """The file that a network for captions has besides; None for others."""
    from autospace.exporters.targets import TARGETS
    from autospace.spaces import load_any

    if to not in TARGETS or not TARGETS[to].deployed:
        return None
    found = load_any(value) if isinstance(value, str) else value
    if found.skeleton.reads != "captions":
        return None
    from autospace.networks.deploy import encoder_path

    return encoder_path(out)


def _chosen(source: str, architecture: str | None) -> "str | Architecture":
    """The source itself, or one architecture of the space that it is."""
    from autospace.spaces import load_any

    if architecture is None:
        return source
    return architecture_of(load_any(source), source, architecture)


def _note(to: str, value: "str | Architecture") -> None:
    """Says what is worth knowing of a space's file for this target."""
    from autospace.exporters.targets import TARGETS
    from autospace.spaces import Space, load_any

    note = TARGETS[to].note if to in TARGETS else None
    found = load_any(value) if note and isinstance(value, str) else value
    if note and isinstance(found, Space) and (text := note(found)):
        message(f"note: {text}")


def _warn_of_formulas(value: "Space | Architecture") -> None:
    from autospace.exporters.tabular import formulas

    if found := formulas(value):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        message(f"warning: a spreadsheet reads the id {found[0]!r}{more} as a formula")


def _deployed(name: str, out: Path, weights: Path | None) -> str:
    """What is worth knowing of a network that was written for inference."""
    from autospace.exporters.targets import TARGETS
    from autospace.spaces.text import human

    if not TARGETS[name].deployed:
        return ""
    fresh = "untrained weights (--weights takes trained ones)"
    kind = fresh if weights is None else "trained weights"
    return f": {human(out.stat().st_size)} bytes, {kind}, checked against PyTorch"


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
