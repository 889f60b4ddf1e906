"""`autospace show`: a space, one of its layers, or one of its cells."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autospace.cli.output import Format, InputError, json_data, message, write_new

if TYPE_CHECKING:
    from autospace.spaces import Architecture, Candidate, Layer, Space


def show(
    space: Annotated[
        str, typer.Argument(help="A file, a run folder, or a built-in as NAME@SKELETON.")
    ],
    layer: Annotated[
        str | None, typer.Option(help="One layer, by name or index: its candidates.")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="One candidate, by its id: its cell.")] = None,
    format_: Format = "table",
    svg: Annotated[
        Path | None, typer.Option(help="Write a picture instead, of what would be shown.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
) -> None:
    """Show a space, a layer, a cell or an architecture."""
    from autospace.spaces import load_any

    value = load_any(space)
    name = _name(value, space)
    place = _layer(value, layer) if layer is not None else None
    if cell is not None:
        place, candidate = _candidate(value, place, cell)
        _show_cell(place, candidate, format_, svg, force)
    elif place is not None:
        _show_layer(value, place, space, format_, svg, force)
    else:
        _show_network(value, name, space, format_, svg, force)


def _name(value: "Space | Architecture", source: str) -> str:
    from autospace.spaces import Space

    return value.name if isinstance(value, Space) else Path(source).stem


def _layer(value: "Space | Architecture", wanted: str) -> "Layer":
    from autospace.exporters.svg import layers_of

    layers = layers_of(value)
    for index, layer in enumerate(layers):
        if wanted in (layer.shape.name, str(index)):
            return layer
    names = f"{layers[0].shape.name} to {layers[-1].shape.name}, or 0 to {len(layers) - 1}"
    raise InputError(f"--layer {wanted!r}: no such layer; allowed: {names}")


def _candidate(
    value: "Space | Architecture", place: "Layer | None", wanted: str
) -> tuple["Layer", "Candidate"]:
    """The candidate of this id; without a layer, it must mean the same cell wherever it stands."""
    from autospace.exporters.svg import layers_of

    layers = layers_of(value) if place is None else (place,)
    found = [layer for layer in layers if wanted in layer.by_id]
    if not found:
        where = "any layer" if place is None else place.shape.name
        some = ", ".join(list(layers[0].by_id)[:12])
        raise InputError(f"--cell {wanted!r}: not in {where}; {layers[0].shape.name} has: {some}")
    if len({layer.by_id[wanted].cell for layer in found}) > 1:
        names = ", ".join(layer.shape.name for layer in found)
        raise InputError(f"--cell {wanted!r}: differs between {names}; choose one with --layer")
    return found[0], found[0].by_id[wanted]


def _show_cell(
    layer: "Layer", candidate: "Candidate", format_: str, svg: Path | None, force: bool
) -> None:
    if svg is not None:
        from autospace.exporters.svg import cell_svg

        _write(svg, cell_svg(candidate, layer.shape), force)
    elif format_ == "json":
        from autospace.cli.summary import candidate_record

        json_data({"layer": layer.shape.name, **candidate_record(candidate, layer.shape)})
    else:
        from autospace.cli.tables import print_cell

        print_cell(layer, candidate)


def _show_layer(
    value: "Space | Architecture",
    layer: "Layer",
    source: str,
    format_: str,
    svg: Path | None,
    force: bool,
) -> None:
    from autospace.spaces import Space

    reference = value.reference.get(layer.shape.name) if isinstance(value, Space) else None
    if svg is not None:
        from autospace.exporters.svg import layer_svg

        _write(svg, layer_svg(layer, reference), force)
    elif format_ == "json":
        from autospace.cli.summary import candidate_record
        from autospace.exporters.svg import by_fitness

        ordered = by_fitness(layer.candidates)
        json_data([candidate_record(each, layer.shape) for each in ordered])
    else:
        from autospace.cli.tables import print_layer

        print_layer(layer, reference, source)


def _show_network(
    value: "Space | Architecture",
    name: str,
    source: str,
    format_: str,
    svg: Path | None,
    force: bool,
) -> None:
    from autospace.spaces import Space

    if svg is not None:
        from autospace.exporters.svg import network_svg

        _write(svg, network_svg(value, name), force)
    elif format_ == "json":
        from autospace.cli.summary import architecture_record, space_record

        if isinstance(value, Space):
            json_data(space_record(value))
        else:
            json_data(architecture_record(value, name))
    else:
        from autospace.cli.tables import print_architecture, print_space

        if isinstance(value, Space):
            print_space(value, source)
        else:
            print_architecture(value, name, source)


def _write(path: Path, text: str, force: bool) -> None:
    write_new(path, text, force=force)
    message(f"wrote {path}")
