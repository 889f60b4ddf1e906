"""`autospace compare`: which of some spaces holds the better networks, and how surely."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import absolute, absolute_source, check_workers
from autospace.cli.output import FAILED, INTERRUPTED, Format, InputError, data

if TYPE_CHECKING:
    from autospace.comparison.folder import ComparisonFolder
    from autospace.comparison.settings import CompareConfig

Text = str | None
Number = int | None

Spaces = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="A B [C ...]",
        help="Files, run folders, NAME@SKELETON, NAME@RUN or random@RUN.",
        show_default=False,
    ),
]
Data = Annotated[
    Text,
    typer.Option(
        "--data",
        help="digits, folder:PATH, cifar10:PATH, cifar100:PATH, idx:PATH, npz:PATH "
        "or synthetic[:options].",
        show_default=False,
    ),
]
Samples = Annotated[
    Number, typer.Option(help="Networks per space.", show_default="what --effect needs")
]
EffectSize = Annotated[
    float | None,
    typer.Option(help="Points of error to find with a power of 80 %.", show_default="1"),
]
Repeats = Annotated[Number, typer.Option(help="Seeds per network.", show_default="1")]
MatchBy = Annotated[
    Text,
    typer.Option(
        help="madds, params or none: what compared networks agree in.", show_default="madds"
    ),
]
EvaluatorName = Annotated[
    Text,
    typer.Option(
        help="train, or a proxy: supernet, naswot or synflow.",
        show_default="train",
    ),
]
Steps = Annotated[Number, typer.Option(help="Training steps per network.", show_default="1000")]
Split = Annotated[
    Text, typer.Option(help="test or validation: what is measured.", show_default="test")
]
Resolution = Annotated[
    Number, typer.Option(help="Side of the images in pixels.", show_default="the spaces'")
]
Seed = Annotated[Number, typer.Option(help="Equal seeds, equal results.", show_default="0")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the result.", show_default="runs/compare-...")
]
Resume = Annotated[
    Path | None, typer.Option(help="Go on with the comparison there.", show_default=False)
]
Cache = Annotated[
    Path | None, typer.Option(help="Folder for evaluations.", show_default="OUT/cache")
]
Workers = Annotated[
    Number, typer.Option(help="Processes.", show_default="one per core; on a GPU 1")
]
Device = Annotated[Text, typer.Option(help="auto, cpu or cuda[:n].")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. data.flip=true."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is in the folder.")]
Progress = Annotated[str, typer.Option(help="auto, plain, json or none; on stderr.")]


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
    out: Out = None,
    resume: Resume = None,
    cache: Cache = None,
    workers: Workers = None,
    device: Device = None,
    changes: Changes = None,
    force: Force = False,
    format_: Format = "table",
    progress: Progress = "auto",
) -> None:
    """Compare spaces by the networks drawn from them.

    Draws networks of equal cost from every space, trains each briefly by one recipe, and says
    which space has the lower errors, by how much, and how surely. Can be stopped at any time.
    """
    from autospace.cli.progress.reporters import check_progress

    check_progress(progress)
    check_workers(workers)
    given = {
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
    from autospace.comparison.folder import ComparisonFolder

    if resume is not None:
        if spaces or changes or out or force or any(each is not None for each in given.values()):
            allowed = "--device, --workers, --format and --progress"
            problem = f"goes on with the settings it has; of other options only {allowed}"
            raise InputError(f"--resume: {problem} can be given")
        folder = ComparisonFolder.open(resume)
    else:
        config = _configured(spaces or [], given, changes or [], device)
        folder = ComparisonFolder.create(
            out or Path("runs") / f"compare-seed{config.seed}", config, force=force
        )
    _run(folder, device, workers, format_, progress)


def _configured(
    spaces: list[str], given: dict[str, Any], changes: list[str], device: str | None
) -> "CompareConfig":
    from autospace.comparison.settings import MOST_SPACES, CompareConfig
    from autospace.runs.settings import make_settings, parse_settings

    if not 2 <= len(spaces) <= MOST_SPACES:
        found = f"{len(spaces)} space{'' if len(spaces) == 1 else 's'} named"
        raise InputError(f"{found}; allowed: 2 to {MOST_SPACES}, such as RUN mbconv@RUN")
    if given["data.source"] is None:
        raise InputError("--data is missing: the images to train on, such as digits")
    nested: dict[str, Any] = {"spaces": [_placed_space(each) for each in spaces]}
    if device is not None:
        nested["device"] = device
    for name, value in given.items():
        section, _, key = name.rpartition(".")
        if value is not None:
            (nested.setdefault(section, {}) if section else nested)[key] = value
    return make_settings(CompareConfig, parse_settings(changes), nested)


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
