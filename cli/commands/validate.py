"""`autospace validate`: whether a file is what it says it is."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import Format, MaxMadds, MaxOps, MaxParams, limit
from autospace.cli.output import FAILED, InputError, complaint, data, json_data, message

MOST_IDS = 8

if TYPE_CHECKING:
    from autospace.evaluators.tabular import Table
    from autospace.spaces import Architecture, Layer, Skeleton, Space

    Value = Architecture | Skeleton | Space


def validate(
    file: Annotated[
        str, typer.Argument(help="A space, architecture, skeleton or table file, or a run folder.")
    ],
    max_madds: MaxMadds = None,
    max_params: MaxParams = None,
    max_ops: MaxOps = None,
    format_: Format = "table",
) -> None:
    """Check a file, and whether its architectures are within limits.

    The exit code is 1 if a limit is exceeded; warnings do not change it.
    """
    from autospace.cli.display.summary import described
    from autospace.evaluators.tabular import Table
    from autospace.spaces import SpaceError
    from autospace.spaces.text import visible

    limits = {
        "madds": limit("--max-madds", max_madds),
        "params": limit("--max-params", max_params),
        "ops": limit("--max-ops", max_ops),
    }
    try:
        value = _load(file)
    except SpaceError as error:
        if format_ == "json":
            json_data({"file": file, "valid": False, "error": str(error)})
        raise
    if isinstance(value, Table):
        _print_table(file, value, limits, format_)
        return
    warnings = list(_warnings(value))
    failures = list(_over(value, limits))
    if format_ == "json":
        found = {"warnings": warnings, "failures": failures}
        json_data({"file": file, "valid": True, **_record(value, file), **found})
    else:
        data(visible(f"{file}: valid {described(value)}"))
        for warning in warnings:
            message(f"warning: {warning}")
        for failure in failures:
            complaint(f"failed: {failure}")
    if failures:
        raise typer.Exit(FAILED)


def _print_table(file: str, table: "Table", limits: dict[str, int | None], format_: str) -> None:
    from autospace.spaces.text import plural, visible

    if any(limit is not None for limit in limits.values()):
        raise InputError("a table has no cost; limits are for spaces and architectures")
    networks, seeds = table.scores.shape
    if format_ == "json":
        counts = {"networks": networks, "seeds": seeds}
        json_data({"file": file, "valid": True, "kind": "table", "name": table.name, **counts})
    else:
        counted = f"{plural(networks, 'network')}, {plural(seeds, 'seed')}"
        data(visible(f"{file}: valid table {table.name!r}: {counted}"))


def _over(value: "Value", limits: dict[str, int | None]) -> Iterator[str]:
    """The limits that some architecture of a space, or the one architecture, exceeds."""
    from autospace.spaces import Skeleton, Space
    from autospace.spaces.cost import NAMES

    if isinstance(value, Skeleton):
        if any(limit is not None for limit in limits.values()):
            raise InputError("a skeleton has no cost; limits are for spaces and architectures")
        return
    kind = "the most expensive architecture" if isinstance(value, Space) else "the architecture"
    for name, most in limits.items():
        found = getattr(value, name).max if isinstance(value, Space) else getattr(value.cost, name)
        if most is not None and found > most:
            yield f"{kind} has {found:,} {NAMES[name]}, more than --max-{name} {most:,}"


def _load(file: str) -> "Value | Table":
    from pathlib import Path

    from autospace.evaluators.tabular import is_table, read_table
    from autospace.spaces import SpaceError, load_any, load_skeleton

    if is_table(Path(file)):
        return read_table(file)
    try:
        return load_any(file)
    except SpaceError as error:
        try:
            return load_skeleton(file)
        except SpaceError:
            raise error from None


def _record(value: "Value", file: str) -> dict[str, Any]:
    from pathlib import Path

    from autospace.cli.display.summary import architecture_record, space_record
    from autospace.spaces import Architecture, Skeleton

    if isinstance(value, Skeleton):
        layers = len(value.layers)
        return {"kind": "skeleton", "name": value.name, "layers": layers}
    if isinstance(value, Architecture):
        return {"kind": "architecture", **architecture_record(value, Path(file).stem)}
    return {"kind": "space", **space_record(value)}


def _warnings(value: "Value") -> Iterator[str]:
    from autospace.spaces import Skeleton, Space
    from autospace.spaces.space import layers_of

    if isinstance(value, Skeleton):
        return
    if isinstance(value, Space):
        if not value.reference:
            yield "no reference architecture, to which fitness would be relative"
        yield from _missing_references(value)
        yield from _beaten_cells(value)
    for layer in layers_of(value):
        yield from _equal_cells(layer)
        yield from _dead_edges(layer)


def _missing_references(space: "Space") -> Iterator[str]:
    """Layers without a hand-made cell, in a space that has some."""
    with_reference = {
        layer.shape.name: any(each.origin.kind == "reference" for each in layer.candidates)
        for layer in space.layers
    }
    if any(with_reference.values()):
        for name, found in with_reference.items():
            if not found:
                yield f"{name}: no reference candidate, but other layers have one"


def _beaten_cells(space: "Space") -> Iterator[str]:
    """Candidates that are no fitter and no cheaper than the reference, those made by hand apart."""
    for layer in space.layers:
        reference = layer.by_id.get(space.reference.get(layer.shape.name, ""))
        if reference is None or reference.fitness is None:
            continue
        cost = dict(zip(layer.by_id, layer.costs, strict=True))
        least = cost[reference.id]
        beaten = [
            each.id
            for each in layer.candidates
            if each.origin.kind not in ("reference", "builtin")
            and each.fitness is not None
            and each.fitness <= reference.fitness
            and cost[each.id].madds >= least.madds
            and cost[each.id].params >= least.params
        ]
        if beaten:
            verb = "is" if len(beaten) == 1 else "are"
            yield (
                f"{layer.shape.name}: {_named(beaten)} {verb} neither fitter nor cheaper than "
                f"the reference {reference.id}"
            )


def _named(ids: list[str]) -> str:
    """The first of some ids, and how many more there are."""
    rest = len(ids) - MOST_IDS
    return ", ".join(ids[:MOST_IDS]) + (f" and {rest} more" if rest > 0 else "")


def _equal_cells(layer: "Layer") -> Iterator[str]:
    equal: dict[str, list[str]] = defaultdict(list)
    for key, candidate in zip(layer.keys, layer.candidates, strict=True):
        equal[key].append(candidate.id)
    for ids in equal.values():
        if len(ids) > 1:
            yield f"{layer.shape.name}: {_named(ids)} compute the same function"


def _dead_edges(layer: "Layer") -> Iterator[str]:
    from autospace.spaces.cells.notation import dead_edges, edge_notation

    for candidate in layer.candidates:
        if dead := dead_edges(candidate.cell):
            edges = ", ".join(map(edge_notation, dead))
            yield f"{layer.shape.name}.{candidate.id}: edges without a path to the output: {edges}"
