"""Writes a space as a Python module for Syne Tune, neps and Ax; see also `python_clients`."""

from typing import Final

from autospace.exporters.python_clients import cost_of_choices, space_data
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
    """A module with the configuration space, and the cost of its architectures."""
    return _SYNE_TUNE_OPENING + space_data(space) + _SYNE_TUNE_CLOSING + cost_of_choices(space)


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
    """A module with the pipeline space, and the cost of its architectures."""
    # neps refuses a categorical with one choice; a constant reaches the function, too.
    layers = [
        f'    {layer.shape.name} = neps.Categorical(choices=tuple(MADDS["{layer.shape.name}"]))\n'
        if len(layer.candidates) > 1
        else f'    {layer.shape.name} = next(iter(MADDS["{layer.shape.name}"]))\n'
        for layer in space.layers
    ]
    body = "".join(layers)
    return _NEPS_OPENING + space_data(space) + _NEPS_CLOSING + body + cost_of_choices(space)


_AX_OPENING: Final = '''\
"""A search space for Ax, written by `autospace export --to ax`.

Example:
    client = Client()  # of ax.api.client
    client.configure_experiment(parameters=parameters())
    client.configure_optimization(objective="-error")
    for index, choices in client.get_next_trials(max_trials=1).items():
        client.complete_trial(index, raw_data={"error": error_of(choices)})
"""

from ax.api.configs import ChoiceParameterConfig

'''

_AX_CLOSING: Final = '''

def parameters() -> list[ChoiceParameterConfig]:
    """One unordered choice per layer, among the ids of its cells."""
    return [
        ChoiceParameterConfig(
            name=layer, values=list(cells), parameter_type="str", is_ordered=False
        )
        for layer, cells in MADDS.items()
    ]
'''


def to_ax(space: Space) -> str:
    """A module with the parameters of an experiment, and the cost of its architectures."""
    return _AX_OPENING + space_data(space) + _AX_CLOSING + cost_of_choices(space)
