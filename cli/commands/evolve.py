"""`autospace evolve`: learn a search space, or go on with a run that was stopped."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import (
    DataOrDigits,
    Device,
    LatencyTable,
    MaxLatencyOrWord,
    MaxMaddsOrWord,
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
    absolute,
    absolute_source,
    check_resumed,
    check_workers,
    given,
    limit_or_word,
)
from autospace.cli.output import InputError

if TYPE_CHECKING:
    from autospace.evolution.settings import Config

LIMIT_WORDS = ("none", "reference")
LONGEST_MS = 1e6

Preset = Annotated[
    Text, typer.Option(help="demo, cifar-small, cifar or imagenet-mobile.", show_default=False)
]
SkeletonName = Annotated[
    Text, typer.Option(help="Built-in skeleton, or a .json or .toml file.", show_default="by data")
]
Generations = Annotated[Number, typer.Option(help="Generations after the initial population.")]
Population = Annotated[Number, typer.Option(help="Size of the population of each layer.")]
Candidates = Annotated[Number, typer.Option(help="K: cells that each layer offers per round.")]
Steps = Annotated[Number, typer.Option(help="Training steps per candidate.")]
Keep = Annotated[Number, typer.Option(help="Evolved cells per layer of the learned space.")]
ScorerName = Annotated[Text, typer.Option(help="probe, local, in-place, gated or mixture.")]
Objectives = Annotated[Text, typer.Option(help="fitness, or fitness,madds (NSGA-II).")]
ConfigFile = Annotated[
    Path | None, typer.Option(help="TOML file of settings; autospace init writes one.")
]


def evolve(
    preset: Preset = None,
    data: DataOrDigits = None,
    skeleton: SkeletonName = None,
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
    max_latency_ms: MaxLatencyOrWord = None,
    latency_table: LatencyTable = None,
    device: Device = None,
    workers: ScoringWorkers = None,
    config: ConfigFile = None,
    settings: Settings = None,
    force: Replace = False,
    progress: Progress = "auto",
) -> None:
    """Learn a search space.

    Trains the reference network on your images, evolves cells for each of its layers, and writes
    the best as RUN/space.json. A run can be stopped at any time; --resume RUN continues it.
    """
    from autospace.cli.progress.reporters import check_progress

    check_progress(progress)
    options = given(
        {
            "seed": seed,
            "skeleton": skeleton,
            "data.source": data,
            "evolution.generations": generations,
            "evolution.population": population,
            "evolution.candidates": candidates,
            "evolution.keep": keep,
            "evolution.objectives": _words(objectives),
            "scoring.steps": steps,
            "scoring.method": scorer,
            "budget.max_madds": limit_or_word("--max-madds", max_madds, LIMIT_WORDS),
            "budget.max_params": limit_or_word("--max-params", max_params, LIMIT_WORDS),
            "budget.max_latency_ms": _milliseconds(max_latency_ms),
            "budget.latency_table": latency_table,
        }
    )
    if resume is not None:
        others = any((options, preset, config, settings, out, force))
        check_resumed(others=others, allowed="--device, --workers and --progress")
        _run(resume, None, device, workers, force=False, progress=progress)
        return
    chosen = _configured(preset, config, settings or [], options, device)
    target = out or Path("runs") / f"{preset or 'evolve'}-seed{chosen.seed}"
    _run(target, chosen, device, workers, force=force, progress=progress)


def _configured(
    preset: str | None,
    config: Path | None,
    settings: list[str],
    options: dict[str, Any],
    device: str | None,
) -> "Config":
    """Preset, file, --set and options, each overriding the one before."""
    from autospace.evolution.settings import NEEDS_DATA, make_config
    from autospace.evolution.settings import preset as settings_of
    from autospace.runs.errors import ConfigError
    from autospace.runs.settings import parse_settings, read_config

    layers = [
        settings_of(preset) if preset is not None else {},
        read_config(config, "evolve") if config is not None else {},
        parse_settings(settings),
        options,
        {"device": device} if device is not None else {},
    ]
    sections = [layer.get("data") for layer in layers]
    has_data = any("source" in section for section in sections if isinstance(section, Mapping))
    if preset in NEEDS_DATA and not has_data:
        raise ConfigError(f"preset {preset}: needs your images; add {NEEDS_DATA[preset]}")
    return make_config(*layers, _placed(make_config(*layers)))


def _placed(config: "Config") -> dict[str, Any]:
    """Paths of the configuration that hold wherever the run is resumed from."""
    placed: dict[str, Any] = {"data": {"source": absolute_source(config.data.source)}}
    if Path(config.skeleton).suffix in {".json", ".toml"}:
        placed["skeleton"] = absolute(config.skeleton)
    if config.budget.latency_table is not None:
        placed["budget"] = {"latency_table": absolute(config.budget.latency_table)}
    return placed


def _run(
    path: Path,
    config: "Config | None",
    device: str | None,
    workers: int | None,
    *,
    force: bool,
    progress: str,
) -> None:
    from autospace.cli.display.outcomes import print_evolve_outcome as tell_outcome
    from autospace.cli.output import INTERRUPTED
    from autospace.cli.progress.parts import Rounds
    from autospace.cli.progress.reporters import reporting
    from autospace.compute.machine import keep_freed_memory
    from autospace.evolution.folder import RunFolder
    from autospace.evolution.learn import learn

    check_workers(workers)
    keep_freed_memory()
    new = config and RunFolder.create(path, config, force=force)
    folder = new or RunFolder.open(path)
    with reporting(progress, "evolve", Rounds()) as observer:
        if folder.finished:
            observer.message(f"{path}: the run is finished already")
        try:
            space = learn(folder, observer, device, workers)
        except KeyboardInterrupt:
            if folder.replacing:
                observer.message(
                    "interrupted before the new run began; the earlier one is untouched"
                )
            else:
                command = f"autospace evolve --resume {shlex.quote(str(path))}"
                observer.message(f"interrupted; nothing is lost: {command}")
            raise typer.Exit(INTERRUPTED) from None
    tell_outcome(path, space)


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
