"""`autospace compare`: which of some spaces holds the better networks, and how surely."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import (
    Data,
    Device,
    EvaluationWorkers,
    Format,
    Number,
    Progress,
    Replace,
    Resume,
    RunOut,
    Seed,
    Settings,
    Text,
    absolute,
    absolute_source,
    check_resumed,
    check_workers,
    given,
)
from autospace.cli.output import FAILED, INTERRUPTED, InputError, data

if TYPE_CHECKING:
    from autospace.comparison.folder import ComparisonFolder
    from autospace.comparison.settings import CompareConfig

Spaces = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="A B [C ...]",
        help="Files, run folders, NAME@SKELETON, NAME@RUN or random@RUN.",
        show_default=False,
    ),
]
Samples = Annotated[
    Number, typer.Option(help="Networks per space.", show_default="as many as --effect needs")
]
EffectSize = Annotated[
    float | None,
    typer.Option(
        help="Difference to detect with a power of 80 %, in points of error.", show_default="1"
    ),
]
Repeats = Annotated[Number, typer.Option(help="Seeds per network.", show_default="1")]
MatchBy = Annotated[
    Text,
    typer.Option(
        help="madds, params or none: the cost that is equal in compared networks.",
        show_default="madds",
    ),
]
EvaluatorName = Annotated[
    Text,
    typer.Option(help="train, or a proxy: supernet, naswot or synflow.", show_default="train"),
]
Steps = Annotated[Number, typer.Option(help="Training steps per network.", show_default="1000")]
Split = Annotated[
    Text,
    typer.Option(
        help="test or validation: the split on which errors are measured.", show_default="test"
    ),
]
Resolution = Annotated[
    Number,
    typer.Option(help="Height and width of the images in pixels.", show_default="the spaces'"),
]
Cache = Annotated[
    Path | None, typer.Option(help="Folder of finished evaluations.", show_default="OUT/cache")
]


def compare(
    spaces: Spaces = None,
    source: Data = None,
    samples: Samples = None,
    effect: EffectSize = None,
    repeats: Repeats = None,
    match: MatchBy = None,
    evaluator: EvaluatorName = None,
    steps: Steps = None,
    split: Split = None,
    resolution: Resolution = None,
    seed: Seed = None,
    out: RunOut = None,
    resume: Resume = None,
    cache: Cache = None,
    workers: EvaluationWorkers = None,
    device: Device = None,
    settings: Settings = None,
    force: Replace = False,
    format_: Format = "table",
    progress: Progress = "auto",
) -> None:
    """Compare spaces by the networks drawn from them.

    Draws networks of equal cost from every space, trains each briefly with the same recipe, and
    shows which space has the lower errors, by how much, and how certain that is. A comparison can
    be stopped at any time; --resume continues it.
    """
    from autospace.cli.progress.reporters import check_progress

    check_progress(progress)
    check_workers(workers)
    options = given(
        {
            "seed": seed,
            "cache": None if cache is None else absolute(str(cache)),
            "data.source": None if source is None else absolute_source(source),
            "data.resolution": resolution,
            "sampling.samples": samples,
            "sampling.effect": effect,
            "sampling.repeats": repeats,
            "sampling.match": match,
            "evaluator.method": evaluator,
            "evaluator.steps": steps,
            "evaluator.split": split,
        }
    )
    from autospace.comparison.folder import ComparisonFolder

    if resume is not None:
        others = any((spaces, options, settings, out, force))
        allowed = "--device, --workers, --format and --progress"
        check_resumed(others=others, allowed=allowed)
        folder = ComparisonFolder.open(resume)
    else:
        config = _configured(spaces or [], options, settings or [], device)
        folder = ComparisonFolder.create(
            out or Path("runs") / f"compare-seed{config.seed}", config, force=force
        )
    _run(folder, device, workers, format_, progress)


def _configured(
    spaces: list[str], options: dict[str, Any], settings: list[str], device: str | None
) -> "CompareConfig":
    from autospace.comparison.settings import MOST_SPACES, CompareConfig
    from autospace.runs.settings import make_settings, parse_settings

    if not 2 <= len(spaces) <= MOST_SPACES:
        found = f"{len(spaces)} space{'' if len(spaces) == 1 else 's'}"
        raise InputError(f"A B: {found}; allowed: 2 to {MOST_SPACES}, such as RUN mbconv@RUN")
    if "source" not in options.get("data", {}):
        raise InputError("--data: name the images, such as --data digits or --data folder:PATH")
    named = {"spaces": [_placed_space(each) for each in spaces]}
    chosen = {} if device is None else {"device": device}
    return make_settings(CompareConfig, parse_settings(settings), named, chosen, options)


def _run(
    folder: "ComparisonFolder",
    device: str | None,
    workers: int | None,
    format_: str,
    progress: str,
) -> None:
    from autospace.cli.display.comparison_table import print_comparison
    from autospace.cli.progress.reporters import reporting
    from autospace.comparison.compare import compare as run
    from autospace.comparison.document import read_comparison
    from autospace.compute.machine import keep_freed_memory
    from autospace.report import write_report

    if not folder.finished:
        keep_freed_memory()
        with reporting(progress, "compare") as observer:
            try:
                run(folder, observer, device=device, workers=workers)
            except KeyboardInterrupt:
                command = f"autospace compare --resume {shlex.quote(str(folder.path))}"
                observer.message(f"interrupted; finished evaluations are kept: {command}")
                raise typer.Exit(INTERRUPTED) from None
    report = write_report(folder.path)
    found = read_comparison(folder.result)
    if format_ == "json":
        data(folder.result.read_text("utf-8"))
    else:
        print_comparison(found, folder.result, report)
    if not found.comparable:
        raise typer.Exit(FAILED)


def _placed_space(source: str) -> str:
    """The source with a path that holds wherever the comparison is resumed from."""
    if os.path.lexists(source):
        return absolute(source)
    kind, at, place = source.partition("@")
    return f"{kind}@{absolute(place)}" if at and os.path.lexists(place) else source
