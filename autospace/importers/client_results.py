"""Reads an architecture from the result of another tool."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from autospace.importers.target import Target
from autospace.spaces import Architecture, SpaceError
from autospace.spaces.errors import located, shown
from autospace.spaces.files.reading import parse_json

WRAPPERS: Final[dict[str, tuple[str, ...]]] = {
    "flat": ("architecture", "choices"),
    "optuna": ("params",),
    "nni": ("parameters", "parameter"),
    "configspace": ("config",),
    "ray": ("config",),
}
"""Tool -> the keys under which its results hold the flat form `{"layer_03": "cell id"}`.

* `flat`: what `autospace sample` and `autospace show` print.
* `optuna`: `best_params`, or what `optuna best-trial -f json` prints.
* `nni`: a sample, `parameter.cfg` of a trial, or an exported result.
* `configspace`: `dict(configuration)` as JSON; SMAC and neps hand on the same.
* `ray`: `params.json` of a trial, or a result with its `config`.
"""


def reader(tool: str) -> Callable[[str, Target], Architecture]:
    """The function that reads the results of a tool in `WRAPPERS`."""
    return partial(chosen, wrappers=WRAPPERS[tool])


def chosen(text: str, target: Target, wrappers: Sequence[str] = ()) -> Architecture:
    """The architecture of the space that the flat form in a file names.

    Args:
        text: JSON: the flat form, an object that has it under one of the wrappers, or a list of
            one such value.
        target: has the space.
        wrappers: keys under which the tool puts the flat form.

    Raises:
        SpaceError: not such a file, no space given, an unknown layer or cell, or a missing layer.
    """
    value, path = parse_json(text), ""
    if isinstance(value, list):
        if len(value) != 1:
            raise SpaceError(
                "", f"a list of {len(value)} values; allowed: a list of one architecture"
            )
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


def read_pyglove(text: str, target: Target) -> Architecture:
    """The architecture that a list of indices, a DNA of pyglove, or the value of one names.

    Raises:
        SpaceError: not such a point, an index out of range, or a missing layer; see also `chosen`.
    """
    value = parse_json(text)
    if isinstance(value, dict) and str(value.get("_type", "")).endswith("DNA"):
        value = value.get("value")
        # A space of one layer has a bare number for its DNA.
        value = value if isinstance(value, list) else [value]
    if not isinstance(value, list):
        return chosen(text, target)
    layers = target.given_space.layers
    if len(value) != len(layers):
        raise SpaceError(
            "", f"{len(value)} indices; allowed: {len(layers)}, one per layer of the space"
        )
    choices = {}
    for layer, index in zip(layers, value, strict=True):
        last = len(layer.candidates) - 1
        if type(index) is not int or not 0 <= index <= last:
            raise SpaceError(layer.shape.name, f"index {shown(index)}; allowed: 0 to {last}")
        choices[layer.shape.name] = layer.candidates[index].id
    return target.given_space.architecture(choices)
