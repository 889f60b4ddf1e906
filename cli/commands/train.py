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
    from autospace.cli.progress.run import Asked
    from autospace.progress import Outcome

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
    from autospace.cli.progress.run import Asked

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
    asked = Asked("train", progress, format_, logged, settings, options, dry_run)
    where: dict[str, Any] = {"device": device, "out": out, "force": force, "resume": resume}
    _run(asked, onnx=onnx, architecture=arch, space=space, recipe=recipe, **where)


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


def _run(asked: "Asked", *, onnx: bool, **arguments: Any) -> None:
    from autospace.cli.progress.parts import Epochs
    from autospace.training.folder import RESULT

    found = asked.run(Epochs(), (RESULT, _outcome), **arguments)
    if found is None:
        return
    _print_outcome(found, onnx=onnx, format_=asked.format_)
    if onnx:
        _write_onnx(found)


def _outcome(found: "Trained") -> "Outcome":
    from autospace.progress import Outcome

    values = {"accuracy/test": found.accuracy, "loss/test": found.result.test_loss}
    return Outcome(0.0, found.folder, found.result.epochs, values)


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
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda number, _: stops.append(number))
    sys.stderr = sys.__stderr__  # what happens here alone is told
    try:
        api.train()
    except (DismissedError, LostError):
        if dry_run:
            return  # that is how process 0 ends it, once it has the plan
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
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
