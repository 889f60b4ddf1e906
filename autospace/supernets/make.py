"""Which ways of training a supernet there are, by name."""

from collections.abc import Callable
from typing import Final

from autospace.supernets.alignment import Aligned
from autospace.supernets.magic import Walk
from autospace.supernets.path_training import Fair, MaddsUniform, PathTraining, Uniform
from autospace.supernets.shared_weights import SharedWeights

PATH_TRAININGS: Final[dict[str, Callable[[SharedWeights], PathTraining]]] = {
    "uniform": Uniform,
    "fair": Fair,
    "madds-uniform": MaddsUniform,
    "magic-t": Walk,
    "magic-a": lambda weights: Aligned(Uniform(weights)),
    "magic-at": lambda weights: Aligned(Walk(weights)),
}


def make_path_training(weights: SharedWeights) -> PathTraining:
    """The training that the settings of a search name."""
    return PATH_TRAININGS[weights.problem.config.supernet.training](weights)
