"""What a run, a search or a training reached, in ten lines that a person understands."""

import shlex
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autospace.cli.display.drawing import curve
from autospace.cli.display.summary import space_record
from autospace.cli.output import data, json_data
from autospace.runs.images import images_of_runs, images_read
from autospace.spaces.cells.family import FAMILIES, notation, used, work_unit
from autospace.spaces.text import human, magnitude, plural, visible

if TYPE_CHECKING:
    from autospace.searchers.folder import SearchResult
    from autospace.spaces import Candidate, Layer, Space
    from autospace.training.folder import EpochDocument, TrainingResult

COLUMNS: Final = 80


def print_evolve_outcome(run: Path, space: "Space", format_: str = "table") -> None:
    """Writes the summary and the next commands to stdout: for people, or as JSON."""
    if format_ == "json":
        json_data(evolve_record(run, space))
    else:
        data("\n".join(evolve_outcome(run, space)))


def evolve_record(run: Path, space: "Space") -> dict[str, Any]:
    """The summary as plain values."""
    from autospace.evolution.folder import read_reference

    name, best = _best(space) or (None, None)
    reference = read_reference(run)
    return {
        "run": str(run),
        "space": str(run / "space.json"),
        **space_record(space),
        "layers_fitter_than_hand_made": sum(map(beats_hand_made, space.layers)),
        "best": None
        if best is None
        else {
            "layer": name,
            "id": best.id,
            "fitness": best.fitness,
            "cell": notation(best.cell),
            "generation": best.origin.generation,
            "origin": best.origin.kind,
        },
        "notes": _notes(space),
        "reference_network": None if reference is None else reference.model_dump(),
        "data": images_of_runs([run])[0] or None,
        "images": images_read(run),
        "next": [command for command, _ in _after_evolve(run, space)],
    }


def evolve_outcome(run: Path, space: "Space") -> list[str]:
    """The lines of the summary."""
    from autospace.evolution.folder import read_reference

    counts = [len(layer.candidates) for layer in space.layers]
    span = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    done, unit = (space.ops if FAMILIES[space.kind].binary else space.madds), work_unit(space.kind)
    beating = sum(map(beats_hand_made, space.layers))
    divided = space.skeleton.choices_per_cell > 1
    place, thing = (space.skeleton.choice_noun, "choice") if divided else ("layer", "cell")
    lines = [
        f"Learned a space of {plural(len(space.layers), place)} with {span} {thing}s each: "
        f"{magnitude(space.size)} architectures,",
        f"  {human(done.min)} to {human(done.max)} {unit}; no architecture exceeds "
        f"the budget{_limit(space)}.",
        *sentence(
            f"In {beating} of {len(space.layers)} {place}s an evolved {thing} is fitter than every "
            f"hand-made {thing}."
        ),
    ]
    reference = read_reference(run)
    if reference is not None:
        lines += sentence(f"Reference network: {reference.described}.")
    for note in _notes(space):
        lines += sentence(f"Note: {note}.", "  ")
    found = _best(space)
    if found is not None:
        name, best = found
        lines += [
            *sentence(f"The best evolved {thing}, in {name}: {notation(best.cell)}"),
            f"  has a fitness of {best.fitness or 0:+.4f} and arose {_birth(best)}.",
        ]
    return [
        *lines,
        *sentence(f"Operations in the evolved {thing}s: {_operations(_evolved(space.layers))}."),
        "",
        f"Written: {visible(str(run / 'space.json'))}. Next:",
        *commands(_after_evolve(run, space)),
    ]


def _after_evolve(run: Path, space: "Space") -> list[tuple[str, str]]:
    here = quoted(run)
    # Images that a Python program passed are in no file.
    images = "" if images_of_runs([run])[0] else " --data ..."
    known = {"mobile": "mbconv", "conv": "conv", "binary": "binary"}.get(space.kind)
    by_hand = [(f"autospace compare {here} {known}@{here}{images}", "with hand-made cells")]
    # Only some targets can say that of a stage the last layers alone are skipped.
    target = "pytorch" if space.skeleton.stages else "optuna"
    return [
        (f"autospace show {here} --layer 0", "the cells of a layer"),
        (f"autospace report {here}", "a report as one HTML file"),
        *(by_hand if known else []),
        (f"autospace search {here}{images}", "an architecture of the space"),
        (f"autospace export {here} --to {target}", "for another tool"),
    ]


