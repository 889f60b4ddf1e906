"""Writes a space as a Python module for tools that are configured in Python.

There is one function per tool. The source has the layout that a formatter would give it. Names
from files enter generated code only as string literals, which `literal` makes.
"""

from collections.abc import Mapping
from typing import Final

from autospace.spaces import Space
from autospace.spaces.cost import fixed_cost
from autospace.spaces.text import visible

MADDS_OF_CHOICES: Final = '''

def madds(choices: dict[str, str]) -> int:
    """Multiply-accumulates of the architecture that the choices make."""
    return FIXED_MADDS + sum(MADDS[layer][cell] for layer, cell in choices.items())
'''


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
    """The data in every generated module of a space: its name, and the MAdds of its cells.

    The ids of the candidates are the keys of `MADDS`, layer by layer.
    """
    madds = {
        layer.shape.name: {
            candidate.id: cost.madds
            for candidate, cost in zip(layer.candidates, layer.costs, strict=True)
        }
        for layer in space.layers
    }
    return (
        f"NAME = {literal(space.name)}\n\n"
        "# Multiply-accumulates of one image: stem and head, and each cell of each layer.\n"
        f"FIXED_MADDS = {fixed_cost(space.skeleton).madds}\n"
        f"{_table('MADDS', madds)}"
    )


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
    """A module with the parametrization, and the MAdds of its architectures."""
    return _NEVERGRAD_OPENING + space_data(space) + _NEVERGRAD_CLOSING + MADDS_OF_CHOICES


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
    """A module with the problem, error against MAdds, and an algorithm that fits it."""
    return _PYMOO_OPENING + space_data(space) + _PYMOO_CLOSING + MADDS_OF_CHOICES


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
    return _ARCHAI_OPENING + space_data(space) + _ARCHAI_CLOSING + MADDS_OF_CHOICES
