"""`autospace diff`: what changes from one space, or architecture, to another."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autospace.cli.options import Format
from autospace.cli.output import FAILED, InputError, json_data

if TYPE_CHECKING:
    from autospace.spaces import Architecture, Candidate, Layer, Space
    from autospace.spaces.difference import LayerDifference, SpaceDifference


def diff(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A file, a run folder, or NAME@SKELETON.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Another of the same kind.")],
    layer: Annotated[
        str | None, typer.Option(help="Compare the cells of this layer: its name or index.")
    ] = None,
    format_: Format = "table",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with code 1 if they differ.")
    ] = False,
) -> None:
    """Compare two spaces, or two architectures, cell by cell.

    Cells are equal if they compute the same function, whatever their ids are.
    """
    from autospace.spaces.difference import difference

    one, other = _spaces(first, second)
    found = difference(one, other)
    wanted = None if layer is None else _layer(found, layer)
    if format_ == "json":
        json_data(_layer_record(wanted) if wanted else _record(one, other, found))
    else:
        from autospace.cli.display.diff_tables import print_difference, print_layer_difference

        if wanted is not None:
            print_layer_difference(wanted)
        else:
            print_difference((first, one), (second, other), found)
    if exit_code and not (wanted.equal if wanted else found.equal):
        raise typer.Exit(FAILED)


def _spaces(first: str, second: str) -> tuple["Space", "Space"]:
    """Both as spaces; an architecture becomes the space of just itself."""
    from autospace.spaces import Space, load_any

    one, other = load_any(first), load_any(second)
    if isinstance(one, Space) != isinstance(other, Space):
        kinds = [
            "a space" if isinstance(each, Space) else "an architecture" for each in (one, other)
        ]
        raise InputError(
            f"A B: {first} is {kinds[0]} and {second} is {kinds[1]}; allowed: two of the same kind"
        )
    return _space(one, first), _space(other, second)


def _space(value: "Space | Architecture", source: str) -> "Space":
    from pathlib import Path

    from autospace.spaces import FAMILIES, Space
    from autospace.spaces.checks import MAX_NAME
    from autospace.spaces.space import layers_of

    if isinstance(value, Space):
        return value
    name = "".join(char for char in Path(source).stem if char.isprintable())[:MAX_NAME]
    layers = tuple(layers_of(value))
    operations = tuple(FAMILIES[value.kind].operations)
    return Space(name or "architecture", value.skeleton, operations, layers)


def _layer(found: "SpaceDifference", wanted: str) -> "LayerDifference":
    for index, each in enumerate(found.layers):
        if wanted in (each.name, str(index)):
            return each
    names = f"{found.layers[0].name} to {found.layers[-1].name}, or 0 to {len(found.layers) - 1}"
    raise InputError(f"--layer {wanted[:40]!r}: no such layer; allowed: {names}")


def _record(first: "Space", second: "Space", found: "SpaceDifference") -> dict[str, Any]:
    from autospace.cli.display.summary import ranges
    from autospace.spaces.difference import operation_shares

    sides = {"a": first, "b": second}
    return {
        "equal": found.equal,
        "skeleton": list(found.skeleton),
        "reference": found.reference,
        "budget": found.budget,
        **{
            side: {
                "name": space.name,
                **ranges(space),
                "operations": operation_shares(space.layers),
            }
            for side, space in sides.items()
        },
        "layers": [_layer_record(each) for each in found.layers],
    }


def _layer_record(layer: "LayerDifference") -> dict[str, Any]:
    return {
        "layer": layer.name,
        "equal": layer.equal,
        "only_a": [_cell_record(each) for each in layer.only_first],
        "only_b": [_cell_record(each) for each in layer.only_second],
        "both": [{"a": _cell_record(a), "b": _cell_record(b)} for a, b in layer.both],
        "madds": {"a": _madds(layer.first), "b": _madds(layer.second)},
    }


def _cell_record(candidate: "Candidate") -> dict[str, Any]:
    from autospace.spaces.cells.family import notation

    return {
        "id": candidate.id,
        "fitness": candidate.fitness,
        "cell": notation(candidate.cell),
    }


def _madds(layer: "Layer | None") -> dict[str, int] | None:
    """Cheapest and most expensive candidate of a layer."""
    if layer is None:
        return None
    madds = [cost.madds for cost in layer.costs]
    return {"min": min(madds), "max": max(madds)}
