"""A point of pyglove: a list of indices, a DNA as `pg.to_json_str` writes it, or its value."""

from autospace.importers.client_results import chosen
from autospace.importers.target import Target
from autospace.spaces import Architecture, SpaceError
from autospace.spaces.errors import shown
from autospace.spaces.files.reading import parse_json


def read(text: str, target: Target) -> Architecture:
    """The architecture whose candidates stand at these indices of their layers.

    Raises:
        SpaceError: no such point, an index out of range, or a missing layer; see also `chosen`.
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
        raise SpaceError("", f"{len(value)} indices, but the space has {len(layers)} layers")
    choices = {}
    for layer, index in zip(layers, value, strict=True):
        last = len(layer.candidates) - 1
        if type(index) is not int or not 0 <= index <= last:
            raise SpaceError(layer.shape.name, f"index {shown(index)}; allowed: 0 to {last}")
        choices[layer.shape.name] = layer.candidates[index].id
    return target.given_space.architecture(choices)