def beats_hand_made(layer: "Layer") -> bool:
    """Whether an evolved cell of the layer is fitter than the reference and all hand-made cells."""
    by_hand = [each.fitness or 0.0 for each in layer.candidates if each.origin.kind == "reference"]
    best = max((each.fitness or 0.0 for each in _evolved([layer])), default=0.0)
    return best > max([0.0, *by_hand])


def _evolved(layers: "Iterable[Layer]") -> "list[Candidate]":
    cells = (each for layer in layers for each in layer.candidates)
    return [each for each in cells if each.origin.evolved]


def _best(space: "Space") -> "tuple[str, Candidate] | None":
    """The fittest evolved cell and its layer."""
    found = [(layer.shape.name, each) for layer in space.layers for each in _evolved([layer])]
    return max(found, key=lambda pair: pair[1].fitness or 0.0, default=None)


def _notes(space: "Space") -> list[str]:
    found = space.provenance.get("notes")
    return [note for note in found if isinstance(note, str)] if isinstance(found, list) else []


def _operations(candidates: "list[Candidate]") -> str:
    counts = Counter(name for each in candidates for name in used(each.cell))
    total = max(1, counts.total())
    top = counts.most_common(3)
    return ", ".join(f"{name} {count / total:.0%}" for name, count in top) or "none"


def _birth(candidate: "Candidate") -> str:
    origin = candidate.origin
    if origin.generation:
        return f"in generation {origin.generation} by {origin.kind}"
    return "in the initial population"


def _limit(space: "Space") -> str:
    binary = FAMILIES[space.kind].binary
    limit = space.budget.max_ops if binary else space.budget.max_madds
    return f" of {human(limit)}" if limit else ""


MEASURED = {
    "text": "1 / perplexity on {}, validation,",
    "sentences": "measured on validation sentences ({})",
    "captions": "the mean n-gram F of captions ({}), validation,",
}
"""What the accuracy of a search is, by the kind of its data."""
BAR = 30
"""Characters of a cosine of 1."""


def measured_by(source: str) -> str:
    """What the accuracy of a search is on the data of a source."""
    measured = MEASURED.get(source.partition(":")[0], "measured on validation images ({})")
    return f"Accuracy is {measured.format(source)} after a short training."


def print_search_outcome(path: Path, result: "SearchResult", format_: str) -> None:
    """Prints the result: whole as JSON, or for people."""
    if format_ == "json":
        json_data({**result.model_dump(mode="json"), "images": images_read(path)})
        return
    table, source = result.config.evaluator.table, result.config.data.source
    trained = measured_by(source)
    named = f"Accuracy is that of table {table}, not of a network trained here."
    lines = [
        *sentence(
            f"{result.method} searched {result.space}: {result.evaluations:,} {_evaluated(result)} "
            f"in {result.seconds:.0f} s."
        ),
        *front_of(result),
        "",
        f"Finalists, {'' if table else 'each trained on its own, '}the best first:",
        f"  accuracy  predicted   {'MAdds  ' if result.ops is None else 'OPs    '}  params",
    ]
    # OPs of small networks differ by thousands.
    digits = 2 if result.ops is None else 3
    for each in result.finalists:
        accuracy, predicted = map(_percent, (each.accuracy, each.predicted_accuracy))
        work, params = (each.madds if each.ops is None else each.ops) / 1e6, each.params / 1e6
        lines.append(f"  {accuracy}    {predicted}  {work:7.{digits}f}M  {params:7.3f}M")
    lines += _interference(result)
    lines += ["", *sentence(named if table else trained), *_predictions(result)]
    lines += [
        f"Written: {quoted(path / 'result.json')}, best.json. Next:",
        *commands(_after_search(path)),
    ]
    data("\n".join(lines))


def _evaluated(result: "SearchResult") -> str:
    blocks = result.details.get("blocks")
    return f"paths of {len(blocks)} blocks rated" if blocks else "networks evaluated"


def front_of(result: "SearchResult") -> list[str]:
    """How many networks are on the front of cost and loss, for a method that finds a whole one."""
    if "exact" not in result.details:
        return []
    unit = "MAdds" if result.ops is None else "OPs"
    work = [each[unit.lower()] for each in result.details["gallery"]]
    count = f"{len(work):,} network{'s' if len(work) > 1 else ''}"
    span = f"{human(min(work))} to {human(max(work))} {unit}"
    about = "" if result.details["exact"] else ", of the paths that were drawn"
    return sentence(f"Front: {count}, {span}{about} (details.gallery in result.json).")


