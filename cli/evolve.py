"""`autospace evolve`: learn a search space, or go on with a run that was stopped."""

from pathlib import Path
from typing import Annotated, Any

import typer

from autospace.cli.output import InputError

EPILOG_RESUME = "A stopped run goes on with: autospace evolve --resume RUN"

Text = str | None


def evolve(
    preset: Annotated[
        Text, typer.Option(help="demo, cifar-small, cifar or imagenet-mobile.", show_default=False)
    ] = None,
    data: Annotated[
        Text,
        typer.Option(
            help="digits, folder:PATH, cifar10:PATH, cifar100:PATH, idx:PATH, npz:PATH "
            "or synthetic[:options].",
            show_default="digits",
        ),
    ] = None,
    skeleton: Annotated[
        Text,
        typer.Option(help="Built-in skeleton, or a .json or .toml file.", show_default="by data"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new run.", show_default="runs/...")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with the run in this folder.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, show_default="0")] = None,
    generations: Annotated[int | None, typer.Option(help="After the initial population.")] = None,
    population: Annotated[int | None, typer.Option(help="Cells alive per layer.")] = None,
    candidates: Annotated[
        int | None, typer.Option(help="K: cells that a layer offers per round.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps per candidate.")] = None,
    keep: Annotated[int | None, typer.Option(help="Evolved cells kept per layer.")] = None,
    scorer: Annotated[Text, typer.Option(help="local, in-place, gated or mixture.")] = None,
    objectives: Annotated[Text, typer.Option(help="fitness, or fitness,madds (NSGA-II).")] = None,
    max_madds: Annotated[
        Text,
        typer.Option(
            help="Most MAdds of any architecture, such as 5M; none; or reference: "
            "what the dearest reference architecture has.",
            show_default="reference",
        ),
    ] = None,
    max_params: Annotated[
        Text, typer.Option(help="Most weights of any architecture.", show_default="none")
    ] = None,
    device: Annotated[Text, typer.Option(help="auto, cpu or cuda[:n].")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file of settings; autospace init writes one.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. scoring.rho=0.5."),
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace a run that is in the folder.")] = False,
    progress: Annotated[str, typer.Option(help="auto, plain, json or none; on stderr.")] = "auto",
) -> None:
    """Learn a search space.

    Trains the reference network on your images, evolves cells for each of its layers, and writes
    the best as RUN/space.json. A run can be stopped at any time and goes on with --resume RUN.
    """
    from autospace.cli.progress import check_progress

    check_progress(progress)
    given = _given(
        {
            "seed": seed,
            "skeleton": skeleton,
            "data.source": data,
            "evolution.generations": generations,
            "evolution.population": population,
            "evolution.candidates": candidates,
            "evolution.keep": keep,
            "evolution.objectives": objectives.split(",") if objectives else None,
            "scoring.steps": steps,
            "scoring.method": scorer,
            "budget.max_madds": _limit("--max-madds", max_madds),
            "budget.max_params": _limit("--max-params", max_params),
        }
    )
    if resume is not None:
        if given or preset or config or settings or out or force:
            problem = "goes on with the settings of the run; of other options only"
            raise InputError(f"--resume: {problem} --device and --progress can be given")
        _run(resume, None, device=device, force=False, progress=progress)
        return
    chosen = _configured(preset, config, settings or [], given, device)
    target = out or Path("runs") / f"{preset or 'evolve'}-seed{chosen.seed}"
    _run(target, chosen, device=device, force=force, progress=progress)


def _configured(
    preset: str | None,
    config: Path | None,
    settings: list[str],
    given: dict[str, Any],
    device: str | None,
) -> Any:
    """Preset, file, --set and options, each overriding the one before."""
    from autospace.config import ConfigError, make_config, parse_settings, read_config
    from autospace.config import preset as settings_of
    from autospace.presets import NEEDS_DATA

    layers = [
        settings_of(preset) if preset else {},
        read_config(config) if config else {},
        parse_settings(settings),
        given,
        {"device": device} if device else {},
    ]
    has_data = any("source" in layer.get("data", {}) for layer in layers)
    if preset in NEEDS_DATA and not has_data:
        raise ConfigError(f"preset {preset}: needs your images; add {NEEDS_DATA[preset]}")
    return make_config(*layers)


def _run(path: Path, config: Any, *, device: str | None, force: bool, progress: str) -> None:
    from autospace.cli.outcome import tell_outcome
    from autospace.cli.output import INTERRUPTED, message
    from autospace.cli.progress import reporting
    from autospace.run import learn
    from autospace.run_folder import RunFolder

    if config is None:
        folder = RunFolder.open(path)
        if folder.finished:
            message(f"{path}: the run is finished already")
    else:
        folder = RunFolder.create(path, config, force=force)
    try:
        with reporting(progress, path) as observer:
            space = learn(folder, observer, device)
    except KeyboardInterrupt:
        message(f"interrupted; nothing is lost: autospace evolve --resume {path}")
        raise typer.Exit(INTERRUPTED) from None
    tell_outcome(path, space)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, nested by the dots of their names."""
    nested: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        *sections, last = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return nested


def _limit(option: str, text: str | None) -> int | str | None:
    """A whole number with an optional suffix k, M or G."""
    if text is None or text in {"none", "reference"}:
        return text
    scale = {"k": 10**3, "m": 10**6, "g": 10**9}.get(text[-1:].lower(), 1)
    digits = text[:-1] if scale > 1 else text
    try:
        value = round(float(digits) * scale)
    except (ValueError, OverflowError):
        value = 0
    if not 1 <= value <= 10**15:
        raise InputError(f"{option} {text[:40]!r}: expected a number such as 5M, none or reference")
    return value
