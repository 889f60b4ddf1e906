"""A configuration of ConfigSpace, `dict(configuration)` as JSON; SMAC and neps hand on the same."""

from autospace.importers.client_results import chosen
from autospace.importers.target import Target
from autospace.spaces import Architecture


def read(text: str, target: Target) -> Architecture:
    """The architecture that a configuration names.

    Raises:
        SpaceError: see `chosen`.
    """
    return chosen(text, target, "config")
