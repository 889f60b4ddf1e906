"""`autospace data`: what is read of images or a text, before anything is trained on it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from autospace.cli.options import Format, Overwrite, Progress
from autospace.cli.output import InputError, check_new, json_data, message
from autospace.cli.output import data as to_stdout

if TYPE_CHECKING:
    from autospace.data.examples import DataSet

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="digits, folder:PATH, cifar10:PATH, cifar100:PATH, idx:PATH, npz:PATH, "
        "shards:PATTERN, synthetic[:options]; or text, sentences or captions[:options][:PATH].",
    ),
]
Resolution = Annotated[
    int | None, typer.Option(help="Side of the images.", show_default="the most common size")
]
Limit = Annotated[
    int | None, typer.Option(help="Most images of a split.", show_default="all images")
]
Aspect = Annotated[
    Literal["squash", "crop", "pad"],
    typer.Option(help="How images get other proportions: squash, crop or pad."),
]
Ground = Annotated[
    str, typer.Option(help="Colour below transparent images: white, black, grey or #RRGGBB.")
]
Seed = Annotated[int, typer.Option(help="Chooses the images under a limit.")]
LEAST_LIMIT: Final = 20
Sheet = Annotated[
    Path | None,
    typer.Option("--sheet", help="Also write a contact sheet: a .png or .html file."),
]


def data(
    source: Source = "digits",
    resolution: Resolution = None,
    limit: Limit = None,
    aspect: Aspect = "squash",
    ground: Ground = "white",
    seed: Seed = 0,
    sheet: Sheet = None,
    format_: Format = "table",
    force: Overwrite = False,
    progress: Progress = "auto",
) -> None:
    """Show what is read of images, sentences, text or captions.

    That is its classes, their numbers of images, the sizes, and what is skipped and why; of a text
    its tokens and vocabulary, of captions some of them as well. The same lines begin every run. A
    contact sheet shows some images of every class.
    """
    from autospace.captions.source import is_captions
    from autospace.cli.progress.reporters import check_progress, reporting
    from autospace.text.source import is_text

    check_progress(progress)
    if is_captions(source):
        _show_captions(source, (resolution, limit, aspect, ground), bool(seed or sheet), format_)
        return
    if is_text(source):
        of_images = (resolution, aspect != "squash", ground != "white", seed, sheet)
        _show_text(source, limit, any(of_images), format_)
        return
    from autospace.data.load import load_data
    from autospace.data.summary import lines_of, record, warnings_of

    if sheet is not None:
        _check_sheet(source, sheet, force=force)
    options: dict[str, Any] = {"resolution": resolution, "limit": limit, "seed": seed}
    with reporting(progress, "data") as observer:
        tick = partial(observer.tick, "data")
        found = load_data(source, aspect=aspect, ground=ground, tick=tick, **options)
    if format_ == "json":
        json_data(record(found))
    else:
        to_stdout("\n".join(lines_of(found)))
    for problem in warnings_of(found):
        message(f"warning: {problem}")
    if sheet is not None:
        _write_sheet(found, sheet)


def _show_text(source: str, limit: int | None, of_images: bool, format_: str) -> None:
    from autospace.text.corpus import load_text

    if of_images:
        names = "--resolution, --aspect, --ground, --seed and --sheet"
        raise InputError(f"{source[:40]!r}: {names} are for images; allowed for a text: --limit")
    if limit is not None and limit < LEAST_LIMIT:
        raise InputError(f"--limit {limit}: allowed for a text: {LEAST_LIMIT} or more")
    found = load_text(source, limit)
    if format_ == "json":
        json_data(found.record)
    else:
        to_stdout("\n".join(found.lines))


def _show_captions(
    source: str, asked: tuple[int | None, int | None, Any, str], of_classes: bool, format_: str
) -> None:
    from autospace.captions.corpus import load_captions
    from autospace.data.request import Request

    if of_classes:
        problem = "--seed and --sheet are for images with classes"
        allowed = "--resolution, --limit, --aspect and --ground"
        raise InputError(f"{source[:40]!r}: {problem}; allowed for captions: {allowed}")
    resolution, limit, aspect, ground = asked
    request = Request(resolution, limit=limit, aspect=aspect, ground=ground)
    found = load_captions(source, request)
    if format_ == "json":
        json_data(found.record)
    else:
        to_stdout("\n".join(found.lines))


def _check_sheet(source: str, sheet: Path, *, force: bool) -> None:
    from autospace.data.request import SENTENCES

    if source.partition(":")[0] == SENTENCES:
        raise InputError(f"{source[:40]!r}: --sheet shows images; allowed for sentences: --limit")
    if sheet.suffix.lower() not in (".png", ".html"):
        raise InputError(f"--sheet {sheet}: allowed: a name that ends in .png or .html")
    check_new(sheet, force=force)


def _write_sheet(found: "DataSet", sheet: Path) -> None:
    from autospace.data.contact_sheet import left_out, sheet_html, sheet_png
    from autospace.runs.files import write_output

    write = sheet_png if sheet.suffix.lower() == ".png" else sheet_html
    write_output(sheet, write(found))
    message(f"wrote {sheet}" + (f": {less}" if (less := left_out(found)) else ""))
