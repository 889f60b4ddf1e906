"""`autospace search`: find an architecture in a space, or go on with a search that was stopped."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import (
    WORK_OPTIONS,
    Address,
    Data,
    Devices,
    DryRun,
    ExecutorName,
    Format,
    LatencyTable,
    Log,
    MaxLatency,
    MaxMadds,
    MaxOps,
    MaxParams,
    Number,
    Progress,
    Replace,
    Resume,
    RunOut,
    Seed,
    Settings,
    SpaceSource,
    Table,
    Text,
    TrialWorkers,
    check_resumed,
    check_work,
    choices,
    given,
    limit,
)
from autospace.cli.output import InputError

if TYPE_CHECKING:
    from autospace.cli.progress.run import Asked

NO_SPACE = "name a space: a file, a run folder, or a built-in such as mbconv@digits"
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
        help="How shared weights are trained.",
        show_default="uniform",
        **choices("uniform", "fair", "madds-uniform", "magic-t", "magic-a", "magic-at"),
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
EvaluatorName = Annotated[
    Text,
    typer.Option(
        help="What gives the accuracy of a network.",
        show_default="train",
        **choices("train", "table"),
    ),
]
Listing = Annotated[bool, typer.Option("--list", help="Show what each method does, and exit.")]


def search(
    space: SpaceName = None,
    method: MethodName = None,
    data: Data = None,
    evaluator: EvaluatorName = None,
    table: Table = None,
    evaluations: Evaluations = None,
    steps: Steps = None,
    supernet_training: Training = None,
    interference: Interference = None,
    max_madds: MaxMadds = None,
    max_params: MaxParams = None,
    max_ops: MaxOps = None,
    max_latency_ms: MaxLatency = None,
    latency_table: LatencyTable = None,
    seed: Seed = None,
    out: RunOut = None,
    resume: Resume = None,
    device: Devices = None,
    workers: TrialWorkers = None,
    executor: ExecutorName = None,
    address: Address = None,
    settings: Settings = None,
    force: Replace = False,
    progress: Progress = "auto",
    format_: Format = "table",
    log: Log = None,
    list_: Listing = False,
    dry_run: DryRun = False,
) -> None:
    """Search a space for an architecture.

    Trains weights on one half of the training images and evaluates networks on the other half; at
    the end, trains each of the best few on its own. A search can be stopped at any time; --resume
    continues it.
    """
    from autospace.cli.progress.run import Asked

    if list_:
        return _list(format_)
    check_work(progress, workers)
    options = given(
        {
            "seed": seed,
            "method": method,
            "evaluations": evaluations,
            "data.source": data,
            "evaluator.method": evaluator,
            "evaluator.table": table,
            **_supernet(steps, supernet_training, interference),
            **_limits((max_madds, max_params, max_ops), max_latency_ms, latency_table),
        }
    )
    others = (space, options, settings, out, force)
    check_resumed(resume, others, f"--device, {WORK_OPTIONS}, --progress, --format and --log")
    if resume is None and not space:
        raise InputError(f"SPACE: {NO_SPACE}; or continue with --resume RUN")
    asked = Asked("search", progress, format_, log, settings, options, dry_run)
    where: dict[str, Any] = {"device": device, "out": out, "force": force, "resume": resume}
    _run(asked, space=space, workers=(workers, executor, address), **where)


def _run(asked: "Asked", **arguments: Any) -> None:
    from autospace.cli.display.outcomes import print_search_outcome

    if (found := asked.run(**arguments)) is not None:
        print_search_outcome(found.folder, found.result, asked.format_)


def _supernet(steps: Number, training: Text, interference: Number) -> dict[str, Any]:
    return {
        "supernet.steps": steps,
        "supernet.training": training,
        "supernet.interference": interference,
    }


def _limits(counts: tuple[Text, Text, Text], latency: Any, table: Any) -> dict[str, Any]:
    madds, params, ops = counts
    return {
        "budget.max_madds": limit("--max-madds", madds),
        "budget.max_params": limit("--max-params", params),
        "budget.max_ops": limit("--max-ops", ops),
        "budget.max_latency_ms": latency,
        "budget.latency_table": table,
    }


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
