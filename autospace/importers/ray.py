"""The winner of Ray Tune: `params.json` of a trial, or a result with its `config`."""

from autospace.importers.client_results import chosen
from autospace.importers.target import Target
from autospace.spaces import Architecture


def read(text: str, target: Target) -> Architecture:
    """The architecture that the configuration of a trial names.

    Raises:
        SpaceError: see `chosen`.
    """
    return chosen(text, target, "config")
