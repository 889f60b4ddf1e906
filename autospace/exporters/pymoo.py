"""A space as a Python module for pymoo."""

from typing import Final

from autospace.exporters.python_text import MADDS_OF_CHOICES, space_data
from autospace.spaces import Space

_OPENING: Final = '''\
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

_CLOSING: Final = '''

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


def export_space(space: Space) -> str:
    """A module with the problem, error against MAdds, and an algorithm that fits it."""
    return _OPENING + space_data(space) + _CLOSING + MADDS_OF_CHOICES