def _after_search(path: Path) -> list[tuple[str, str]]:
    best = quoted(path / "best.json")
    images = "" if images_of_runs([path])[0] else " --data ..."
    return [
        (f"autospace show {best}", "the architecture"),
        (f"autospace train {best}{images}", "trains it in full"),
        (f"autospace export {best} --to onnx --out net.onnx", "for another program"),
    ]


def _predictions(result: "SearchResult") -> list[str]:
    """A remark on predictions, if the method makes any."""
    on_table = result.config.evaluator.table is not None
    if on_table or all(each.predicted_accuracy is None for each in result.finalists):
        return []
    return sentence(
        "Predictions rank architectures during the search. They are not accuracies of trained "
        "networks: with shared weights, they can be far lower."
    )


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


def print_train_outcome(
    run: Path, result: "TrainingResult", *, onnx: bool, format_: str = "table"
) -> None:
    """Writes the summary and the next commands to stdout: for people, or as JSON."""
    if format_ == "json":
        json_data(train_record(run, result, onnx=onnx))
    else:
        data("\n".join(train_outcome(run, result, sys.stdout.encoding, onnx=onnx)))


def train_record(run: Path, result: "TrainingResult", *, onnx: bool) -> dict[str, Any]:
    """What `result.json` holds, the interval of the accuracy, and the next commands."""
    from autospace.training.short import accuracy_interval

    low, high = accuracy_interval(result.test_accuracy, result.data.test)
    return {
        "run": str(run),
        "weights": str(run / "model.safetensors"),
        **result.model_dump(mode="json"),
        "images": images_read(run),
        "test_accuracy_interval": [round(low, 6), round(high, 6)],
        "next": [command for command, _ in _after_train(run, onnx=onnx)],
    }


def train_outcome(
    run: Path, result: "TrainingResult", encoding: str | None = None, *, onnx: bool = True
) -> list[str]:
    """The lines of the summary."""
    from autospace.training.short import accuracy_interval

    images, epochs = result.data, result.epochs
    units = "sentences" if images.name.partition(":")[0] == "sentences" else "images"
    held = f", {images.validation:,} held out for validation" if images.validation else ""
    low, high = accuracy_interval(result.test_accuracy, images.test)
    return [
        *sentence(
            f"Trained {result.architecture}: {human(result.madds)} MAdds, "
            f"{human(result.params)} params."
        ),
        *sentence(
            f"{images.name}: {images.train:,} {units}, {epochs:,} "
            f"epoch{'s' if epochs != 1 else ''}{held}."
        ),
        "",
        *_curves(result.curve, encoding),
        *sentence(
            f"Test accuracy {result.test_accuracy:.2%} (95 % interval {low:.2%} to {high:.2%}) on "
            f"{images.test:,} {units}, which were used only this once."
        ),
        "",
        f"Written: {visible(str(run / 'model.safetensors'))} and result.json. Next:",
        *commands(_after_train(run, onnx=onnx)),
    ]


def _after_train(run: Path, *, onnx: bool) -> list[tuple[str, str]]:
    """The next commands; `onnx` is whether that file is written already."""
    rest = [] if onnx else [(f"autospace train --resume {quoted(run)} --onnx", "for deployment")]
    return [(f"autospace show {quoted(run / 'architecture.json')}", "the network"), *rest]


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


def sentence(text: str, indent: str = "") -> list[str]:
    """A sentence in lines of at most 80 columns; only a word may be longer."""
    return textwrap.wrap(
        visible(text),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def quoted(path: Path | str) -> str:
    """A path as the shell takes it."""
    return shlex.quote(str(path))


def commands(found: Iterable[tuple[str, str]]) -> list[str]:
    """Commands, one a line, each with what it does as a comment, which the shell ignores.

    Args:
        found: commands and what they do. A remark that does not fit its line is left out.
    """
    pairs = [(visible(command), remark) for command, remark in found]
    longest = max((len(command) for command, _ in pairs), default=0)
    if any(longest + len(remark) + 6 > COLUMNS for _, remark in pairs):
        longest = 0
    lines = [f"  {command:<{longest}}  # {remark}" for command, remark in pairs]
    return [
        line if len(line) <= COLUMNS else f"  {command}"
        for line, (command, _) in zip(lines, pairs, strict=True)
    ]
