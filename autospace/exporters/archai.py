"""A space as a Python module for archai."""

from typing import Final

from autospace.exporters.python_text import MADDS_OF_CHOICES, space_data
from autospace.spaces import Space

_OPENING: Final = '''\
"""A search space for archai, written by `autospace export --to archai`.

Example:
    space = search_space(Network)  # a torch module that is made from an ArchConfig
    model = space.random_sample()
    model.arch  # a Network
"""

from collections.abc import Callable

from archai.discrete_search.search_spaces.config import (
    ArchConfig,
    ArchParamTree,
    ConfigSearchSpace,
    DiscreteChoice,
)
from torch import nn

'''

_CLOSING: Final = '''

def search_space(
    make: Callable[[ArchConfig], nn.Module],
    seed: int = 0,
) -> ConfigSearchSpace:
    """One choice per layer; `make` has to read all of them, as `choices_of` does."""
    choices = {layer: DiscreteChoice(list(cells)) for layer, cells in MADDS.items()}
    return ConfigSearchSpace(make, ArchParamTree(choices), seed=seed)


def choices_of(config: ArchConfig) -> dict[str, str]:
    """The architecture that archai wants: `{"layer_00": "cell id", ...}`."""
    return {layer: config.pick(layer) for layer in MADDS}
'''


def export_space(space: Space) -> str:
    """A module that makes archai's search space from the user's network."""
    return _OPENING + space_data(space) + _CLOSING + MADDS_OF_CHOICES
