"""Writes a space as a Python module for tools that are configured in Python.

There is one function per tool. The source has the layout that a formatter would give it. Names
from files enter generated code only as string literals, which `literal` makes.
"""

from collections.abc import Mapping
from typing import Final, Literal

from autospace.spaces import FAMILIES, Space
from autospace.spaces.cells.operations import BITS
from autospace.spaces.cost import fixed_cost
from autospace.spaces.text import visible

_MADDS: Final = '''

def madds(choices: dict[str, str]) -> int:
    """Multiply-accumulates of the architecture that the choices make."""
    return FIXED_MADDS + sum(MADDS[layer][cell] for layer, cell in choices.items())
'''
_OPS: Final = f'''

def bops(choices: dict[str, str]) -> int:
    """Binary operations of the architecture that the choices make."""
    return FIXED_BOPS + sum(BOPS[layer][cell] for layer, cell in choices.items())


def ops(choices: dict[str, str]) -> float:
    """OPs, by which binary networks are compared: MAdds and a 64th of the binary operations."""
    return madds(choices) + bops(choices) / {BITS}
'''


def cost_of_choices(space: Space) -> str:
    """The functions of a generated module that say what an architecture costs."""
    return _MADDS + _OPS if FAMILIES[space.kind].binary else _MADDS


def literal(text: str) -> str:
    """A string literal, in the quotes that need fewer escapes; what is invisible is escaped."""
    escaped = visible(text.replace("\\", "\\\\"))
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + escaped.replace(quote, f"\\{quote}") + quote


def _table(name: str, rows: Mapping[str, Mapping[str, int]]) -> str:
    """The assignment of a dict of dicts, one entry a line."""
    lines = [f"{name}: dict[str, dict[str, int]] = {{"]
    for key, row in rows.items():
        lines.append(f"    {literal(key)}: {{")
        lines.extend(f"        {literal(inner)}: {value}," for inner, value in row.items())
        lines.append("    },")
    return "\n".join([*lines, "}\n"])


def space_data(space: Space) -> str:
    """The data in every generated module of a space: its name, and the costs of its cells.

    The ids of the candidates are the keys of `MADDS`, layer by layer; binary cells have `BOPS` too.
    """
    fixed = fixed_cost(space.skeleton)
    text = (
        f"NAME = {literal(space.name)}\n\n"
        "# Multiply-accumulates of one image: stem and head, and each cell of each layer.\n"
        f"FIXED_MADDS = {fixed.madds}\n"
        f"{_table('MADDS', _costs(space, 'madds'))}"
    )
    if not FAMILIES[space.kind].binary:
        return text
    return (
        f"{text}\n# Binary operations of one image, likewise.\n"
        f"FIXED_BOPS = {fixed.bops}\n"
        f"{_table('BOPS', _costs(space, 'bops'))}"
    )


def _costs(space: Space, unit: Literal["madds", "bops"]) -> dict[str, dict[str, int]]:
    """Per layer, the cost of every candidate."""
    return {
        layer.shape.name: {
            candidate.id: cost.whole(unit)
            for candidate, cost in zip(layer.candidates, layer.costs, strict=True)
        }
        for layer in space.layers
    }


_NEVERGRAD_OPENING: Final = '''\
"""A search space for nevergrad, written by `autospace export --to nevergrad`.

Example:
    optimizer = nevergrad.optimizers.DiscreteOnePlusOne(parametrization(), 100)
    best = optimizer.minimize(loss)  # from {"layer_00": "cell id", ...} to a number
    best.value  # the choices of the best architecture
"""

import nevergrad as ng

'''


_NEVERGRAD_CLOSING: Final = '''

def parametrization() -> ng.p.Dict:
    """One choice per layer, among the ids of its cells."""
    choices = {layer: ng.p.Choice(list(cells)) for layer, cells in MADDS.items()}
    return ng.p.Dict(**choices)
'''


def to_nevergrad(space: Space) -> str:
    """A module with the parametrization, and the cost of its architectures."""
    return _NEVERGRAD_OPENING + space_data(space) + _NEVERGRAD_CLOSING + cost_of_choices(space)


_PYMOO_OPENING: Final = '''\
"""A search space for pymoo, written by `autospace export --to pymoo`.

Example:
    problem = LearnedSpace(error)  # from {"layer_00": "cell id", ...} to a number
    result = pymoo.optimize.minimize(problem, algorithm(), ("n_gen", 20), seed=0)
    result.X, result.F  # the architectures on the front; their errors and MAdds
"""

from collections.abc import Callable
from typing import Any

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.mixed import (
    MixedVariableDuplicateElimination,
    MixedVariableMating,
    MixedVariableSampling,
)
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Choice

'''


_PYMOO_CLOSING: Final = '''

class LearnedSpace(ElementwiseProblem):
    """One choice per layer; both objectives, the error and the MAdds, are minimised."""

    def __init__(self, error: Callable[[dict[str, str]], float]) -> None:
        self.error = error
        choices = {layer: Choice(options=list(cells)) for layer, cells in MADDS.items()}
        super().__init__(vars=choices, n_obj=2)

    def _evaluate(self, x: Any, out: Any, *args: Any, **kwargs: Any) -> None:
        choices = {layer: str(x[layer]) for layer in MADDS}
        out["F"] = [self.error(choices), madds(choices)]


def algorithm(pop_size: int = 20) -> NSGA2:
    """NSGA-II with the operators that choices need."""
    unique = MixedVariableDuplicateElimination()
    return NSGA2(
        pop_size=pop_size,
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=unique),
        eliminate_duplicates=unique,
    )
'''


def to_pymoo(space: Space) -> str:
    """A module with the problem, error against cost, and an algorithm that fits it.

    The cost is in MAdds, and in OPs where cells are binary.
    """
    text = _PYMOO_OPENING + space_data(space) + _PYMOO_CLOSING
    if FAMILIES[space.kind].binary:
        text = text.replace("errors and MAdds", "errors and OPs").replace("the MAdds", "the OPs")
        text = text.replace("madds(choices)]", "ops(choices)]")
    return text + cost_of_choices(space)


_ARCHAI_OPENING: Final = '''\
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


_ARCHAI_CLOSING: Final = '''

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


def to_archai(space: Space) -> str:
    """A module that makes archai's search space from the user's network."""
    return _ARCHAI_OPENING + space_data(space) + _ARCHAI_CLOSING + cost_of_choices(space)


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
