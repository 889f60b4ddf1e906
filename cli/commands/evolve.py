"""`autospace evolve`: learn a search space, or go on with a run that was stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import (
    FAMILIES,
    PRESETS,
    WORK_OPTIONS,
    Address,
    DataOrDigits,
    Devices,
    DryRun,
    ExecutorName,
    Format,
    LatencyTable,
    Log,
    MaxLatencyOrWord,
    MaxMaddsOrWord,
    MaxOpsOrWord,
    MaxParamsOrWord,
    Number,
    Progress,
    Replace,
    Resume,
    RunOut,
    ScoringWorkers,
    Seed,
    Settings,
    Text,
    check_resumed,
    check_work,
    choices,
    given,
    limit_or_word,
)
from autospace.cli.output import InputError

if TYPE_CHECKING:
    from autospace.cli.progress.run import Asked

LIMIT_WORDS = ("none", "reference")
LONGEST_MS = 1e6
BY_PRESET = "by preset"
SCORERS = (
    "probe", "calibrated", "local", "in-place", "distilled", "gated", "mixture", "predicted",
)  # fmt: skip

Preset = Annotated[
    Text,
    typer.Option(help="A named set of settings.", show_default="none", **choices(*PRESETS)),
]
SkeletonName = Annotated[
    Text, typer.Option(help="Built-in skeleton, or a .json or .toml file.", show_default="by data")
]
FamilyName = Annotated[
    Text,
    typer.Option(
        help="Cells to evolve, and the block to begin with; auto: what fits the skeleton.",
        show_default="auto",
        **choices(*FAMILIES),
    ),
]
Generations = Annotated[
    Number, typer.Option(help="Generations after the initial population.", show_default=BY_PRESET)
]
Population = Annotated[
    Number, typer.Option(help="Size of the population of each layer.", show_default=BY_PRESET)
]
Candidates = Annotated[
    Number, typer.Option(help="K: cells that each layer offers per round.", show_default=BY_PRESET)
]
Steps = Annotated[
    Number, typer.Option(help="Training steps per candidate.", show_default=BY_PRESET)
]
Keep = Annotated[
    Number,
    typer.Option(help="Evolved cells per layer of the learned space.", show_default=BY_PRESET),
]
ScorerName = Annotated[
    Text,
    typer.Option(
        help="What measures the fitness of cells.", show_default=BY_PRESET, **choices(*SCORERS)
    ),
]
Objectives = Annotated[
    Text,
    typer.Option(
        help="What selection maximises; with MAdds by NSGA-II.",
        show_default=BY_PRESET,
        **choices("fitness", "fitness,madds"),
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(help="TOML file of settings; autospace init writes one.", show_default="none"),
]


def evolve(
    preset: Preset = None,
    data: DataOrDigits = None,
    skeleton: SkeletonName = None,
    family: FamilyName = None,
    out: RunOut = None,
    resume: Resume = None,
    seed: Seed = None,
    generations: Generations = None,
    population: Population = None,
    candidates: Candidates = None,
    steps: Steps = None,
    keep: Keep = None,
    scorer: ScorerName = None,
    objectives: Objectives = None,
    max_madds: MaxMaddsOrWord = None,
    max_params: MaxParamsOrWord = None,
    max_ops: MaxOpsOrWord = None,
    max_latency_ms: MaxLatencyOrWord = None,
    latency_table: LatencyTable = None,
    device: Devices = None,
    workers: ScoringWorkers = None,
    executor: ExecutorName = None,
    address: Address = None,
    config: ConfigFile = None,
    settings: Settings = None,
    force: Replace = False,
    progress: Progress = "auto",
    log: Log = None,
    format_: Format = "table",
    dry_run: DryRun = False,
) -> None:
    """Learn a search space.

    Trains the reference network on your images, text, sentences or captions, evolves cells for each
    of its layers, and writes the best as RUN/space.json. A run can be stopped at any time;
    --resume RUN continues it.
    """
    from autospace.cli.progress.run import Asked

    check_work(progress, workers)
    options = given(
        {
            "seed": seed,
            "skeleton": skeleton,
            "cells.family": family,
            "data.source": data,
            "evolution.objectives": _words(objectives),
            "scoring.method": scorer,
            "budget.latency_table": latency_table,
            **_sizes(generations, population, candidates, keep, steps),
            **_limits((max_madds, max_params, max_ops), max_latency_ms),
        }
    )
    others = (options, preset, config, settings, out, force)
    check_resumed(resume, others, f"--device, {WORK_OPTIONS}, --format, --log and --progress")
    asked = Asked("evolve", progress, format_, log, settings, options, dry_run)
    where: dict[str, Any] = {"device": device, "out": out, "force": force, "resume": resume}
    who = (workers, executor, address)
    _run(asked, preset=preset, config=config, workers=who, **where)


def _run(asked: "Asked", **arguments: Any) -> None:
    from autospace.cli.display.outcomes import print_evolve_outcome
    from autospace.cli.progress.parts import Rounds

    if (found := asked.run(Rounds(), **arguments)) is not None:
        print_evolve_outcome(found.folder, found.space, asked.format_)


def _sizes(
    generations: Number, population: Number, candidates: Number, keep: Number, steps: Number
) -> dict[str, Any]:
    return {
        "evolution.generations": generations,
        "evolution.population": population,
        "evolution.candidates": candidates,
        "evolution.keep": keep,
        "scoring.steps": steps,
    }


def _limits(counts: tuple[Text, Text, Text], latency: str | None) -> dict[str, Any]:
    madds, params, ops = counts
    return {
        "budget.max_madds": limit_or_word("--max-madds", madds, LIMIT_WORDS),
        "budget.max_params": limit_or_word("--max-params", params, LIMIT_WORDS),
        "budget.max_ops": limit_or_word("--max-ops", ops, LIMIT_WORDS),
        "budget.max_latency_ms": _milliseconds(latency),
    }


def _milliseconds(text: str | None) -> float | str | None:
    if text is None or text in LIMIT_WORDS:
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST_MS:
        expected = "expected milliseconds such as 12.5, none or reference"
        raise InputError(f"--max-latency-ms {text[:40]!r}: {expected}")
    return value


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",")]
