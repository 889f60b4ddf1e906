"""Calibrated scoring: a scorer's fitness on one scale for all layers, shrunk towards counting.

Scorers that train a candidate alone do not see what later layers repair, so their fitness means
more at one depth than at another. Here it is divided by the spread of random cells at the same
layer, and multiplied by the layer's sensitivity: the product of the root mean squares of its output
y and of the gradient g = dL/dy in the trained reference, times the size of y. Up to a constant,
this is how much the loss can change when a cell of the layer is replaced. It takes no training.

A noisy measurement is improved by shrinking it towards a prediction (James and Stein, 1961). The
prediction is the logarithm of the params, which also has spread one at every layer.
"""

import math
import statistics
from collections.abc import Sequence
from functools import partial
from typing import Final

from autospace.compute.execution import widened
from autospace.networks.features import Steps, layer_traces
from autospace.scorers.context import ScoringContext
from autospace.scorers.scorer import Scorer
from autospace.seeds import stream
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import cell_cost, cell_key, family_of

CALIBRATING_CELLS: Final = 8
"""Random cells per layer, scored once."""
SENSITIVITY_BATCHES: Final = 4
SMALLEST: Final = 1e-9


class Calibrated:
    """Fitness in units of cross-entropy per image, of an average layer."""

    def __init__(self, scorer: Scorer, context: ScoringContext) -> None:
        self._scorer, self._context = scorer, context
        reference = context.reference
        self._shapes = reference.skeleton.shapes
        self._reference = [reference.cell(layer).cell for layer in range(len(self._shapes))]
        self._scales: tuple[list[float], list[float]] | None = None

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        if self._scales is None:
            self._scales = self._calibrated()
        measured = self._scorer.score(candidates, repeat)
        predicted = self._log_params(candidates)
        return [
            [scale * value + prior * guess for value, guess in zip(values, guesses, strict=True)]
            for scale, prior, values, guesses in zip(
                *self._scales, measured, predicted, strict=True
            )
        ]

    def _calibrated(self) -> tuple[list[float], list[float]]:
        """Per layer, the factors of the measured fitness and of the predicted one."""
        cells = calibrating_cells(self._context)
        spreads = [_spread(row) for row in self._scorer.score(cells, 0)]
        predicted = [_spread(row) for row in self._log_params(cells)]
        weights = layer_sensitivities(self._context)
        # The average layer keeps its unit.
        unit = sum(spreads) / sum(weights)
        scales = [unit * weight / spread for weight, spread in zip(weights, spreads, strict=True)]
        shrinkage = self._context.options.shrinkage
        priors = [
            shrinkage * unit * weight / spread
            for weight, spread in zip(weights, predicted, strict=True)
        ]
        return scales, priors

    def _log_params(self, candidates: Sequence[Sequence[Cell]]) -> list[list[float]]:
        """The logarithm of the params of every candidate over those of the reference's cell."""
        return [
            [math.log1p(cell_cost(cell, shape).params) - own for cell in row]
            for row, shape, own in zip(
                candidates,
                self._shapes,
                (
                    math.log1p(cell_cost(cell, shape).params)
                    for cell, shape in zip(self._reference, self._shapes, strict=True)
                ),
                strict=True,
            )
        ]


def layer_sensitivities(context: ScoringContext) -> list[float]:
    """Per layer of the reference, rms(y) rms(g) times the numbers in y of one image."""
    look = partial(layer_traces, context.task.loss)
    steps = Steps(context.reference, context.validation, look, context.execution, 0)
    layers = range(len(context.reference.skeleton.layers))
    batches = [steps.at(step, layers) for step in range(SENSITIVITY_BATCHES)]
    return [
        statistics.fmean(
            float(widened(trace.y).square().mean().sqrt() * widened(trace.g).square().mean().sqrt())
            * trace.y[0].numel()
            for trace in traces
        )
        for traces in zip(*batches, strict=True)
    ]


def calibrating_cells(context: ScoringContext) -> list[list[Cell]]:
    """Per layer, random cells that differ in function, the same for equal seeds."""
    rows = []
    for layer, shape in enumerate(context.reference.skeleton.shapes):
        family = family_of(context.reference.cell(layer).cell)
        prior = family.prior(family.usual)
        rng = stream(context.seed, "calibration", layer)
        found: dict[str, Cell] = {}
        while len(found) < CALIBRATING_CELLS:
            cell = family.random_cell(prior, rng)
            found.setdefault(cell_key(cell, shape), cell)
        rows.append(list(found.values()))
    return rows


def _spread(values: Sequence[float]) -> float:
    return max(statistics.stdev(values), SMALLEST)
