"""Spaces and architectures as plain values for JSON, and as short texts."""

import math
from typing import Any

from autospace.spaces import Architecture, Candidate, LayerShape, Range, Skeleton, Space, cell_cost
from autospace.spaces.cells.family import FAMILIES, KINDS, changes, check_kind, work, work_unit
from autospace.spaces.cells.operations import Cost
from autospace.spaces.files.codec import uncertainty_out
from autospace.spaces.text import human, magnitude, plural


def space_record(space: Space) -> dict[str, Any]:
    """A space in numbers."""
    return {
        "name": space.name,
        "layers": len(space.layers),
        "candidates": sum(len(layer.candidates) for layer in space.layers),
        "log10_architectures": size_log10(space),
        **ranges(space),
    }


def architecture_record(architecture: Architecture, name: str) -> dict[str, Any]:
    """An architecture in numbers, with its choices in the flat form."""
    return {
        "name": name,
        "layers": len(architecture.candidates),
        "madds": architecture.cost.madds,
        **bops(architecture.kind, architecture.cost),
        "params": architecture.cost.params,
        "choices": architecture.choices,
    }


def candidate_record(
    candidate: Candidate, shape: LayerShape, reference: Candidate | None = None
) -> dict[str, Any]:
    """A candidate with its cost in its layer, and how it differs from the reference, if any.

    Raises:
        SpaceError: nothing is known of the inside of cells of this family.
    """
    check_kind(candidate.cell.kind, "tables of cells", KINDS)
    cell, origin = candidate.cell, candidate.origin
    cost = cell_cost(cell, shape)
    return {
        "id": candidate.id,
        "fitness": candidate.fitness,
        **uncertainty_out(candidate),
        "madds": cost.madds,
        "params": cost.params,
        **bops(cell.kind, cost),
        "expansion": None if cell.bare else cell.expansion,
        "nodes": cell.nodes,
        "edges": [edge._asdict() for edge in cell.edges],
        "mix": list(cell.mix),
        "changes": None if reference is None else changes(cell, reference.cell),
        "origin": {
            "kind": origin.kind,
            "generation": origin.generation,
            "parents": list(origin.parents),
        },
    }


def described(value: Space | Architecture | Skeleton) -> str:
    """What a file holds, in one line."""
    if isinstance(value, Skeleton):
        return f"skeleton {value.name!r}: {value.described}"
    if isinstance(value, Architecture):
        done = f"{human(work(value.kind, value.cost))} {work_unit(value.kind)}"
        cost = f"{done}, {human(value.cost.params)} params"
        return f"architecture: {choices(value)}, {cost}"
    return f"space {value.name!r}: {extent(value)}, {_work_span(value)}"


def _work_span(space: Space) -> str:
    binary = FAMILIES[space.kind].binary
    return f"{span(space.ops if binary else space.madds)} {work_unit(space.kind)}"


def ranges(space: Space) -> dict[str, dict[str, int | float]]:
    """Smallest, mean and largest MAdds and params."""
    found = {"madds": space.madds._asdict(), "params": space.params._asdict()}
    if FAMILIES[space.kind].binary:
        found |= {"bops": space.bops._asdict(), "ops": space.ops._asdict()}
    return found


def bops(kind: str, cost: Cost) -> dict[str, int]:
    """The binary operations, of families that have some; others keep what they printed."""
    return {"bops": cost.bops} if FAMILIES[kind].binary else {}


def size_log10(space: Space) -> float:
    """The decimal logarithm of the number of architectures, to six decimals."""
    return round(math.log10(space.size), 6)


def choices(value: Space | Architecture) -> str:
    """How many layers there are to choose for, or edges where edges are chosen one by one."""
    skeleton = value.skeleton
    stages = f" in {plural(len(skeleton.stages), 'stage')}" if skeleton.stages else ""
    return plural(len(skeleton.shapes), skeleton.choice_noun) + stages


def extent(space: Space) -> str:
    """How large a space is: `4 layers, 36 candidates, 6561 architectures`."""
    candidates = sum(len(layer.candidates) for layer in space.layers)
    noun = "architecture" if space.size == 1 else "architectures"
    parts = choices(space), plural(candidates, "candidate")
    return f"{', '.join(parts)}, {magnitude(space.size)} {noun}"


def span(values: Range, joined: str = " to ") -> str:
    """A range for people: `20.1M to 43.5M`."""
    low, high = human(values.min), human(values.max)
    return low if low == high else f"{low}{joined}{high}"


def fitness_text(candidate: Candidate) -> str:
    """The fitness with its sign and, where it is known, its standard deviation; or a dash."""
    if candidate.fitness is None:
        return "-"
    spread = "" if candidate.uncertainty is None else f" ± {candidate.uncertainty:.3f}"
    return f"{candidate.fitness:+.3f}{spread}"


def born(candidate: Candidate) -> str:
    """Where a candidate comes from: `generation 12, mutation of g08-003`."""
    origin = candidate.origin
    if origin.kind in ("reference", "builtin", "imported"):
        return origin.kind
    parents = f" of {', '.join(origin.parents)}" if origin.parents else ""
    return f"generation {origin.generation}, {origin.kind}{parents}"
