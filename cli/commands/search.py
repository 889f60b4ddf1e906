"""`autospace search`: find an architecture in a space, or go on with a search that was stopped."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import absolute, absolute_source
from autospace.cli.output import INTERRUPTED, Format, InputError

if TYPE_CHECKING:
    from autospace.searchers.settings import SearchConfig

Text = str | None
Number = int | None

SpaceName = Annotated[
    Text,
    typer.Argument(
        metavar="SPACE",
        help="A file, a run folder, or a built-in as NAME@SKELETON.",
        show_default=False,
    ),
]
MethodName = Annotated[Text, typer.Option(help="See --list.", show_default="random-ws; see --list")]
Data = Annotated[
    Text,
    typer.Option(
        help="digits, folder:PATH, cifar10:PATH, cifar100:PATH, idx:PATH, npz:PATH "
        "or synthetic[:options].",
        show_default=False,
    ),
]
Evaluations = Annotated[
    Number, typer.Option(help="Networks that may be judged.", show_default="by method")
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
        help="Pairs of networks per number of differing layers whose gradients are compared.",
        show_default="none",
    ),
]
MaxMadds = Annotated[Text, typer.Option(help="Most MAdds of any network, such as 5M.")]
MaxParams = Annotated[Text, typer.Option(help="Most weights of any network.")]
MaxLatency = Annotated[
    float | None,
    typer.Option("--max-latency-ms", help="Most milliseconds of any network, by --latency-table."),
]
LatencyTable = Annotated[
    Text, typer.Option("--latency-table", help="A file of autospace profile --out.")
]
Seed = Annotated[Number, typer.Option(help="Equal seeds give equal results.", show_default="0")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the new search.", show_default="runs/search-...")
]
Resume = Annotated[
    Path | None, typer.Option(help="Go on with the search in this folder.", show_default=False)
]
Device = Annotated[Text, typer.Option(help="auto, cpu or cuda[:n].")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. options.population=30."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a search that is in the folder.")]
Progress = Annotated[str, typer.Option(help="auto, plain, json or none; on stderr.")]
Listing = Annotated[bool, typer.Option("--list", help="Say what each method is, and exit.")]


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
    out: Out = None,
    resume: Resume = None,
    device: Device = None,
    changes: Changes = None,
    force: Force = False,
    progress: Progress = "auto",
    format_: Format = "table",
    list_: Listing = False,
) -> None:
    """Search a space for an architecture.

    Weights are trained on one half of the train images, networks are judged on the other; the best
    few are trained alone at the end. A search can be stopped at any time.
    """
    from autospace.cli.progress.reporters import check_progress

    if list_:
        _list(format_)
        return
    check_progress(progress)
    given = {
        "seed": seed,
        "method": method,
        "evaluations": evaluations,
        "data": {"source": data},
        "supernet": {
            "steps": steps,
            "training": supernet_training,
            "interference": interference,
        },
        "budget": {
            "max_madds": _limit("--max-madds", max_madds),
            "max_params": _limit("--max-params", max_params),
            "max_latency_ms": max_latency_ms,
            "latency_table": None if latency_table is None else absolute(latency_table),
        },
    }
    if resume is not None:
        if space or out or changes or force or _present(given):
            problem = "goes on with the settings of the search; of other options only"
            raise InputError(f"--resume: {problem} --device, --progress and --format can be given")
        _run(resume, None, None, device, force=False, progress=progress, format_=format_)
        return
    config = _configured(_present(given), changes or [], device)
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


def _limit(option: str, text: str | None) -> int | None:
    from autospace.cli.options import limit

    return None if text is None else limit(option, text)


def _present(options: dict[str, Any]) -> dict[str, Any]:
    """What was given, without empty sections."""
    found = {
        name: _present(value) if isinstance(value, dict) else value
        for name, value in options.items()
    }
    return {name: value for name, value in found.items() if value is not None and value != {}}


def _configured(given: dict[str, Any], changes: list[str], device: str | None) -> "SearchConfig":
    from autospace.runs.settings import make_settings, parse_settings
    from autospace.searchers.settings import SearchConfig

    layers = [parse_settings(changes), given, {} if device is None else {"device": device}]
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
                observer.message(f"interrupted; go on with: {command}")
            raise typer.Exit(INTERRUPTED) from None
    tell_outcome(path, result, format_)
