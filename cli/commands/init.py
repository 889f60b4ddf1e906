"""`autospace init`: all settings of a preset in a file, each with what it means."""

import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import typer

from autospace.cli.options import PRESETS, Overwrite, choices
from autospace.cli.output import data, write_new
from autospace.spaces.text import visible

WIDTH: Final = 80


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

    The file holds all settings of a preset, and what each means; evolve --config reads it.
    """
    from autospace.evolution.settings import NEEDS_DATA, make_config
    from autospace.evolution.settings import preset as settings_of
    from autospace.runs.settings import to_toml

    text = commented(to_toml(make_config(settings_of(preset))), meanings())
    if preset in NEEDS_DATA:
        text = text.replace('source = "digits"', f'source = "{NEEDS_DATA[preset]}"')
    if write_new(file, text, force=force):
        command = f"autospace evolve --config {shlex.quote(str(file))} --out runs/mine"
        data(visible(f"wrote {file}; edit it, then: {command}"))


def meanings() -> dict[str, str]:
    """By dotted name, what each setting of `evolve` means; docs/reference/settings.md says so."""
    text = (resources.files("autospace.evolution") / "meanings.json").read_text("utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def commented(toml: str, meaning: Mapping[str, str]) -> str:
    """The settings with a comment before each; those that are absent are comments alone.

    Args:
        toml: settings in sections, one a line.
        meaning: of each, by its dotted name.
    """
    absent = dict(meaning)
    lines: list[str] = []
    section = ""
    for line in toml.splitlines():
        heading = re.fullmatch(r"\[(.*)\]", line)
        if heading:
            lines += _absent(section, absent)
            section = f"{heading[1]}."
            lines += ["", line]
        elif line:
            name = f"{section}{line.partition(' = ')[0]}"
            lines += [*_comment(absent.pop(name, "")), line]
    lines += _absent(section, absent)
    return "\n".join(lines) + "\n"


def _absent(section: str, left: Mapping[str, str]) -> Iterator[str]:
    """The settings of a section that have no value, as comments."""
    for name, text in left.items():
        own, key = name.rpartition(".")[::2]
        if f"{own}." == section and own:
            yield from _comment(text)
            yield f"# {key} ="


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, WIDTH - 2, break_on_hyphens=False)]
