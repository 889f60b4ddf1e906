"""`autospace validate`: whether a file is what it says it is."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.output import Format, data, json_data, message

if TYPE_CHECKING:
    from autospace.spaces import Architecture, Layer, Skeleton, Space

    Value = Architecture | Skeleton | Space


def validate(
    file: Annotated[
        str, typer.Argument(help="A space, architecture or skeleton file, or a run folder.")
    ],
    format_: Format = "table",
) -> None:
    """Check a file; warnings do not make it fail."""
    from autospace.exporters.escape import visible
    from autospace.spaces import SpaceError

    try:
        value = _load(file)
    except SpaceError as error:
        if format_ == "json":
            json_data({"file": file, "valid": False, "error": str(error)})
        raise
    warnings = list(_warnings(value))
    if format_ == "json":
        json_data({"file": file, "valid": True, **_record(value, file), "warnings": warnings})
        return
    data(visible(f"{file}: valid {_described(value)}"))
    for warning in warnings:
        message(f"warning: {warning}")


def _load(file: str) -> "Value":
    from autospace.spaces import SpaceError, load_any, load_skeleton

    try:
        return load_any(file)
    except SpaceError as error:
        try:
            return load_skeleton(file)
        except SpaceError:
            raise error from None


def _described(value: "Value") -> str:
    from autospace.cli.summary import magnitude, span
    from autospace.exporters.notation import human
    from autospace.spaces import Architecture, Skeleton

    if isinstance(value, Skeleton):
        images = f"{value.in_channels}x{value.resolution}x{value.resolution} images"
        layers = f"{len(value.layers)} layers"
        return f"skeleton {value.name!r}: {layers}, {images}, {value.classes} classes"
    if isinstance(value, Architecture):
        cost = f"{human(value.cost.madds)} MAdds, {human(value.cost.params)} params"
        return f"architecture: {len(value.candidates)} layers, {cost}"
    candidates = sum(len(layer.candidates) for layer in value.layers)
    return (
        f"space {value.name!r}: {len(value.layers)} layers, {candidates} candidates, "
        f"{magnitude(value)} architectures, {span(value.madds)} MAdds"
    )


def _record(value: "Value", file: str) -> dict[str, Any]:
    from pathlib import Path

    from autospace.cli.summary import architecture_record, space_record
    from autospace.spaces import Architecture, Skeleton

    if isinstance(value, Skeleton):
        layers = len(value.layers)
        return {"kind": "skeleton", "name": value.name, "layers": layers}
    if isinstance(value, Architecture):
        return {"kind": "architecture", **architecture_record(value, Path(file).stem)}
    return {"kind": "space", **space_record(value)}


def _warnings(value: "Value") -> Iterator[str]:
    from autospace.exporters.svg import layers_of
    from autospace.spaces import Skeleton, Space

    if isinstance(value, Skeleton):
        return
    if isinstance(value, Space):
        if not value.reference:
            yield "no reference architecture: fitness has nothing to be relative to"
        yield from _missing_references(value)
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
                yield f"{name}: no reference candidate, unlike in other layers"


def _equal_cells(layer: "Layer") -> Iterator[str]:
    from autospace.spaces import canonical_key

    equal: dict[str, list[str]] = defaultdict(list)
    for candidate in layer.candidates:
        equal[canonical_key(candidate.cell, layer.shape.stride)].append(candidate.id)
    for ids in equal.values():
        if len(ids) > 1:
            yield f"{layer.shape.name}: {', '.join(ids)} compute the same function"


def _dead_edges(layer: "Layer") -> Iterator[str]:
    from autospace.exporters.notation import dead_edges, edge_notation

    for candidate in layer.candidates:
        if dead := dead_edges(candidate.cell):
            edges = ", ".join(map(edge_notation, dead))
            yield f"{layer.shape.name}.{candidate.id}: edges on no path to the output: {edges}"
