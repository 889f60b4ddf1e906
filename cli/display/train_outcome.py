"""What a training reached, in ten lines that a person understands."""

import shlex
import sys
from pathlib import Path
from typing import Any

from autospace.cli.display.curve import curve
from autospace.cli.output import data
from autospace.spaces.cells.notation import human
from autospace.spaces.text import visible

WIDTH = 40


def tell_outcome(run: Path, result: dict[str, Any], *, onnx: bool) -> None:
    """Writes the summary and the next commands to stdout."""
    lines = outcome(run, result, sys.stdout.encoding)
    data("\n".join(lines if onnx else [*lines, f"  {_onnx_command(run)}"]))


def outcome(run: Path, result: dict[str, Any], encoding: str | None = None) -> list[str]:
    """The lines of the summary."""
    images, epochs = result["data"], result["epochs"]
    held = f", {images['validation']:,} held out for the curve" if images["validation"] else ""
    lines = [
        f"Trained {result['architecture']}: {human(result['madds'])} MAdds, "
        f"{human(result['params'])} params.",
        f"{images['name']}: {images['train']:,} images, {epochs:,} "
        f"epoch{'s' if epochs != 1 else ''}{held}.",
        "",
        *_curves(result["curve"], encoding),
        f"Test accuracy {result['test_accuracy']:.2%} on {images['test']:,} images, "
        "looked at this once.",
        "",
        f"Written: {run / 'model.safetensors'} and result.json. Next:",
        f"  autospace show {shlex.quote(str(run / 'architecture.json'))}",
    ]
    return [visible(line) for line in lines]


def _onnx_command(run: Path) -> str:
    return visible(f"autospace train --resume {shlex.quote(str(run))} --onnx")


def _curves(epochs: list[dict[str, Any]], encoding: str | None) -> list[str]:
    if len(epochs) < 2:
        return []
    losses = [each["train_loss"] for each in epochs]
    rows = [("loss", losses, "{:.3f}")]
    if epochs[0]["validation_accuracy"] is not None:
        rows.append(("validation", [each["validation_accuracy"] for each in epochs], "{:.2%}"))
    return [
        *(
            f"  {name:<10}  {form.format(values[0]):>7}  "
            f"{curve(values, WIDTH, encoding)}  {form.format(values[-1])}"
            for name, values, form in rows
        ),
        "",
    ]
