"""`autospace profile`: how long the parts of a network take on this device."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from autospace.cli.options import FAMILIES, DeviceName, Number, Overwrite, choices
from autospace.cli.output import InputError, check_new, data, message, rich_data, write_new

if TYPE_CHECKING:
    from autospace.latency.profile import Subject
    from autospace.latency.table import LatencyTable

SHOWN_ROWS: Final = 20

SkeletonName = Annotated[
    str | None,
    typer.Option(
        help="Skeleton whose cells are profiled: a built-in one, or a .json or .toml file.",
        show_default="cifar",
    ),
]
FamilyName = Annotated[
    str | None,
    typer.Option(
        help="Cells that evolve --family learns there.", show_default="auto", **choices(*FAMILIES)
    ),
]
SpaceName = Annotated[
    str | None, typer.Option(help="Profile only the candidates of this space.", show_default=False)
]
Resolution = Annotated[
    Number,
    typer.Option(
        min=1,
        max=4096,
        help="Height and width of the images in pixels.",
        show_default="the skeleton's",
    ),
]
Channels = Annotated[
    Number,
    typer.Option(min=1, max=8192, help="Channels of the images.", show_default="the skeleton's"),
]
Classes = Annotated[
    Number,
    typer.Option(min=2, max=100_000, help="Classes of images.", show_default="the skeleton's"),
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"], typer.Option(help="Number type of the network.")
]
Batch = Annotated[int, typer.Option(min=1, max=65_536, help="Images per forward pass.")]
Threads = Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of the network.")]
Out = Annotated[
    Path | None, typer.Option(help="File for the table: CSV if it ends in .csv, else JSON.")
]
TableFormat = Annotated[
    Literal["table", "json", "csv"], typer.Option("--format", help="For people, or for programs.")
]


def profile(
    skeleton: SkeletonName = None,
    family: FamilyName = None,
    space: SpaceName = None,
    resolution: Resolution = None,
    channels: Channels = None,
    classes: Classes = None,
    device: DeviceName = "auto",
    dtype: Dtype = "float32",
    batch: Batch = 1,
    threads: Threads = 1,
    out: Out = None,
    force: Overwrite = False,
    format_: TableFormat = "table",
) -> None:
    """Measure the latency of this device, part by part.

    With the table, evolve --max-latency-ms X --latency-table FILE limits every network to X ms.
    """
    if out is not None:
        check_new(out, force=force, stdout=False)
    changes = {"resolution": resolution, "in_channels": channels, "classes": classes}
    given = {name: value for name, value in changes.items() if value is not None}
    subject = _subject(skeleton, family, space, given)
    table = _measured(subject, device=device, dtype=dtype, batch=batch, threads=threads)
    from autospace.latency.table import to_csv, to_json

    if out is not None:
        write_new(out, to_csv(table) if out.suffix == ".csv" else to_json(table), force=force)
        message(f"wrote {out}")
    if format_ == "table":
        _print(table)
    else:
        data(to_json(table) if format_ == "json" else to_csv(table))


def _subject(
    skeleton: str | None, family: str | None, space: str | None, given: dict[str, Any]
) -> "Subject":
    from dataclasses import replace

    from autospace.latency.profile import of_skeleton, of_space
    from autospace.seeds import stream
    from autospace.spaces import load, load_skeleton

    rng = stream(0, "profile")
    if space is None:
        fitted = replace(load_skeleton(skeleton or "cifar"), **given)
        return of_skeleton(fitted, rng, family or "auto")
    if skeleton is not None or family is not None or given:
        problem = "brings its own skeleton and cells"
        raise InputError(
            f"--space: {problem}; allowed: neither --skeleton, --family nor sizes with it"
        )
    return of_space(load(space), rng)


def _measured(
    subject: "Subject", *, device: str, dtype: str, batch: int, threads: int
) -> "LatencyTable":
    from autospace.compute.device import resolve_device
    from autospace.compute.device import threads as computing_in
    from autospace.latency.profile import profile as measured

    with computing_in(threads):
        return measured(
            subject, device=resolve_device(device), dtype=dtype, batch=batch, on_message=message
        )


def _print(table: "LatencyTable") -> None:
    from rich.table import Table
    from rich.text import Text

    from autospace.spaces.text import visible

    on = table.device if table.device != "cpu" else f"{table.processor}, {table.threads} threads"
    head = Text(visible(table.subject), style="bold")
    head.append(f"\n{visible(on)}\n{table.dtype}, batch {table.batch}", style="not bold")
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    rows.add_column("part", overflow="fold")
    for heading in ("channels", "pixels", "ms", "±", "n"):
        rows.add_column(heading, justify="right", no_wrap=True)
    slowest = sorted(table.rows, key=lambda row: -row.mean_ms)
    for row in slowest[:SHOWN_ROWS]:
        pixels = f"{row.resolution}x{row.resolution}{'/2' if row.stride > 1 else ''}"
        widths = f"{row.inputs}>{row.outputs}"
        times = (f"{row.mean_ms:.4f}", f"{row.std_ms:.4f}", str(row.n))
        rows.add_row(row.part, widths, pixels, *times)
    left = len(table.rows) - SHOWN_ROWS
    notes = [f"and {left} faster ones; --format csv shows all"] if left > 0 else []
    rich_data(head, "", rows, *(Text(note, style="dim") for note in notes), "", _quality(table))


def _quality(table: "LatencyTable") -> str:
    """How far the sum over the table can be trusted."""
    correction, check = table.correction, table.check
    text = f"in a network, a part takes {correction.scale:.2f} times as long"
    text += f" plus {correction.overhead_ms:.4f} ms"
    if check is None:
        return text
    return (
        f"{text}\nmedian error on {check.networks} random networks: {check.median_error:.0%} "
        f"(at most {check.worst_error:.0%}); rank correlation: {check.tau:.2f}"
    )
