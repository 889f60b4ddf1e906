"""From the text a user gives to one architecture."""

import os
from pathlib import Path

from autospace.spaces.errors import SpaceError
from autospace.spaces.files.library import load_any
from autospace.spaces.files.reading import parse_json, read_text
from autospace.spaces.space import Architecture, Space


def load_architecture(source: str | Path, space: Space | None = None) -> Architecture:
    """An architecture: a file of one, a flat `{"layer_03": "cell id"}`, or a space of just one.

    Args:
        source: path of a file, or whatever `load_any` takes.
        space: what the ids of a flat file refer to.

    Raises:
        SpaceError: nothing there, not valid, a flat file without a space, or a choice left open.
    """
    if os.path.isfile(source) and Path(source).suffix != ".toml":
        try:
            choices = parse_json(read_text(Path(source)))
            if isinstance(choices, dict) and "format" not in choices:
                return _chosen(choices, space)
        except SpaceError as error:
            raise SpaceError(str(source), str(error)) from None
    value = load_any(source)
    if isinstance(value, Architecture):
        return value
    if value.size > 1:
        problem = f"a space of {value.size:,} architectures; allowed: one architecture"
        raise SpaceError(str(source), f"{problem} (autospace sample draws some)")
    return value.architecture({layer.shape.name: layer.candidates[0].id for layer in value.layers})


def _chosen(choices: dict[str, str], space: Space | None) -> Architecture:
    if space is None:
        raise SpaceError("", "cell ids without their space; name it with --space")
    return space.architecture(choices)
