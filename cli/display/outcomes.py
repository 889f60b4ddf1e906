"""What a run, a search or a training reached, in ten lines that a person understands."""

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from autospace.cli.display.drawing import curve
from autospace.cli.output import data, json_data
from autospace.spaces.cells.family import notation
from autospace.spaces.text import human, visible

if TYPE_CHECKING:
    from autospace.searchers.folder import SearchResult
    from autospace.spaces import Candidate, Space
    from autospace.training.folder import EpochDocument, TrainingResult


def print_evolve_outcome(run: Path, space: "Space") -> None:
    """Writes the summary and the next commands to stdout."""
    data("\n".join(evolve_outcome(run, space)))


def evolve_outcome(run: Path, space: "Space") -> list[str]:
    """The lines of the summary."""
    evolved = [
        (layer.shape.name, candidate)
        for layer in space.layers
        for candidate in layer.candidates
        if candidate.origin.kind != "reference"
    ]
    better = {name for name, candidate in evolved if (candidate.fitness or 0) > 0}
    best = max(evolved, key=lambda pair: pair[1].fitness or 0.0, default=None)
    counts = [len(layer.candidates) for layer in space.layers]
    span = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    madds = space.madds
    here = shlex.quote(str(run))
    found = space.provenance.get("notes")
    notes = found if isinstance(found, list) else []
    lines = [
        f"Learned a space of {len(space.layers)} layers with {span} cells each: "
        f"{_count(space.size)} architectures,",
        f"  {madds.min / 1e6:.3g}M to {madds.max / 1e6:.3g}M MAdds; no architecture exceeds "
        f"the budget{_limit(space)}.",
        f"In {len(better)} of {len(space.layers)} layers an evolved cell is fitter than "
        "the reference cell.",
        *(f"  Note: {note}." for note in notes if isinstance(note, str)),
    ]
    if best is not None:
        name, candidate = best
        lines += [
            f"The best evolved cell, in {name}: {notation(candidate.cell)}",
            f"  has a fitness of {candidate.fitness or 0:+.4f} and arose {_birth(candidate)}.",
        ]
    lines += [
        f"Operations in the evolved cells: {_operations([c for _, c in evolved])}.",
        "",
        f"Written: {run / 'space.json'}. Next:",
        f"  autospace show {here} --layer 0         shows the cells of a layer",
        f"  autospace report {here}                 writes a report as one HTML file",
        f"  autospace compare {here} mbconv@{here} --data ...    compares with hand-made cells",
        f"  autospace export {here} --to optuna     writes it for another tool; --list shows all",
    ]
    return lines


def _operations(candidates: "list[Candidate]") -> str:
    edges = Counter(edge.operation for each in candidates for edge in each.cell.edges)
    total = max(1, sum(edges.values()))
    top = edges.most_common(3)
    return ", ".join(f"{name} {count / total:.0%}" for name, count in top) or "none"


def _birth(candidate: "Candidate") -> str:
    origin = candidate.origin
    if origin.generation:
        return f"in generation {origin.generation} by {origin.kind}"
    return "in the initial population"


def _count(size: int) -> str:
    return f"{size:,}" if size < 10**7 else f"10^{len(str(size)) - 1}"


def _limit(space: "Space") -> str:
    limit = space.budget.max_madds
    return f" of {limit / 1e6:.3g}M" if limit else ""


BAR = 30
"""Characters of a cosine of 1."""


