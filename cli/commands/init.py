"""`autospace init`: a configuration file to start from."""

from pathlib import Path
from typing import Annotated

import typer

from autospace.cli.output import data, write_new


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it; - for stdout.")] = Path(
        "autospace.toml"
    ),
    preset: Annotated[str, typer.Option(help="Whose settings to write.")] = "demo",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a configuration file to start from.

    It holds every setting of a preset, for evolve --config.
    """
    from autospace.evolution.presets import NEEDS_DATA
    from autospace.runs.settings import make_config, to_toml
    from autospace.runs.settings import preset as settings_of

    text = to_toml(make_config(settings_of(preset)))
    if preset in NEEDS_DATA:
        wanted = NEEDS_DATA[preset].removeprefix("--data ")
        text = text.replace('source = "digits"', f'source = "{wanted}"')
    if str(file) == "-":
        data(text)
        return
    write_new(file, text, force=force)
    data(f"{file} written; edit it, then: autospace evolve --config {file} --out runs/mine")
