"""The winner of an Optuna study: `best_params`, or what `optuna best-trial -f json` prints."""

from autospace.importers.client_results import chosen
from autospace.importers.target import Target
from autospace.spaces import Architecture


def read(text: str, target: Target) -> Architecture:
    """The architecture that the parameters of a trial name.

    Raises:
        SpaceError: see `chosen`.
    """
    return chosen(text, target, "params")