def print_search_outcome(path: Path, result: "SearchResult", format_: str) -> None:
    """Prints the result: whole as JSON, or for people."""
    if format_ == "json":
        json_data(result.model_dump(mode="json"))
        return
    best = shlex.quote(str(path / "best.json"))
    table, source = result.config.evaluator.table, result.config.data.source
    trained = f"Accuracy is measured on validation images ({source}) after a short training."
    lines = [
        f"{result.method} searched {result.space}: {result.evaluations:,} networks evaluated "
        f"in {result.seconds:.0f} s.",
        "",
        f"Finalists, {'' if table else 'each trained on its own, '}the best first:",
        "  accuracy  predicted   MAdds     params",
    ]
    for each in result.finalists:
        accuracy, predicted = map(_percent, (each.accuracy, each.predicted_accuracy))
        madds, params = each.madds / 1e6, each.params / 1e6
        lines.append(f"  {accuracy}    {predicted}  {madds:7.2f}M  {params:7.3f}M")
    lines += _interference(result)
    lines += [
        "",
        f"Accuracy is that of table {table}, not of a network trained here." if table else trained,
        *_predictions(result),
        f"Written: {shlex.quote(str(path / 'result.json'))}, {best}. Next:",
        f"  autospace show {best}",
        f"  autospace train {best} --data ...        trains it in full",
        f"  autospace export {best} --to onnx --out net.onnx",
    ]
    data("\n".join(lines))


def _predictions(result: "SearchResult") -> list[str]:
    """A remark on predictions, if the method makes any."""
    on_table = result.config.evaluator.table is not None
    if on_table or all(each.predicted_accuracy is None for each in result.finalists):
        return []
    return [
        "Predictions rank architectures during the search. They are not accuracies of trained",
        "networks: with shared weights, they can be far lower.",
    ]


def _percent(share: float | None) -> str:
    return "      -" if share is None else f"{share:7.1%}"


def _interference(result: "SearchResult") -> list[str]:
    """The agreement of gradients as a bar per number of differing layers."""
    if not result.interference:
        return []
    lines = ["", "Gradients of shared weights, by the number of layers in which networks differ:"]
    for each in result.interference:
        error = "" if each.error is None else f" ± {each.error:.2f}"
        bar = "█" * round(BAR * max(0.0, each.cosine))
        lines.append(f"  {each.differing:3}  cosine {each.cosine:5.2f}{error}  {bar}".rstrip())
    return lines


WIDTH = 40


def print_train_outcome(run: Path, result: "TrainingResult", *, onnx: bool) -> None:
    """Writes the summary and the next commands to stdout."""
    lines = train_outcome(run, result, sys.stdout.encoding)
    data("\n".join(lines if onnx else [*lines, f"  {_onnx_command(run)}"]))


def train_outcome(run: Path, result: "TrainingResult", encoding: str | None = None) -> list[str]:
    """The lines of the summary."""
    images, epochs = result.data, result.epochs
    held = f", {images.validation:,} held out for validation" if images.validation else ""
    lines = [
        f"Trained {result.architecture}: {human(result.madds)} MAdds, "
        f"{human(result.params)} params.",
        f"{images.name}: {images.train:,} images, {epochs:,} "
        f"epoch{'s' if epochs != 1 else ''}{held}.",
        "",
        *_curves(result.curve, encoding),
        f"Test accuracy {result.test_accuracy:.2%} on {images.test:,} images, "
        "which were used only this once.",
        "",
        f"Written: {run / 'model.safetensors'} and result.json. Next:",
        f"  autospace show {shlex.quote(str(run / 'architecture.json'))}",
    ]
    return [visible(line) for line in lines]


def _onnx_command(run: Path) -> str:
    return visible(f"autospace train --resume {shlex.quote(str(run))} --onnx")


def _curves(epochs: "list[EpochDocument]", encoding: str | None) -> list[str]:
    if len(epochs) < 2:
        return []
    rows = [("loss", [each.train_loss for each in epochs], "{:.3f}")]
    shares = [each.validation_accuracy for each in epochs if each.validation_accuracy is not None]
    if shares:
        rows.append(("validation", shares, "{:.2%}"))
    return [
        *(
            f"  {name:<10}  {form.format(values[0]):>7}  "
            f"{curve(values, WIDTH, encoding)}  {form.format(values[-1])}"
            for name, values, form in rows
        ),
        "",
    ]
