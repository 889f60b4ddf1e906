"""What a run learned, in ten lines that a person understands."""

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from autospace.cli.output import data
from autospace.spaces.cells.notation import notation

if TYPE_CHECKING:
    from autospace.spaces import Candidate, Space


def tell_outcome(run: Path, space: "Space") -> None:
    """Writes the summary and the next commands to stdout."""
    data("\n".join(outcome(run, space)))


def outcome(run: Path, space: "Space") -> list[str]:
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
    lines = [
        f"Learned a space of {len(space.layers)} layers with {span} cells each: "
        f"{_count(space.size)} architectures,",
        f"  {madds.min / 1e6:.3g}M to {madds.max / 1e6:.3g}M MAdds; no architecture exceeds "
        f"the budget{_limit(space)}.",
        f"In {len(better)} of {len(space.layers)} layers an evolved cell is fitter than "
        "the reference cell.",
    ]
    if best is not None:
        name, candidate = best
        lines += [
            f"The best, in {name}: {notation(candidate.cell)}",
            f"  of fitness {candidate.fitness or 0:+.4f}, born {_birth(candidate)}.",
        ]
    lines += [
        f"Operations in the evolved cells: {_operations([c for _, c in evolved])}.",
        "",
        f"Written: {run / 'space.json'}. Next:",
        f"  autospace show {here} --layer 0         one layer, its cells drawn",
        f"  autospace report {here}                 all of it as one HTML file",
        f"  autospace compare {here} mbconv@{here} --data ...    is it better?",
        f"  autospace export {here} --to optuna     hand it over; --list says to whom",
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
