"""Scoring by whole networks: some are trained from scratch, and a model says what cells are worth.

The other scorers judge a cell inside a trained reference network. This one never does. Before the
first score it trains `scoring.networks` networks with cells of the founders of the populations. In
each of them, all layers of a stage (of one resolution) have the same founder of one of these
layers, so that what it is worth adds up. A linear model of their errors then predicts what any
cell is worth in any layer. Where cells are scored again, it first trains some more networks of
these very cells, each in its own layer.

With the error y_i of network i, standardised over the networks,

    y_i = a + b log M_i + x_i'u + sum_s z_is'v_s + c_i'w + e_i

M_i are its MAdds (OPs of binary networks), x_i the standardised features of its cells, added up
over all layers, z_is the same over stage s, the layers of one resolution, and c_i which cells it
has. a and b have a flat prior, u, the v_s and w normal ones with a variance for each of the three
groups. These variances and that of the noise e_i are averaged over a grid, weighted by the marginal
likelihood (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, sections 2.7
and 5.4). That a few dozen trained networks and a Bayesian linear model rank others well is known of
cell-based spaces (White et al., "How powerful are performance predictors in neural architecture
search?", NeurIPS 2021).

The fitness of a cell is how many points of error a network gains by it over the reference's cell,
at equal MAdds of the whole network: b log M does not count. So there is no price for MAdds.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from autospace.compute.pool import Pool
from autospace.compute.worker import Plain
from autospace.scorers.context import ScoringContext
from autospace.scorers.pooled import ScoringJob
from autospace.scorers.whole import Row, Trained, packed_cell
from autospace.seeds import derived_seed, stream
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import cell_cost, cell_key, family_of
from autospace.spaces.errors import SpaceError
from autospace.spaces.features import features
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import network_cost

Array = npt.NDArray[np.float64]
Columns = Mapping[str, float]

VARIANCES: Final = (0.01, 0.1, 1.0)
"""Of each group of slopes together, as shares of the variance of the errors."""
NOISES: Final = (0.1, 0.3, 1.0)
"""Of the noise, likewise."""
AGAIN: Final = 8
"""Where cells are scored again, one network is trained for so many of the first ones."""
FAR: Final = 1.5
"""Errors count up to the fences of Tukey: so many times the middle half of all beyond that half."""
DIGITS: Final = 4
"""Decimals of points; the last digits of sums differ from library to library."""
IGNORANT: Final = (
    "the model of whole networks predicts no errors at equal MAdds, so fitness means nothing; "
    "more networks (scoring.networks) or longer trainings (scoring.network_steps) may help"
)


class Example(NamedTuple):
    """A trained network."""

    cells: Row
    error: float


class Worths:
    """A linear model of the errors of networks: what each cell is worth in each layer."""

    def __init__(self, skeleton: Skeleton, examples: Sequence[Example]) -> None:
        self._shapes = skeleton.shapes
        rows = [self._columns(each.cells) for each in examples]
        self._groups = [_Group.of([row[group] for row in rows]) for group in range(3)]
        errors = np.array([each.error for each in examples])
        # A training that diverged would weigh more than all others together.
        low, high = np.quantile(errors, (0.25, 0.75))
        errors = np.clip(errors, low - FAR * (high - low), high + FAR * (high - low))
        self._unit = float(errors.std()) or 1.0
        self._errors = (errors - errors.mean()) / self._unit
        costs = [network_cost(skeleton, each.cells).whole("ops") for each in examples]
        logs = np.log(np.maximum(1, np.array(costs, dtype=np.float64)))
        flat = [np.ones(len(examples))]
        if logs.std() > 1e-9:
            flat.append((logs - logs.mean()) / logs.std())
        self._flat = np.stack(flat, axis=1)

    def gain(self, layer: int, cell: Cell, own: Cell) -> float:
        """Points of error that a cell gains over another one at a layer, at equal MAdds."""
        columns = zip(self._of_layer(layer, cell), self._of_layer(layer, own), strict=True)
        change = sum(
            float(slopes @ (group.row(new) - group.row(old)))
            for slopes, group, (new, old) in zip(self._slopes, self._groups, columns, strict=True)
        )
        return round(-self._unit * change, DIGITS) + 0.0  # no -0.0

    @cached_property
    def explained(self) -> float:
        """The share of the variance of errors at equal MAdds that is predicted from all others.

        What MAdds alone predict of each network, from all others, counts for nothing. Below 0, they
        predict better than the model does (Rasmussen and Williams, 2006, section 5.4.2).
        """
        flat = self._flat
        alone: Array = (np.eye(len(flat)) - flat @ np.linalg.pinv(flat)).astype(np.float64)
        baseline = _left_out(alone, self._errors)
        left = sum(weight * _left_out(each, self._errors) for weight, each in self._posterior)
        whole = float(np.square(baseline).sum())
        return round(1 - float(np.square(left).sum()) / whole, 2) if whole else 0.0

    @cached_property
    def _slopes(self) -> list[Array]:
        """Of the columns of each group, averaged over the grid."""
        found = [np.zeros(group.design.shape[1]) for group in self._groups]
        for (weight, precision), (*variances, _) in zip(self._posterior, _GRID, strict=True):
            reached = precision @ self._errors
            for slopes, variance, group in zip(found, variances, self._groups, strict=True):
                slopes += weight * variance * (group.design.T @ reached)
        return found

    @cached_property
    def _posterior(self) -> list[tuple[float, Array]]:
        """Per point of the grid, its weight and the precision of the errors without level and b."""
        found: list[tuple[float, Array]] = []
        flat, count = self._flat, len(self._errors)
        for *variances, noise in _GRID:
            covariance = noise * np.eye(count)
            for variance, group in zip(variances, self._groups, strict=True):
                covariance += variance * (group.design @ group.design.T)
            inverse: Array = np.linalg.inv(covariance).astype(np.float64)
            inner = flat.T @ inverse @ flat
            through: Array = np.linalg.solve(inner, flat.T @ inverse).astype(np.float64)
            precision = inverse - inverse @ flat @ through
            log = np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(inner)[1]
            log += self._errors @ precision @ self._errors
            found.append((-0.5 * float(log), precision))
        best = max(log for log, _ in found)
        shares = [math.exp(log - best) for log, _ in found]
        whole = sum(shares)
        return [(share / whole, each) for share, (_, each) in zip(shares, found, strict=True)]

    def _columns(self, cells: Row) -> tuple[Columns, Columns, Columns]:
        """Of a network: features added up over all layers, those of each stage, and its cells."""
        found: tuple[dict[str, float], ...] = ({}, {}, {})
        for layer, cell in enumerate(cells):
            for group, columns in zip(found, self._of_layer(layer, cell), strict=True):
                for name, value in columns.items():
                    group[name] = group.get(name, 0.0) + value
        whole, stages, own = found
        return whole, stages, own

    def _of_layer(self, layer: int, cell: Cell) -> tuple[Columns, Columns, Columns]:
        shape = self._shapes[layer]
        whole = features(cell, cell_cost(cell, shape))
        stage = f"{shape.out_resolution} "
        return (
            whole,
            {stage + name: value for name, value in whole.items()},
            _own(layer, cell, shape),
        )


def _left_out(precision: Array, errors: Array) -> Array:
    """Errors minus what all others predict; 0 where these do not tell the worth of MAdds."""
    own = np.diag(precision)
    return np.divide(precision @ errors, own, out=np.zeros(len(own)), where=own > 1e-9)


_GRID: Final = tuple(product(VARIANCES, VARIANCES, VARIANCES, NOISES))


def _own(layer: int, cell: Cell, shape: LayerShape) -> Columns:
    return {f"{layer} {cell_key(cell, shape)}": 1.0}


class _Group(NamedTuple):
    """Columns of one group, standardised so that together they have a variance of about 1."""

    names: dict[str, int]
    location: Array
    scale: Array
    design: Array

    @classmethod
    def of(cls, rows: Sequence[Columns]) -> "_Group":
        every = sorted({name for row in rows for name in row})
        raw = np.array([[row.get(name, 0.0) for name in every] for row in rows])
        deviation = raw.std(0)
        kept = [place for place, value in enumerate(deviation) if value > 1e-9]
        location = raw.mean(0)[kept]
        scale = deviation[kept] * math.sqrt(max(1, len(kept)))
        names = {every[place]: index for index, place in enumerate(kept)}
        return cls(names, location, scale, (raw[:, kept] - location) / scale)

    def row(self, columns: Columns) -> Array:
        """Columns of one layer in the same scale, unknown ones left out; only differences count."""
        found = np.zeros(len(self.names))
        for name, value in columns.items():
            if name in self.names:
                found[self.names[name]] = value
        return found / self.scale


class PredictedScorer:
    """Fitness is what a model of whole networks says; see the top of this file."""

    def __init__(self, context: ScoringContext, pool: Pool) -> None:
        self._context, self._pool = context, pool
        self._job = ScoringJob(context)
        self._trained = Trained(context.networks)
        self._worths: Worths | None = None

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        count, own = self._context.options.networks, self._context.own_cells
        offered = [row or [cell] for row, cell in zip(candidates, own, strict=True)]
        seed, shapes = self._context.seed, self._context.reference.skeleton.shapes
        self._train("founders", staged(self._context.founders or offered, shapes, count, seed))
        if repeat:
            name, more = f"repeat {repeat}", max(*map(len, offered), count // AGAIN)
            self._train(name, dealt(offered, more, seed, name))
        worths = self._fitted()
        return [
            [worths.gain(layer, cell, own[layer]) for cell in row]
            for layer, row in enumerate(candidates)
        ]

    def _fitted(self) -> Worths:
        if self._worths is None:
            errors = self._trained.errors
            self._worths = fitted(self._context.reference.skeleton, errors)
            share, say = self._worths.explained, self._context.on_message
            told = f"{len(errors)} whole networks are trained; of the variance of their errors at"
            say(f"{told} equal MAdds, {max(0.0, share):.0%} is predicted from the others")
            if share <= 0:
                say(f"warning: {IGNORANT}")
        return self._worths

    def _train(self, name: str, wanted: Sequence[Row]) -> None:
        """Trains networks, but for those that are known."""
        seed, steps = self._context.seed, self._context.options.network_steps
        missing = [each for each in wanted if each not in self._trained.errors]
        requests = [
            {
                "candidates": [[packed_cell(cell)] for cell in network],
                "repeat": derived_seed(seed, name, wanted.index(network)) % 2**31,
            }
            for network in missing
        ]
        if not requests:
            return
        done = [0] * len(requests)

        def on_message(index: int, message: Plain) -> None:
            if isinstance(message, str):
                self._context.on_message(message)
                return
            done[index] = message
            self._context.tick(sum(done), steps * len(requests))

        for index, losses in self._pool.results(self._job, requests, on_message):
            on_message(index, steps)
            self._trained.add(wanted, missing[index], losses[0][0])
        self._worths = None


def fitted(skeleton: Skeleton, errors: Mapping[Row, float]) -> Worths:
    """The model of networks whose errors are known."""
    return Worths(skeleton, [Example(*each) for each in errors.items()])


def staged(
    rows: Sequence[Sequence[Cell]], shapes: Sequence[LayerShape], count: int, seed: int
) -> list[Row]:
    """Different networks, each stage of which repeats one cell of its layers wherever it fits.

    Args:
        rows: per layer, cells to choose from, at least one.
        shapes: of the layers.
        count: of networks; there are fewer where some are equal.
        seed: of the run.
    """
    stages: dict[int, dict[Cell, None]] = {}
    for shape, row in zip(shapes, rows, strict=True):
        stages.setdefault(shape.out_resolution, {}).update(dict.fromkeys(row))
    found: dict[Row, None] = {}
    for deal, cells in enumerate(dealt([list(each) for each in stages.values()], count, seed, "")):
        of_stage = dict(zip(stages, cells, strict=True))
        places = zip(shapes, rows, strict=True)
        network = tuple(
            _fitting(of_stage[shape.out_resolution], shape, row[deal % len(row)])
            for shape, row in places
        )
        found[network] = None
    return list(found)


def _fitting(cell: Cell, shape: LayerShape, otherwise: Cell) -> Cell:
    """The cell if a layer of this shape may have it, else another."""
    try:
        family_of(cell).check(cell, shape)
    except SpaceError:
        return otherwise
    return cell


def dealt(rows: Sequence[Sequence[Cell]], count: int, seed: int, name: str) -> list[Row]:
    """Different networks that have a cell of each row; all cells of a row are in equally many.

    Args:
        rows: per layer, cells to choose from, at least one.
        count: of networks; there are fewer where some are equal.
        seed: of the run.
        name: of the random stream.
    """
    found: dict[Row, None] = {}
    for deal in range(count):
        orders = []
        for layer, row in enumerate(rows):
            rng = stream(seed, "whole networks", name, layer, deal // len(row))
            orders.append(rng.sample(range(len(row)), len(row))[deal % len(row)])
        found[tuple(row[place] for row, place in zip(rows, orders, strict=True))] = None
    return list(found)
