"""Writes a space as a Python module for Syne Tune and neps; see also `python_clients`."""

from typing import Final

from autospace.exporters.python_clients import MADDS_OF_CHOICES, space_data
from autospace.spaces import Space

_SYNE_TUNE_OPENING: Final = '''\
"""A search space for Syne Tune, written by `autospace export --to syne-tune`.

Example:
    space = config_space()  # add what else is tuned: {**space, "epochs": 10}
    scheduler = RandomSearch(space, metrics=["error"])
"""

from typing import Any

from syne_tune.config_space import choice

'''

_SYNE_TUNE_CLOSING: Final = '''

def config_space() -> dict[str, Any]:
    """One choice per layer, among the ids of its cells; a layer with one cell is a constant."""
    ids = {layer: list(cells) for layer, cells in MADDS.items()}
    return {
        layer: choice(each) if len(each) > 1 else each[0] for layer, each in ids.items()
    }
'''


def to_syne_tune(space: Space) -> str:
    """A module with the configuration space, and the MAdds of its architectures."""
    return _SYNE_TUNE_OPENING + space_data(space) + _SYNE_TUNE_CLOSING + MADDS_OF_CHOICES


_NEPS_OPENING: Final = '''\
"""A search space for neps, written by `autospace export --to neps`.

Example:
    def evaluate(**choices: str) -> float: ...  # layer_00="cell id", ...

    neps.run(evaluate, LearnedSpace(), root_directory="results", total_evaluations_to_spend=50)
"""

import neps

'''

_NEPS_CLOSING: Final = '''

class LearnedSpace(neps.PipelineSpace):
    """One choice per layer, among the ids of its cells."""

'''


def to_neps(space: Space) -> str:
    """A module with the pipeline space, and the MAdds of its architectures."""
    # neps refuses a categorical with one choice; a constant reaches the function, too.
    layers = [
        f'    {layer.shape.name} = neps.Categorical(choices=tuple(MADDS["{layer.shape.name}"]))\n'
        if len(layer.candidates) > 1
        else f'    {layer.shape.name} = next(iter(MADDS["{layer.shape.name}"]))\n'
        for layer in space.layers
    ]
    body = "".join(layers)
    return _NEPS_OPENING + space_data(space) + _NEPS_CLOSING + body + MADDS_OF_CHOICES
