"""The report on a run as plain JSON values: what the page shows, for programs."""

from typing import Any

from autospace.evolution.population import Member
from autospace.report.findings import (
    Traits,
    by_depth,
    gain,
    headline,
    layer_findings,
    overall,
    story,
)
from autospace.report.record import RunRecord, lineage
from autospace.report.run_page import command
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import FAMILIES, cell_cost, notation
from autospace.spaces.cells.notation import shape_label
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cost import LIMITED
from autospace.spaces.files.codec import origin_out, uncertainty_out
from autospace.spaces.space import Candidate, Space


def run_values(record: RunRecord) -> dict[str, Any]:
    """The report on a run as plain JSON values; equal records give equal values."""
    space = record.space
    return {
        "kind": "evolve",
        "name": space.name if space is not None else None,
        "finished": space is not None,
        "headline": headline(record),
        "sentences": story(record),
        "family": record.kind or None,
        "place": record.place,
        "thing": record.thing,
        "skeleton": None
        if record.skeleton is None
        else {"name": record.skeleton.name, "described": record.skeleton.described},
        "reference": None
        if record.reference is None
        else {
            **record.reference.model_dump(mode="json"),
            "warnings": list(record.reference.warnings),
        },
        "read": list(record.images),
        "space": None if space is None else _space(space),
        "places": [_place(record, index) for index in range(len(record.shapes))],
        "cells": _made(record),
        "operations": _operations(record),
        "rounds": [_round(record, index) for index in range(len(record.history))],
        "evaluations": record.state.evaluations if record.state is not None else 0,
        "seed": record.config.seed,
        "command": command(record.config),
    }


def _space(space: Space) -> dict[str, Any]:
    found: dict[str, Any] = {
        "architectures": f"{space.size}",
        "madds": space.madds._asdict(),
        "params": space.params._asdict(),
    }
    if FAMILIES[space.kind].binary:
        found |= {"bops": space.bops._asdict(), "ops": space.ops._asdict()}
    limits = {
        f"max_{unit}": getattr(space.budget, f"max_{unit}") for unit in LIMITED if unit in found
    }
    return {**found, "budget": limits}


def _place(record: RunRecord, index: int) -> dict[str, Any]:
    """A layer, edge or node: its candidates, the best of them, and where that comes from."""
    shape, found = record.shapes[index], layer_findings(record)[index]
    known = found.identity in record.scored[index]
    return {
        "name": shape.name,
        "shape": shape_label(shape),
        "scored": len(record.scored[index]),
        "best": found.identity or None,
        "best_hand_made": found.rival.id if found.rival is not None else None,
        "gain": gain(found) if found.best is not None else None,
        "candidates": [_candidate(each, shape) for each in record.chosen(index)],
        "lineage": _lineage(found.identity, record.scored[index]) if known else None,
    }


def _candidate(candidate: Candidate, shape: LayerShape) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "cell": notation(candidate.cell),
        "fitness": candidate.fitness,
        **uncertainty_out(candidate),
        **_cost(candidate.cell, cell_cost(candidate.cell, shape)),
        "origin": origin_out(candidate.origin),
    }


def _cost(cell: Cell, cost: Cost) -> dict[str, int]:
    binary = FAMILIES[cell.kind].binary
    bops = {"bops": cost.bops} if binary else {}
    return {"madds": cost.madds, "params": cost.params, **bops}


def _lineage(identity: str, known: dict[str, Member]) -> dict[str, Any]:
    """The main line from the first known ancestor on, and how many ancestors there are."""
    found = lineage(identity, known)
    return {
        "steps": [
            {
                "id": step.member.id,
                "cell": notation(step.member.cell),
                "fitness": step.member.value,
                "changes": list(step.changes),
                "other_parent": step.other.id if step.other is not None else None,
                "origin": origin_out(step.member.origin),
            }
            for step in found.steps
        ],
        "ancestors": len(found.ancestors) - 1,
        "lost": found.lost,
    }


def _made(record: RunRecord) -> list[dict[str, Any]]:
    """Where several choices make a cell, the cells that the fittest choices make."""
    best = record.fittest
    if not record.divided or not best:
        return []
    return [
        {"shape": shape_label(shape), "cell": notation(cell), **_cost(cell, cell_cost(cell, shape))}
        for cell, shape in record.made(best)
    ]


def _operations(record: RunRecord) -> list[dict[str, Any]]:
    if record.state is None and record.space is None:
        return []
    depths = {each.name: each for each in (*by_depth(record), overall(record))}
    return [
        {"of": name, "kept": _traits(each.learned), "initial": _traits(each.initial)}
        for name, each in depths.items()
    ]


def _traits(traits: Traits | None) -> dict[str, Any] | None:
    if traits is None:
        return None
    return {
        "cells": traits.cells,
        "operations_each": traits.edges,
        "operations": traits.operations,
        "expansions": {f"{name}": share for name, share in sorted(traits.expansions.items())},
        "mixes": traits.mixes,
    }


def _round(record: RunRecord, index: int) -> dict[str, Any]:
    found, drawn = record.history[index], record.history[index].drawn
    log = record.log.get(found.index)
    return {
        "round": found.index + 1,
        "phase": found.phase,
        "best": found.best,
        "mean": found.mean,
        "scored": sum(layer.scored for layer in found.layers),
        "drawn": drawn.total,
        "duplicates": drawn.duplicates,
        "over_budget": drawn.over_budget,
        "screened": drawn.screened,
        "seconds": log.seconds if log else None,
        "memory_mb": log.memory_mb if log else None,
        "places": [
            {"best": each.best, "mean": each.mean, "spread": each.spread} for each in found.layers
        ],
    }
