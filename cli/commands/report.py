"""`autospace report` and `autospace plot`: a run or comparison as HTML, or as figures."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from autospace.cli.options import Overwrite, require
from autospace.cli.output import InputError, check_new, data, message, write_new


def report(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_OR_COMPARISON", help="Folder of a run or comparison.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; - means stdout.", show_default="report.html in the folder"
        ),
    ] = None,
    force: Overwrite = False,
    format_: Annotated[
        Literal["html", "json"], typer.Option("--format", help="html or json.")
    ] = "html",
) -> None:
    """Write a report as one HTML file that needs no others, or as JSON."""
    from autospace.evolution.folder import REPORT
    from autospace.report import report_json, report_text

    if format_ == "json" and out is None:
        data(report_json(source).rstrip("\n"))
        return
    target = source / REPORT if out is None else out
    text = (report_json if format_ == "json" else report_text)(source)
    if write_new(target, text, force=force):
        message(f"wrote {target}")


Format = Literal["svg", "pdf", "png"]


def plot(
    source: Annotated[
        Path, typer.Argument(metavar="RUN_OR_COMPARISON", help="Folder of a run or comparison.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the figures.")],
    format_: Annotated[Format, typer.Option("--format", help="svg, pdf or png.")] = "pdf",
    force: Overwrite = False,
) -> None:
    """Write the figures of a report as files for a paper."""
    from autospace.report import figures
    from autospace.runs.files import write_output

    require("autospace plot", "plots", ["matplotlib"])
    from autospace.charts.paper import render

    found = figures(source)
    if not found:
        raise InputError(f"{source}: there is nothing to draw yet")
    targets = {out / f"{each.name}.{format_}": each for each in found}
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; allowed: a folder")
    for path in targets if out.is_dir() else ():
        check_new(path, force=force)
    files = {path: render(each, format_) for path, each in targets.items()}
    out.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        write_output(path, content)
    message(f"wrote {len(files)} figures into {out}: {', '.join(path.name for path in files)}")
