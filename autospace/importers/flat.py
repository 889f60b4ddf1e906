"""An architecture in the flat form, as `autospace sample` and `autospace show` print it."""

from autospace.importers.client_results import chosen
from autospace.importers.target import Target
from autospace.spaces import Architecture


def read(text: str, target: Target) -> Architecture:
    """The architecture that `{"layer_03": "cell id", ...}` names.

    Raises:
        SpaceError: see `chosen`.
    """
    return chosen(text, target, "architecture", "choices")
