"""`autospace show`: a space, an architecture, one of their layers, or one of their cells."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autospace.cli.options import Format, OneArchitecture, Overwrite, SpaceSource, architecture_of
from autospace.cli.output import InputError, json_data, message, write_new
from autospace.spaces.errors import offered

if TYPE_CHECKING:
    from autospace.evolution.folder import ReferenceDocument
    from autospace.spaces import Architecture, Candidate, Layer, Space


def show(
    space: Annotated[str, typer.Argument(help=SpaceSource)],
    architecture: OneArchitecture = None,
    layer: Annotated[
        str | None, typer.Option(help="Show the candidates of this layer: its name or index.")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="Show the cell with this id.")] = None,
    format_: Format = "table",
    svg: Annotated[
        Path | None, typer.Option(help="Write a picture to this file instead of text.")
    ] = None,
    force: Overwrite = False,
) -> None:
    """Show a space, a layer, a cell or an architecture."""
    if svg is not None and format_ != "table":
        raise InputError("--format: text is not shown with --svg; allowed: one of the two")
    shown = _shown(space, architecture)
    output = _Output(format_, svg, force)
    place = _layer(shown, layer) if layer is not None else None
    if cell is not None:
        place, candidate = _candidate(shown, place, cell)
        _show_cell(shown, place, candidate, output)
    elif place is not None:
        _show_layer(shown, place, output)
    else:
        _show_network(shown, output)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What to show, its title, its words on the command line, and the space behind it."""

    value: "Space | Architecture"
    name: str
    command: tuple[str, ...]
    space: "Space | None"

    def reference(self, layer: "Layer") -> "Candidate | None":
        """The reference candidate of a layer of this name, if one is known."""
        if self.space is None or not self.space.reference:
            return None
        found = next(each for each in self.space.layers if each.shape.name == layer.shape.name)
        return found.by_id[self.space.reference[layer.shape.name]]


@dataclass(frozen=True, slots=True)
class _Output:
    """How to show it."""

    format: str
    svg: Path | None
    force: bool

    def write(self, text: str) -> None:
        """Writes the picture."""
        if self.svg is not None and write_new(self.svg, text, force=self.force):
            message(f"wrote {self.svg}")


def _shown(source: str, architecture: str | None) -> _Shown:
    from autospace.spaces import Space, load_any

    value = load_any(source)
    known = value if isinstance(value, Space) else None
    if architecture is None:
        name = known.name if known is not None else Path(source).stem
        return _Shown(value, name, ("show", source), known)
    one = architecture_of(value, source, architecture)
    command = ("show", source, "--architecture", architecture)
    return _Shown(one, Path(architecture).stem, command, known)


def _layer(shown: _Shown, wanted: str) -> "Layer":
    from autospace.spaces.space import layers_of

    layers = layers_of(shown.value)
    for index, layer in enumerate(layers):
        if wanted in (layer.shape.name, str(index)):
            return layer
    names = f"{layers[0].shape.name} to {layers[-1].shape.name}, or 0 to {len(layers) - 1}"
    raise InputError(f"--layer {wanted[:40]!r}: no such layer; allowed: {names}")


def _candidate(shown: _Shown, place: "Layer | None", wanted: str) -> tuple["Layer", "Candidate"]:
    """The candidate of this id; without a layer, it must mean the same cell wherever it stands."""
    from autospace.spaces.space import layers_of

    layers = layers_of(shown.value) if place is None else (place,)
    found = [layer for layer in layers if wanted in layer.by_id]
    if not found:
        where = "any layer" if place is None else place.shape.name
        ids = dict.fromkeys(each for layer in layers for each in layer.by_id)
        some = f"{', '.join(list(layers[0].by_id)[:12])} in {layers[0].shape.name}"
        raise InputError(f"--cell {wanted[:40]!r}: not in {where}; {offered(wanted, ids, some)}")
    if len({layer.by_id[wanted].cell for layer in found}) > 1:
        names = ", ".join(layer.shape.name for layer in found)
        raise InputError(f"--cell {wanted!r}: differs between {names}; choose one with --layer")
    return found[0], found[0].by_id[wanted]


def _show_cell(shown: _Shown, layer: "Layer", candidate: "Candidate", output: _Output) -> None:
    if output.svg is not None:
        from autospace.exporters.svg import cell_svg

        output.write(cell_svg(candidate, layer.shape))
    elif output.format == "json":
        from autospace.cli.display.summary import candidate_record

        reference = shown.reference(layer)
        record = candidate_record(candidate, layer.shape, reference)
        json_data({"layer": layer.shape.name, **record})
    else:
        from autospace.cli.display.tables import print_cell

        print_cell(layer, candidate, shown.reference(layer))


def _show_layer(shown: _Shown, layer: "Layer", output: _Output) -> None:
    reference = shown.reference(layer)
    if output.svg is not None:
        from autospace.exporters.svg import layer_svg

        output.write(layer_svg(layer, None if reference is None else reference.id))
    elif output.format == "json":
        from autospace.cli.display.summary import candidate_record
        from autospace.spaces.space import by_fitness

        ordered = by_fitness(layer.candidates)
        json_data([candidate_record(each, layer.shape, reference) for each in ordered])
    else:
        from autospace.cli.display.tables import print_layer

        print_layer(layer, reference, shown.command)


def _show_network(shown: _Shown, output: _Output) -> None:
    from autospace.spaces import Space

    value = shown.value
    if output.svg is not None:
        from autospace.exporters.svg import network_svg

        output.write(network_svg(value, shown.name))
    elif output.format == "json":
        from autospace.cli.display.summary import architecture_record, space_record

        if isinstance(value, Space):
            found = _reference(shown)
            more = {"reference_network": found.model_dump()} if found else {}
            json_data({**space_record(value), **more})
        else:
            json_data(architecture_record(value, shown.name))
    else:
        from autospace.cli.display.tables import print_architecture, print_space

        if isinstance(value, Space):
            found = _reference(shown)
            remarks = (f"reference: {found.described}", *found.warnings) if found else ()
            print_space(value, shown.command[-1], remarks)
        else:
            print_architecture(value, shown.name, shown.command, shown.space)


def _reference(shown: _Shown) -> "ReferenceDocument | None":
    """How good the reference network is, if the space is that of a run."""
    path = Path(shown.command[-1])
    if not path.exists():
        return None
    from autospace.evolution.folder import SPACE, read_reference

    if path.is_file() and path.name != SPACE:
        return None
    return read_reference(path if path.is_dir() else path.parent)
