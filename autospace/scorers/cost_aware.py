"""The cost term of the loss, lambda * sum_l m_l / M, for scorers that do not train with it.

M are the MAdds of all reference cells. A candidate that promises a lower loss than the reference
has to promise more than its additional MAdds would be worth elsewhere.
"""

from collections.abc import Sequence

from autospace.scorers.context import Setting
from autospace.scorers.scorer import Scorer
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cost import cell_cost
from autospace.spaces.skeleton import LayerShape


class CostAware:
    """Another scorer's fitness less the weighed MAdds beyond those of the reference's cell."""

    def __init__(self, scorer: Scorer, setting: Setting) -> None:
        reference = setting.reference
        self._scorer, self._weight = scorer, setting.options.cost_weight
        self._shapes = reference.skeleton.shapes
        self._reference = [reference.cell(layer).cell for layer in range(len(self._shapes))]

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        found = self._scorer.score(candidates, repeat)
        rows = [[*cells, own] for cells, own in zip(candidates, self._reference, strict=True)]
        costs = relative_costs(self._shapes, rows)
        return [
            [value - self._weight * (cost - own) for value, cost in zip(values, row, strict=True)]
            for values, (*row, own) in zip(found, costs, strict=True)
        ]


def relative_costs(
    shapes: Sequence[LayerShape], rows: Sequence[Sequence[Cell]]
) -> list[list[float]]:
    """Per layer, MAdds of every choice over those of all reference cells, which stand last."""
    madds = [
        [cell_cost(cell, shape).madds for cell in cells]
        for shape, cells in zip(shapes, rows, strict=True)
    ]
    whole = max(1, sum(row[-1] for row in madds))
    return [[each / whole for each in row] for row in madds]
