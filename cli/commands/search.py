"""`autospace search`: find an architecture in a space, or go on with a search that was stopped."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import (
    Data,
    Device,
    Format,
    LatencyTable,
    MaxLatency,
    MaxMadds,
    MaxParams,
    Number,
    Progress,
    Replace,
    Resume,
    RunOut,
    Seed,
    Settings,
    SpaceSource,
    Text,
    absolute,
    absolute_source,
    check_resumed,
    given,
    limit,
)
from autospace.cli.output import INTERRUPTED, InputError

if TYPE_CHECKING:
    from autospace.searchers.settings import SearchConfig

SpaceName = Annotated[Text, typer.Argument(metavar="SPACE", help=SpaceSource, show_default=False)]
MethodName = Annotated[
    Text, typer.Option(help="Search method; --list shows all.", show_default="random-ws")
]
Evaluations = Annotated[
    Number, typer.Option(help="Maximum number of networks to evaluate.", show_default="by method")
]
Steps = Annotated[
    Number, typer.Option(help="Training steps of the shared weights.", show_default="2000")
]
Training = Annotated[
    Text,
    typer.Option(
        help="How shared weights are trained: uniform, fair, madds-uniform, magic-t, magic-a "
        "or magic-at.",
        show_default="uniform",
    ),
]
Interference = Annotated[
    Number,
    typer.Option(
        help="Pairs of networks whose gradients are compared, for each number of layers in which "
        "they can differ.",
        show_default="none",
    ),
]
Listing = Annotated[bool, typer.Option("--list", help="Show what each method does, and exit.")]


def search(
    space: SpaceName = None,
    method: MethodName = None,
    data: Data = None,
    evaluations: Evaluations = None,
    steps: Steps = None,
    supernet_training: Training = None,
    interference: Interference = None,
    max_madds: MaxMadds = None,
    max_params: MaxParams = None,
    max_latency_ms: MaxLatency = None,
    latency_table: LatencyTable = None,
    seed: Seed = None,
    out: RunOut = None,
    resume: Resume = None,
    device: Device = None,
    settings: Settings = None,
    force: Replace = False,
    progress: Progress = "auto",
    format_: Format = "table",
    list_: Listing = False,
) -> None:
    """Search a space for an architecture.

    Trains weights on one half of the training images and evaluates networks on the other half; at
    the end, trains each of the best few on its own. A search can be stopped at any time; --resume
    continues it.
    """
    from autospace.cli.progress.reporters import check_progress

    if list_:
        _list(format_)
        return
    check_progress(progress)
    options = given(
        {
            "seed": seed,
            "method": method,
            "evaluations": evaluations,
            "data.source": data,
            "supernet.steps": steps,
            "supernet.training": supernet_training,
            "supernet.interference": interference,
            "budget.max_madds": limit("--max-madds", max_madds),
            "budget.max_params": limit("--max-params", max_params),
            "budget.max_latency_ms": max_latency_ms,
            "budget.latency_table": None if latency_table is None else absolute(latency_table),
        }
    )
    if resume is not None:
        others = any((space, options, settings, out, force))
        check_resumed(others=others, allowed="--device, --progress and --format")
        _run(resume, None, None, device, force=False, progress=progress, format_=format_)
        return
    config = _configured(options, settings or [], device)
    target = out or Path("runs") / f"search-{config.method}-seed{config.seed}"
    _run(target, config, space, device, force=force, progress=progress, format_=format_)


def _list(format_: str) -> None:
    from autospace.cli.output import json_data, rich_data
    from autospace.searchers.catalogue import CATALOGUE

    if format_ == "json":
        from dataclasses import asdict

        json_data([{"method": name, **asdict(entry)} for name, entry in CATALOGUE.items()])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in ("method", "what it does", "source", "trains"):
        table.add_column(name)
    for name, entry in CATALOGUE.items():
        table.add_row(name, entry.summary, entry.source, entry.cost)
    rich_data(table)


def _configured(options: dict[str, Any], settings: list[str], device: str | None) -> "SearchConfig":
    from autospace.runs.settings import make_settings, parse_settings
    from autospace.searchers.settings import SearchConfig

    layers = [parse_settings(settings), options, {} if device is None else {"device": device}]
    config = make_settings(SearchConfig, *layers)
    if not any("source" in layer.get("data", {}) for layer in layers[:2]):
        raise InputError("--data: name the images, such as --data digits or --data folder:PATH")
    source = {"data": {"source": absolute_source(config.data.source)}}
    return make_settings(SearchConfig, *layers, source)


def _run(
    path: Path,
    config: "SearchConfig | None",
    source: str | None,
    device: str | None,
    *,
    force: bool,
    progress: str,
    format_: str,
) -> None:
    from autospace.cli.display.outcomes import print_search_outcome as tell_outcome
    from autospace.cli.progress.reporters import reporting
    from autospace.compute.machine import keep_freed_memory
    from autospace.searchers.driver import run_search
    from autospace.searchers.folder import SearchFolder
    from autospace.spaces import load

    if config is not None and not source:
        problem = "name a space: a file, a run folder, or a built-in such as mbconv@digits"
        raise InputError(f"SPACE: {problem}; or go on with --resume RUN")
    space = load(source) if source else None
    new = config and SearchFolder.create(path, config, force=force)
    folder = new or SearchFolder.open(path)
    keep_freed_memory()
    with reporting(progress, "search") as observer:
        if folder.finished:
            observer.message(f"{path}: the search is finished already")
        try:
            result = run_search(folder, space, observer, device)
        except KeyboardInterrupt:
            if folder.replacing:
                observer.message(
                    "interrupted before the search began; the earlier one is untouched"
                )
            else:
                command = f"autospace search --resume {shlex.quote(str(path))}"
                observer.message(f"interrupted; nothing is lost: {command}")
            raise typer.Exit(INTERRUPTED) from None
    tell_outcome(path, result, format_)
