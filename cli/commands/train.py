"""`autospace train`: train one architecture, or go on with a training that was stopped."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import (
    Data,
    Device,
    Number,
    Progress,
    Replace,
    Resume,
    RunOut,
    Seed,
    Settings,
    Text,
    check_resumed,
    given,
)
from autospace.cli.output import InputError

if TYPE_CHECKING:
    from autospace.spaces import Architecture
    from autospace.training.folder import TrainingFolder, TrainingResult
    from autospace.training.settings import TrainConfig

Source = Annotated[
    Text,
    typer.Argument(
        metavar="ARCH",
        help="A file, or a built-in such as reference@cifar.",
        show_default=False,
    ),
]
SpaceName = Annotated[
    Text, typer.Option(help="Space that ARCH belongs to, if ARCH holds cell ids only.")
]
RecipeName = Annotated[
    Text,
    typer.Option(
        help="digits, cifar-small, cifar or mobile; or a TOML file of settings.",
        show_default="by skeleton",
    ),
]
Epochs = Annotated[Number, typer.Option(help="Passes over the training images.")]
Batch = Annotated[Number, typer.Option(help="Images per step.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Peak learning rate.")]
NoValidation = Annotated[
    bool, typer.Option("--no-validation", help="Train on all images, with no validation curve.")
]
Onnx = Annotated[bool, typer.Option("--onnx", help="Also write model.onnx.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard curves.")]


def train(
    arch: Source = None,
    data: Data = None,
    space: SpaceName = None,
    out: RunOut = None,
    resume: Resume = None,
    seed: Seed = None,
    recipe: RecipeName = None,
    epochs: Epochs = None,
    batch: Batch = None,
    lr: Rate = None,
    no_validation: NoValidation = False,
    settings: Settings = None,
    device: Device = None,
    onnx: Onnx = False,
    tensorboard: TensorBoard = False,
    progress: Progress = "auto",
    force: Replace = False,
) -> None:
    """Train one architecture from scratch.

    Writes its weights and its accuracy on the test images, which are used once, at the end. A
    training can be stopped at any time; --resume RUN continues it.
    """
    from autospace.cli.display.outcomes import print_train_outcome as tell_outcome
    from autospace.cli.options import require
    from autospace.cli.progress.reporters import check_progress

    check_progress(progress)
    if onnx:
        require("--onnx", "onnx", ("onnx", "onnxruntime", "onnxscript"))
    if tensorboard:
        require("--tensorboard", "tensorboard", ("tensorboard",))
    options = given(
        {
            "seed": seed,
            "data.source": data,
            "data.validation": 0.0 if no_validation else None,
            "optimizer.learning_rate": lr,
            "training.epochs": epochs,
            "training.batch": batch,
        }
    )
    chosen = None
    if resume is None:
        architecture = _architecture(arch, space)
        name = _name(arch or "")
        own = [options, given({"device": device})]
        config = _configured(name, [*_recipe(recipe, settings or [], architecture), *own])
        chosen = (config, architecture)
        target = out or Path("runs") / f"train-{_plain(name)}-seed{config.seed}"
    else:
        others = any((arch, space, out, recipe, settings, force, options))
        allowed = "--device, --onnx, --tensorboard and --progress"
        check_resumed(others=others, allowed=allowed)
        target = resume
    result = _run(target, chosen, device, force=force, board=tensorboard, progress=progress)
    tell_outcome(target, result, onnx=onnx)
    if onnx:
        _write_onnx(target)


def _architecture(arch: str | None, space: str | None) -> "Architecture":
    from autospace.spaces import load, load_architecture

    if not arch:
        problem = "name an architecture: a file, or a built-in such as reference@cifar"
        raise InputError(f"ARCH: {problem}; or go on with --resume RUN")
    return load_architecture(arch, load(space) if space is not None else None)


def _recipe(
    recipe: str | None, settings: list[str], architecture: "Architecture"
) -> list[dict[str, Any]]:
    """The settings of a preset or file, and those of --set."""
    from autospace.runs.settings import parse_settings, read_config
    from autospace.training.settings import RECIPES, recipe_for

    parsed = parse_settings(settings)
    if recipe is not None and recipe not in RECIPES:
        if not recipe.endswith(".toml"):
            known = f"{', '.join(RECIPES)}, or a .toml file"
            raise InputError(f"--recipe {recipe[:40]!r}: unknown; allowed: {known}")
        return [read_config(Path(recipe), "train"), parsed]
    images = parsed.get("data")
    side = images.get("resolution") if isinstance(images, dict) else None
    side = side if isinstance(side, int) else None
    return [RECIPES[recipe or recipe_for(architecture.skeleton, side)], parsed]


def _configured(name: str, layers: list[dict[str, Any]]) -> "TrainConfig":
    from autospace.cli.options import absolute_source
    from autospace.runs.settings import make_settings
    from autospace.training.settings import TrainConfig

    config = make_settings(TrainConfig, *layers, {"architecture": name})
    sections = [layer.get("data") for layer in layers]
    if not any("source" in section for section in sections if isinstance(section, dict)):
        raise InputError("--data: name the images, such as --data digits or --data folder:PATH")
    source = {"data": {"source": absolute_source(config.data.source)}}
    return make_settings(TrainConfig, *layers, {"architecture": name}, source)


def _name(arch: str) -> str:
    """What people call it: the last part of a path, whole names of built-ins."""
    from autospace.spaces.checks import MAX_NAME

    family, at, skeleton = arch.partition("@")
    built_in = at and not Path(arch).exists()
    name = f"{family}@{Path(skeleton).stem}" if built_in else Path(arch).stem
    return name[:MAX_NAME] or "network"


def _plain(name: str) -> str:
    """A name as a part of a path that no shell and no file system minds."""
    return re.sub(r"[^A-Za-z0-9._@+]+", "-", name)[:80].strip("-.") or "network"


def _run(
    path: Path,
    chosen: "tuple[TrainConfig, Architecture] | None",
    device: str | None,
    *,
    force: bool,
    board: bool,
    progress: str,
) -> "TrainingResult":
    from autospace.cli.progress.parts import Board, Epochs
    from autospace.cli.progress.reporters import reporting
    from autospace.compute.machine import keep_freed_memory
    from autospace.training.folder import BOARD, TrainingFolder
    from autospace.training.full import train_architecture

    config, architecture = chosen or (None, None)
    new = config and TrainingFolder.create(path, config, force=force)
    folder = new or TrainingFolder.open(path)
    keep_freed_memory()
    epochs = Epochs(Board(path / BOARD) if board else None)
    with reporting(progress, "train", epochs) as observer:
        if folder.finished:
            observer.message(f"{path}: the training is finished already")
        try:
            return train_architecture(folder, observer, architecture=architecture, device=device)
        except KeyboardInterrupt:
            observer.message(_interrupted(path, folder))
            from autospace.cli.output import INTERRUPTED

            raise typer.Exit(INTERRUPTED) from None


def _interrupted(path: Path, folder: "TrainingFolder") -> str:
    if folder.replacing:
        return "interrupted before the new training began; the earlier one is untouched"
    if not folder.begun:
        return "interrupted before the training began; nothing was written"
    command = f"autospace train --resume {shlex.quote(str(path))}"
    return f"interrupted; nothing is lost: {command}"


def _write_onnx(path: Path) -> None:
    from autospace.cli.output import message
    from autospace.networks.deploy import deploy
    from autospace.training.folder import ONNX, WEIGHTS, TrainingFolder

    target = path / ONNX
    deploy(TrainingFolder.open(path).architecture, "onnx", target, weights=path / WEIGHTS)
    message(f"wrote {target}")
