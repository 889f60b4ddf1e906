"""`autospace spaces`, `schema`, `init`, `doctor`: what comes with the program and what works."""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from autospace.cli.options import PRESETS, Format, Overwrite, choices
from autospace.cli.output import FAILED, data, json_data, rich_data, write_new

if TYPE_CHECKING:
    from autospace.spaces import Space


def spaces(format_: Format = "table") -> None:
    """List the built-in search spaces."""
    from autospace.spaces import builtin_names, load

    found = [load(name) for name in builtin_names()]
    if format_ == "json":
        json_data([_record(space) for space in found])
    else:
        _print_table(found)


def schema(
    kind: Annotated[
        Literal["space", "architecture", "skeleton", "table"],
        typer.Argument(help="Kind of the file."),
    ] = "space",
) -> None:
    """Print the JSON Schema of a file format."""
    if kind == "table":
        from autospace.evaluators.tabular import table_schema

        json_data(table_schema())
        return
    from autospace.spaces import json_schema

    json_data(json_schema(f"autospace.{kind}"))


def _record(space: "Space") -> dict[str, Any]:
    from autospace.cli.display.summary import ranges, size_log10

    return {
        "name": space.name,
        "skeleton": space.skeleton.name,
        "layers": len(space.layers),
        "candidates": sum(len(layer.candidates) for layer in space.layers),
        "log10_architectures": size_log10(space),
        **ranges(space),
        "description": _family_description(space),
        "skeleton_description": space.skeleton.description,
    }


def _print_table(found: list["Space"]) -> None:
    from rich.table import Table
    from rich.text import Text

    from autospace.cli.display.summary import magnitude, span

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("space", no_wrap=True)
    for heading in ("layers", "cells", "networks", "MAdds", "params"):
        table.add_column(heading, justify="right", no_wrap=True)
    for space in found:
        costs = [span(each, "-") for each in (space.madds, space.params)]
        candidates = sum(len(layer.candidates) for layer in space.layers)
        row = (space.name, len(space.layers), candidates, magnitude(space), *costs)
        table.add_row(*map(str, row))
    parts: list[Table | Text | str] = [table]
    families = {space.name.partition("@")[0]: _family_description(space) for space in found}
    skeletons = {space.skeleton.name: space.skeleton.description for space in found}
    for heading, described in (("cells", families), ("skeletons", skeletons)):
        notes = Table.grid(padding=(0, 2, 0, 0))
        for name, text in described.items():
            notes.add_row(name, text)
        parts.extend(["", Text(heading, style="bold"), notes])
    rich_data(*parts, "", Text(f"next: autospace show {found[1].name}", style="dim"))


def _family_description(space: "Space") -> str:
    return str(space.provenance.get("source", ""))


def init(
    file: Annotated[Path, typer.Argument(help="File to write; - means stdout.")] = Path(
        "autospace.toml"
    ),
    preset: Annotated[
        str, typer.Option(help="Preset whose settings are written.", **choices(*PRESETS))
    ] = "demo",
    force: Overwrite = False,
) -> None:
    """Write a configuration file to start from.

    The file holds all settings of a preset; evolve --config reads it.
    """
    from autospace.evolution.settings import NEEDS_DATA, make_config
    from autospace.evolution.settings import preset as settings_of
    from autospace.runs.settings import to_toml

    text = to_toml(make_config(settings_of(preset)))
    if preset in NEEDS_DATA:
        text = text.replace('source = "digits"', f'source = "{NEEDS_DATA[preset]}"')
    if str(file) == "-":
        data(text)
        return
    write_new(file, text, force=force)
    data(f"wrote {file}; edit it, then: autospace evolve --config {file} --out runs/mine")


REQUIRED = ("torch", "numpy", "deap", "pydantic", "pillow", "safetensors", "typer", "rich")
OPTIONAL = {"matplotlib": "plots of the benchmarks"}


def doctor(format: Format = "table") -> None:
    """Show what is installed and which devices can be used.

    The exit code is 1 if a required package is missing.
    """
    packages = {name: _version(name) for name in (*REQUIRED, *OPTIONAL)}
    missing = [name for name in REQUIRED if packages[name] is None]
    devices = _devices() if packages["torch"] else {}
    kernels = _kernels() if packages["torch"] else "PyTorch's"
    own = _version("autospace")
    found = {
        "autospace": own,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "devices": devices,
        "kernels": kernels,
        "missing": missing,
    }
    if format == "json":
        json_data(found)
    else:
        data(_text(own, packages, devices | {"kernels": kernels}))
    if missing:
        raise typer.Exit(FAILED)


def _text(own: str | None, packages: dict[str, str | None], devices: dict[str, str]) -> str:
    lines = [
        f"autospace     {own}",
        f"python        {platform.python_version()} on {platform.system()} {platform.machine()}",
    ]
    for name, version in packages.items():
        purpose = OPTIONAL.get(name)
        state = version or (f"missing; needed for {purpose}" if purpose else "MISSING")
        lines.append(f"{name:<13} {state}")
    lines += [f"{name:<13} {described}" for name, described in devices.items()]
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _kernels() -> str:
    from autospace.networks.fused import described

    return described()


def _devices() -> dict[str, str]:
    import torch

    devices = {"cpu": f"{torch.get_num_threads()} threads, {sys.byteorder}-endian"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory // 2**30
        devices[f"cuda:{index}"] = f"{properties.name}, {memory} GiB"
    return devices
