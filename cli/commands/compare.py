"""`autospace compare`: which of some spaces holds the better networks, and how surely."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import (
    WORK_OPTIONS,
    Address,
    Data,
    Devices,
    DryRun,
    EvaluationWorkers,
    ExecutorName,
    Format,
    Log,
    Number,
    Progress,
    Replace,
    Resume,
    RunOut,
    Seed,
    Settings,
    Table,
    Text,
    check_resumed,
    check_work,
    choices,
    given,
)
from autospace.cli.output import FAILED, json_data

if TYPE_CHECKING:
    from autospace.api import Compared
    from autospace.cli.progress.run import Asked
    from autospace.progress import Outcome

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
        help="The cost that is equal in compared networks.",
        show_default="madds",
        **choices("madds", "params", "ops", "none"),
    ),
]
EvaluatorName = Annotated[
    Text,
    typer.Option(
        help="What gives the error of a network; supernet, naswot and synflow are proxies.",
        show_default="train",
        **choices("train", "table", "supernet", "naswot", "synflow"),
    ),
]
Steps = Annotated[Number, typer.Option(help="Training steps per network.", show_default="1000")]
Split = Annotated[
    Text,
    typer.Option(
        help="The split on which errors are measured.",
        show_default="test",
        **choices("test", "validation"),
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
    table: Table = None,
    steps: Steps = None,
    split: Split = None,
    resolution: Resolution = None,
    seed: Seed = None,
    out: RunOut = None,
    resume: Resume = None,
    cache: Cache = None,
    workers: EvaluationWorkers = None,
    executor: ExecutorName = None,
    address: Address = None,
    device: Devices = None,
    settings: Settings = None,
    force: Replace = False,
    format_: Format = "table",
    progress: Progress = "auto",
    log: Log = None,
    dry_run: DryRun = False,
) -> None:
    """Compare spaces by the networks drawn from them.

    Draws networks of equal cost from every space, trains each briefly with the same recipe, and
    shows which space has the lower errors, by how much, and how certain that is. A comparison can
    be stopped at any time; --resume continues it.
    """
    from autospace.cli.progress.run import Asked

    check_work(progress, workers)
    options = given(
        {
            "seed": seed,
            "cache": None if cache is None else str(cache),
            "data.source": source,
            "data.resolution": resolution,
            "sampling.samples": samples,
            "sampling.effect": effect,
            "sampling.repeats": repeats,
            "sampling.match": match,
            "evaluator.method": evaluator,
            "evaluator.table": table,
            "evaluator.steps": steps,
            "evaluator.split": split,
        }
    )
    others = (spaces, options, settings, out, force)
    check_resumed(resume, others, f"--device, {WORK_OPTIONS}, --format, --log and --progress")
    asked = Asked("compare", progress, format_, log, settings, options, dry_run)
    where: dict[str, Any] = {"device": device, "out": out, "force": force, "resume": resume}
    _run(asked, spaces=spaces or (), workers=(workers, executor, address), **where)


def _run(asked: "Asked", **arguments: Any) -> None:
    from autospace.cli.display.comparison_table import print_comparison
    from autospace.comparison.folder import RESULT
    from autospace.runs.images import images_read
    from autospace.spaces.files.reading import parse_json

    found = asked.run(None, (RESULT, _outcome), **arguments)
    if found is None:
        return
    result = found.folder / RESULT
    if asked.format_ == "json":
        json_data({**parse_json(result.read_text("utf-8")), "images": images_read(found.folder)})
    else:
        print_comparison(found.comparison, result, found.report)
    if not found.comparison.comparable:
        raise typer.Exit(FAILED)


def _outcome(found: "Compared") -> "Outcome":
    from autospace.comparison.document import numbers_of
    from autospace.progress import Outcome

    comparison = found.comparison
    return Outcome(0.0, found.folder, comparison.samples, numbers_of(comparison))
