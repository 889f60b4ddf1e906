"""A space as a Python module for nevergrad."""

from typing import Final

from autospace.exporters.python_text import MADDS_OF_CHOICES, space_data
from autospace.spaces import Space

_OPENING: Final = '''\
"""A search space for nevergrad, written by `autospace export --to nevergrad`.

Example:
    optimizer = nevergrad.optimizers.DiscreteOnePlusOne(parametrization(), 100)
    best = optimizer.minimize(loss)  # from {"layer_00": "cell id", ...} to a number
    best.value  # the choices of the best architecture
"""

import nevergrad as ng

'''

_CLOSING: Final = '''

def parametrization() -> ng.p.Dict:
    """One choice per layer, among the ids of its cells."""
    choices = {layer: ng.p.Choice(list(cells)) for layer, cells in MADDS.items()}
    return ng.p.Dict(**choices)
'''


def export_space(space: Space) -> str:
    """A module with the parametrization, and the MAdds of its architectures."""
    return _OPENING + space_data(space) + _CLOSING + MADDS_OF_CHOICES
