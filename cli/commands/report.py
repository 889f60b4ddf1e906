"""`autospace report`: a run or comparison as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from autospace.cli.output import message, write_new


def report(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_OR_COMPARISON", help="Folder of a run or comparison.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The file.", show_default="report.html in the folder")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a report as one HTML file that loads nothing."""
    from autospace.evolution.folder import REPORT
    from autospace.report import report_text

    target = source / REPORT if out is None else out
    write_new(target, report_text(source), force=force)
    message(f"wrote {target}")
