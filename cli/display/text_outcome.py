"""What the training of a language model or of captions reached, for people or as JSON."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autospace.cli.display.drawing import curve
from autospace.cli.display.outcomes import commands, quoted, sentence
from autospace.cli.output import data, json_data
from autospace.runs.images import images_read
from autospace.spaces.text import human, visible

if TYPE_CHECKING:
    from autospace.captions.full import CaptionResult
    from autospace.text.folder import TextResult

WIDTH: Final = 40


def print_text_outcome(run: Path, result: "TextResult", *, onnx: bool, format_: str) -> None:
    """Writes the summary and the next commands to stdout."""
    if format_ == "json":
        json_data(text_record(run, result))
    else:
        data("\n".join(text_outcome(run, result, sys.stdout.encoding, onnx=onnx)))


def text_record(run: Path, result: "TextResult") -> dict[str, Any]:
    """What `result.json` holds, what was read, and the next commands."""
    return {
        "run": str(run),
        "weights": str(run / "model.safetensors"),
        **result.model_dump(mode="json"),
        "text": images_read(run),
        "next": [command for command, _ in _after(run, onnx=True)],
    }


def text_outcome(
    run: Path, result: "TextResult", encoding: str | None = None, *, onnx: bool = True
) -> list[str]:
    """The lines of the summary."""
    text = result.data
    averaged = ", the mean of the weights of many steps" if result.averaged else ""
    return [
        *sentence(
            f"Trained {result.architecture}: {human(result.params)} params on {text.name}, "
            f"{text.train:,} {text.tokens} of {text.vocabulary:,} kinds, {result.epochs:,} "
            f"epoch{'s' if result.epochs != 1 else ''}."
        ),
        "",
        *_curves(result, encoding),
        *sentence(
            f"Kept: epoch {result.kept_epoch}{averaged}; validation perplexity "
            f"{result.validation_perplexity:.2f}."
        ),
        *sentence(
            f"Test perplexity {result.test_perplexity:.2f}, "
            f"{result.test_bits_per_character:.3f} bits per character, on {result.measured:,} "
            f"{text.tokens}, which were used only this once."
        ),
        "",
        f"Written: {visible(str(run / 'model.safetensors'))} and result.json. Next:",
        *commands(_after(run, onnx=onnx)),
    ]


def print_caption_outcome(run: Path, result: "CaptionResult", *, onnx: bool, format_: str) -> None:
    """Writes the summary of a training on captions and the next commands to stdout."""
    if format_ != "json":
        data("\n".join(caption_outcome(run, result, sys.stdout.encoding, onnx=onnx)))
        return
    json_data(
        {
            "run": str(run),
            "weights": str(run / "model.safetensors"),
            **result.model_dump(mode="json"),
            "captions": images_read(run),
            "next": [command for command, _ in _after(run, onnx=True)],
        }
    )


def caption_outcome(
    run: Path, result: "CaptionResult", encoding: str | None = None, *, onnx: bool = True
) -> list[str]:
    """The lines of the summary."""
    found = result.data
    written = [
        f"  {visible(each.written)!r} for {visible(each.reference)!r}" for each in result.examples
    ]
    return [
        *sentence(
            f"Trained {result.architecture}: {human(result.params)} params on {found.name}, "
            f"{found.train:,} images with captions of {found.vocabulary:,} tokens, "
            f"{result.epochs:,} epoch{'s' if result.epochs != 1 else ''}."
        ),
        "",
        *_curves(result, encoding),
        *sentence(
            f"Kept: epoch {result.kept_epoch}; validation n-gram F {result.validation_ngram_f:.3f}."
        ),
        *sentence(
            f"Test: n-gram F {result.test_ngram_f:.3f}, exact match {result.test_accuracy:.1%}, on "
            f"{found.test:,} images, which were used only this once."
        ),
        "",
        "Written:",
        *written,
        "",
        f"Saved: {visible(str(run / 'model.safetensors'))} and result.json. Next:",
        *commands(_after(run, onnx=onnx)),
    ]


def _after(run: Path, *, onnx: bool) -> list[tuple[str, str]]:
    rest = [] if onnx else [(f"autospace train --resume {quoted(run)} --onnx", "for deployment")]
    return [(f"autospace show {quoted(run / 'architecture.json')}", "the network"), *rest]


def _curves(result: "TextResult | CaptionResult", encoding: str | None) -> list[str]:
    if len(result.curve) < 2:
        return []
    rows = [
        ("loss", [each.train_loss for each in result.curve]),
        ("validation", [each.validation_loss or 0.0 for each in result.curve]),
    ]
    lines = [
        f"  {name:<10}  {values[0]:7.3f}  {curve(values, WIDTH, encoding)}  {values[-1]:.3f}"
        for name, values in rows
    ]
    return [*lines, ""]
