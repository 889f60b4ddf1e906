"""Scorers by name, and what changes the fitness of another: prices of cost, shared cells."""

from collections.abc import Callable, Sequence
from typing import Final

from autospace.compute.pool import InProcess, Pool
from autospace.scorers.context import ScoringContext, relative_costs
from autospace.scorers.gated import GatedScorer
from autospace.scorers.mixture import MixtureScorer
from autospace.scorers.pooled import INDEPENDENT, PooledScorer
from autospace.scorers.predicted import PredictedScorer
from autospace.scorers.probe import Calibrated
from autospace.scorers.scorer import Scorer, ScoringMethod, check_scoring
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import cell_cost, family_of
from autospace.spaces.skeleton import Skeleton

SCORERS: Final[dict[ScoringMethod, Callable[[ScoringContext, Pool], Scorer]]] = {
    **dict.fromkeys(INDEPENDENT, PooledScorer),
    "calibrated": lambda context, pool: Calibrated(PooledScorer(context, pool), context),
    "gated": lambda context, _: GatedScorer(context),
    "mixture": lambda context, _: MixtureScorer(context),
    "predicted": PredictedScorer,
}


def make_scorer(setting: ScoringContext, pool: Pool | None = None) -> Scorer:
    """The scorer that the options name, with the cost in its fitness if they ask for it.

    Args:
        setting: its context.
        pool: trains the candidates of the methods in `INDEPENDENT`; by default this process.

    Raises:
        SpaceError: the method is for networks that read something else.
    """
    reads = setting.reference.skeleton.reads
    check_scoring(setting.options, reads, setting.own_cells[0].kind)
    scorer = SCORERS[setting.options.method](setting, pool or InProcess())
    # The training of the first has the cost term; the second compares at equal MAdds.
    paid = isinstance(scorer, MixtureScorer | PredictedScorer)
    if setting.options.layer_price:
        scorer = LayerPriced(scorer, setting)
    return scorer if paid or not setting.options.cost_weight else CostAware(scorer, setting)


class CostAware:
    """Another scorer's fitness minus a price for MAdds beyond those of the reference's cell.

    This is the cost term of the loss, lambda * sum_l m_l / M, for scorers whose training does not
    include it; M is the sum of the MAdds of all reference cells. A candidate is fitter than the
    reference only if it lowers the loss by more than the price of its additional MAdds. Where cells
    are binary, OPs are meant.
    """

    def __init__(self, scorer: Scorer, setting: ScoringContext) -> None:
        self._scorer, self._weight = scorer, setting.options.cost_weight
        self._shapes = setting.reference.skeleton.shapes
        self._reference = setting.own_cells

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        found = self._scorer.score(candidates, repeat)
        rows = [[*cells, own] for cells, own in zip(candidates, self._reference, strict=True)]
        costs = relative_costs(self._shapes, rows)
        return [
            [value - self._weight * (cost - own) for value, cost in zip(values, row, strict=True)]
            for values, (*row, own) in zip(found, costs, strict=True)
        ]


class LayerPriced:
    """Another scorer's fitness minus a price for MAdds, which every layer pays in its own unit.

    As many additional MAdds as the reference's cell of the layer has cost a share of what the layer
    is worth: of how much fitter the reference's cell is than the cheapest one. So layers whose
    fitness has a small scale are charged as little as they can gain. Where cells are binary, OPs
    are meant. A layer whose reference's cell costs nothing pays nothing.
    """

    def __init__(self, scorer: Scorer, setting: ScoringContext) -> None:
        self._scorer, self._price = scorer, setting.options.layer_price
        self._shapes = setting.reference.skeleton.shapes
        self._reference = setting.own_cells
        self._worths: list[float] | None = None

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        if self._worths is None:
            pairs = zip(self._reference, self._shapes, strict=True)
            least = [[family_of(own).least(shape)] for own, shape in pairs]
            self._worths = [max(0.0, -value) for (value,) in self._scorer.score(least, 0)]
        found = self._scorer.score(candidates, repeat)
        rows = zip(found, candidates, self._reference, self._shapes, self._worths, strict=True)
        return [
            [
                value - self._price * worth * _additional(cell, own, shape)
                for value, cell in zip(values, cells, strict=True)
            ]
            for values, cells, own, shape, worth in rows
        ]


def _additional(cell: Cell, own: Cell, shape: LayerShape) -> float:
    """OPs of a cell beyond those of the reference's, in multiples of the latter."""
    whole = cell_cost(own, shape).whole("ops")
    return cell_cost(cell, shape).whole("ops") / whole - 1 if whole else 0.0


class SharedScorer:
    """Another scorer's fitness, which it gives for every layer, as that of the shared cells.

    A candidate is tried in every layer of its group, one layer at a time. A candidate for one edge
    is tried as the reference's cell with that edge.
    """

    def __init__(self, scorer: Scorer, skeleton: Skeleton, reference: Sequence[Cell]) -> None:
        """Takes a scorer over all layers, and the reference's cell per group of them."""
        self._scorer, self._skeleton, self._reference = scorer, skeleton, reference

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every choice; see `autospace.scorers.scorer.Scorer`."""
        size, groups = self._skeleton.choices_per_cell, self._skeleton.groups
        shapes = self._skeleton.shapes
        rows = [
            [family_of(own).joined([own, cell], shapes[size * group]) if size > 1 else cell
             for choice in candidates[size * group : size * (group + 1)] for cell in choice]
            for group, own in enumerate(self._reference)
        ]  # fmt: skip
        found = self._scorer.score([rows[group] for group in groups], repeat)
        means = [
            [sum(values) / len(values) for values in zip(*_of(found, groups, group), strict=True)]
            for group in range(len(rows))
        ]
        fitness = iter([value for row in means for value in row])
        return [[next(fitness) for _ in choice] for choice in candidates]


def _of(
    found: Sequence[Sequence[float]], groups: Sequence[int], group: int
) -> list[Sequence[float]]:
    """The fitness in each layer of a group."""
    return [row for row, its in zip(found, groups, strict=True) if its == group]
