"""The winner of an NNI experiment: a sample, `parameter.cfg` of a trial, or an exported result."""

from autospace.importers.client_results import chosen
from autospace.importers.target import Target
from autospace.spaces import Architecture


def read(text: str, target: Target) -> Architecture:
    """The architecture that the parameters of a trial name.

    Raises:
        SpaceError: see `chosen`.
    """
    return chosen(text, target, "parameters", "parameter")
