"""Spaces and architectures as plain values for JSON, and as short texts."""

import math
from typing import Any

from autospace.exporters.notation import human
from autospace.spaces import Architecture, Candidate, LayerShape, Range, Space, cell_cost


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
        "params": architecture.cost.params,
        "choices": architecture.choices,
    }


def candidate_record(candidate: Candidate, shape: LayerShape) -> dict[str, Any]:
    """A candidate with its cost in its layer."""
    cell, origin = candidate.cell, candidate.origin
    cost = cell_cost(cell, shape)
    return {
        "id": candidate.id,
        "fitness": candidate.fitness,
        "madds": cost.madds,
        "params": cost.params,
        "expansion": cell.expansion,
        "nodes": cell.nodes,
        "edges": [edge._asdict() for edge in cell.edges],
        "mix": list(cell.mix),
        "origin": {
            "kind": origin.kind,
            "generation": origin.generation,
            "parents": list(origin.parents),
        },
    }


def ranges(space: Space) -> dict[str, dict[str, int | float]]:
    """Smallest, mean and largest MAdds and params."""
    return {"madds": space.madds._asdict(), "params": space.params._asdict()}


def size_log10(space: Space) -> float:
    """The decimal logarithm of the number of architectures, to six decimals."""
    return round(math.log10(space.size), 6)


def magnitude(space: Space) -> str:
    """The number of architectures, as a power of ten where it is large."""
    return f"{space.size}" if space.size < 10_000 else f"10^{math.log10(space.size):.1f}"


def span(values: Range, joined: str = " to ") -> str:
    """A range for people: `20.1M to 43.5M`."""
    low, high = human(values.min), human(values.max)
    return low if low == high else f"{low}{joined}{high}"


def fitness_text(candidate: Candidate) -> str:
    """The fitness with its sign, or a dash."""
    return "-" if candidate.fitness is None else f"{candidate.fitness:+.3f}"


def born(candidate: Candidate) -> str:
    """Where a candidate comes from: `generation 12, mutation of g08-003`."""
    origin = candidate.origin
    if origin.kind in ("reference", "builtin", "imported"):
        return origin.kind
    parents = f" of {', '.join(origin.parents)}" if origin.parents else ""
    return f"generation {origin.generation}, {origin.kind}{parents}"
