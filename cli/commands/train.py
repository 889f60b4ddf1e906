"""`autospace train`: train one architecture, or go on with a training that was stopped."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from autospace.cli.options import (
    Data,
    Device,
    DryRun,
    Format,
    Log,
    Number,
    Progress,
    Replace,
    Resume,
    RunOut,
    Seed,
    Settings,
    Text,
    check_resumed,
    choices,
    given,
)
from autospace.cli.output import FAILED, InputError, follows, message

if TYPE_CHECKING:
    from autospace.api import Trained

BY_RECIPE = "by recipe"
SECONDS_TO_BE_ENDED = 5.0
OF_TEXT: Final = ("rnn-small", "enas-rnn", "darts-rnn")
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
        help="Settings of the training: a named recipe, or a TOML file.",
        show_default="by skeleton",
        **choices("digits", "cifar-small", "cifar", "mobile", *OF_TEXT, also="FILE"),
    ),
]
Epochs = Annotated[
    Number,
    typer.Option(help="Passes over the training images or text.", show_default=BY_RECIPE),
]
Batch = Annotated[
    Number, typer.Option(help="Images, or columns of a text, per step.", show_default=BY_RECIPE)
]
Rate = Annotated[
    float | None, typer.Option("--lr", help="Peak learning rate.", show_default=BY_RECIPE)
]
NoValidation = Annotated[
    bool, typer.Option("--no-validation", help="Train on all images, with no validation curve.")
]
Onnx = Annotated[bool, typer.Option("--onnx", help="Also write model.onnx.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="The same as --log tensorboard.")]


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
    log: Log = None,
    format_: Format = "table",
    dry_run: DryRun = False,
) -> None:
    """Train one architecture from scratch.

    Writes its weights and its accuracy on the test images, its perplexity on the test text, or what
    the captions that it writes of the test images are worth; the test data are used once, at the
    end. A training can be stopped at any time; --resume RUN continues it.
    """
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
    others = (arch, space, out, recipe, settings, force, options)
    check_resumed(resume, others, "--device, --onnx, --tensorboard, --log, --format and --progress")
    if resume is None and not arch:
        problem = "name an architecture: a file, or a built-in such as reference@cifar"
        raise InputError(f"ARCH: {problem}; or continue with --resume RUN")
    if follows():
        _follow(dry_run)
        return
    logged = [*(log or []), *(["tensorboard"] if tensorboard else [])]
    where: dict[str, Any] = {"device": device, "out": out, "force": force, "resume": resume}
    named: dict[str, Any] = {"architecture": arch, "space": space, "recipe": recipe}
    how: dict[str, Any] = {"shown": (format_, logged), "onnx": onnx, "dry_run": dry_run}
    _run(progress, settings or [], options, **how, **named, **where)


def _print_outcome(found: "Trained", *, onnx: bool, format_: str) -> None:
    """The summary: of images, of text, or of captions."""
    from autospace.captions.full import CaptionResult
    from autospace.cli.display.outcomes import print_train_outcome
    from autospace.cli.display.text_outcome import print_caption_outcome, print_text_outcome
    from autospace.training.folder import TrainingResult

    if isinstance(found.result, TrainingResult):
        print_train_outcome(found.folder, found.result, onnx=onnx, format_=format_)
    elif isinstance(found.result, CaptionResult):
        print_caption_outcome(found.folder, found.result, onnx=onnx, format_=format_)
    else:
        print_text_outcome(found.folder, found.result, onnx=onnx, format_=format_)


def _run(
    progress: str,
    settings: list[str],
    options: dict[str, Any],
    *,
    shown: tuple[str, list[str]],
    onnx: bool,
    dry_run: bool,
    **arguments: Any,
) -> None:
    from autospace import api
    from autospace.cli.progress.parts import Epochs
    from autospace.cli.progress.plan import print_plan
    from autospace.cli.progress.reporters import finished, running
    from autospace.progress import Outcome
    from autospace.runs.settings import merged, parse_settings
    from autospace.training.folder import RESULT

    format_, log = shown
    chosen = merged(parse_settings(settings), options)
    if dry_run:
        print_plan("train", progress, format_, log, settings=chosen, **arguments)
        return
    done = finished(arguments["resume"], RESULT)
    with running(progress, "train", Epochs(), log) as observer:
        found = api.train(settings=chosen, observer=observer, **arguments)
        if not done:
            values = {"accuracy/test": found.accuracy, "loss/test": found.result.test_loss}
            observer.event(Outcome(0.0, found.folder, found.result.epochs, values))
    _print_outcome(found, onnx=onnx, format_=format_)
    if onnx:
        _write_onnx(found)


def _follow(dry_run: bool) -> None:
    """Trains with process 0 of torchrun, which reads the options and says everything."""
    import signal
    import sys
    import time

    from autospace import api
    from autospace.compute.machine import keep_freed_memory
    from autospace.compute.ranks import DismissedError, LostError

    keep_freed_memory()
    # Process 0 stops after its step, and then dismisses this process.
    stops: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stops.append(number))
    sys.stderr = sys.__stderr__  # what happens here alone is told
    try:
        api.train()
    except (DismissedError, LostError):
        if dry_run:
            return  # that is how process 0 ends it, once it has the plan
        if not stops:
            # Torchrun reports the first process that ends, and ends the others. That is process 0.
            time.sleep(SECONDS_TO_BE_ENDED)
        raise typer.Exit(FAILED) from None


def _write_onnx(found: "Trained") -> None:
    from autospace import api
    from autospace.training.folder import ONNX

    target = found.folder / ONNX
    api.export(found.architecture, "onnx", target, weights=found.weights)
    message(f"wrote {target}")
    if found.architecture.skeleton.reads == "captions":
        from autospace.networks.deploy import encoder_path

        message(f"wrote {encoder_path(target)}: the encoder of the images")
