"""The flat form `{"layer_03": "cell id"}` out of the JSON that clients wrap it in."""

from autospace.importers.target import Target
from autospace.spaces import Architecture, SpaceError
from autospace.spaces.errors import located, shown
from autospace.spaces.files.reading import parse_json


def chosen(text: str, target: Target, *wrappers: str) -> Architecture:
    """The architecture of the space that the flat form in a file names.

    Args:
        text: JSON: the flat form, an object that has it under one of the wrappers, or a list of
            one such value.
        target: has the space.
        wrappers: keys under which this client puts the flat form.

    Raises:
        SpaceError: no such file, no space given, an unknown layer or cell, or a missing layer.
    """
    value, path = parse_json(text), ""
    if isinstance(value, list):
        if len(value) != 1:
            raise SpaceError("", f"a list of {len(value)}; allowed: one architecture")
        value, path = value[0], "[0]"
    for key in wrappers:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value, path = value[key], f"{path}.{key}" if path else key
            break
    if not isinstance(value, dict):
        raise SpaceError(path, f"{shown(value)}; allowed: an object of layers and cell ids")
    space = target.given_space
    with located(path):
        return space.architecture(value)
