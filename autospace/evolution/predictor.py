"""A predictor of fitness: a Bayesian linear model of all cells that a run has scored.

A score of a cell is its true fitness plus noise: other weights and images give another score. In
every layer, the mean m_i of the scores of cell i, standardised over the layer, is taken to be

    m_i = f(x_i) + u_i + e_i,   f(x) = b + w'x,   w_j ~ N(0, v / p),
    u_i ~ N(0, tau^2),          e_i ~ N(0, sigma^2 / n_i).

x_i are p standardised features of the cell, b has a flat prior, u_i is what the features do not
see, and n_i is how many scores the mean is worth. The true fitness is f(x_i) + u_i. Its posterior
mean is a compromise between the measured mean and what the features predict, by their precisions:
the estimator of James and Stein ("Estimation with quadratic loss", 1961), which shrinks measured
means towards a common prediction, in its empirical Bayes form (Efron and Morris, 1973).

All layers share v and tau^2; each has its own sigma^2, because late layers have much less spread
than noise. The three are averaged over a grid, weighted by the marginal likelihood (Rasmussen and
Williams, "Gaussian Processes for Machine Learning", 2006, sections 2.1, 5.3 and 5.4). As long as
every cell has one score, only tau^2 + sigma^2 is identified: a single best point of the grid would
then be arbitrary, and the average is not.

Such a linear model of the operations of a cell is among the predictors that White et al., "How
powerful are performance predictors in neural architecture search?", NeurIPS 2021, compare.

It depends on numpy and scipy only. Results are rounded, so that the order in which a library adds
numbers does not decide what is selected.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby, product
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import family_of
from autospace.spaces.cells.operations import Cost

Array = npt.NDArray[np.float64]
Features = Mapping[str, float]

PRIORS: Final = (0.03, 0.1, 0.3, 1.0, 3.0)
"""Values of v, as shares of the variance of the means of a layer."""
VARIANCES: Final = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Values of tau^2 and of sigma^2, likewise."""
NEGLIGIBLE: Final = 1e-3
"""Points of the grid with less weight than this share of the largest are left out."""
DIGITS: Final = 6
"""Decimals of standardised results; the last digits of sums differ from library to library."""
LEAST_CELLS: Final = 4


class Estimate(NamedTuple):
    """Mean and standard deviation of the true fitness of a cell."""

    mean: float
    sd: float


class Quality(NamedTuple):
    """How well every cell is predicted from all others.

    Attributes:
        r2: share of the variance of the measured means that is explained.
        tau: Kendall's tau-b of predicted and measured means, averaged over the layers.
    """

    r2: float
    tau: float


class Hyperparameters(NamedTuple):
    """The variances v, tau^2 and sigma^2, as shares of the variance of the means of a layer."""

    prior: float
    unseen: float
    noise: float


GRID: Final = tuple(map(Hyperparameters._make, product(PRIORS, VARIANCES, VARIANCES)))
SHAPE: Final = len(PRIORS) * len(VARIANCES), len(VARIANCES)


class Change(NamedTuple):
    """A cell was scored again.

    Attributes:
        group: changes of one group share a shift, that of the images and of the reference.
        value: the new score minus the mean of the earlier ones.
        factor: its variance over that of one score.
    """

    group: str
    value: float
    factor: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured in one layer.

    Attributes:
        features: of every cell.
        means: of the scores of every cell.
        counts: how many scores every mean is worth.
        changes: of the cells that were scored several times.
    """

    features: tuple[Features, ...]
    means: tuple[float, ...]
    counts: tuple[float, ...]
    changes: tuple[Change, ...] = ()


@lru_cache(maxsize=65536)
def features(cell: Cell, cost: Cost) -> Features:
    """What is known of a cell before it is scored; equivalent cells have equal features.

    They are made of the document of the canonical cell, so they serve every family: counts of its
    texts and sums of its numbers (as logarithms) by their place in the document without indices,
    counts of the objects in its lists (edges with their operation), and texts of its lists by
    index (the mix of a node). The logarithms of MAdds and params join them.
    """
    family = family_of(cell)
    found = {"madds": math.log1p(cost.madds), "params": math.log1p(cost.params)}
    for name, value in _leaves("", family.encoded(family.canonical(cell))):
        found[name] = found.get(name, 0.0) + value
    return found


def _leaves(path: str, value: Any) -> Iterable[tuple[str, float]]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(f"{path}.{key}", value[key])
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(f"{path}[]", each)
            if isinstance(each, dict):
                yield f"{path}[]={json.dumps(each, sort_keys=True)}", 1.0
            elif isinstance(each, str):
                yield f"{path}[{index}]={each}", 1.0
    elif isinstance(value, bool | str):
        yield f"{path}={value}", 1.0
    elif value is not None:
        yield path, math.copysign(math.log1p(abs(value)), value)


def worth(scores: int, write_back: float) -> float:
    """How many equal scores a moving average of so many scores is worth.

    It is the inverse of the sum of the squared weights, q_n = (1 - mu)^2 q_(n-1) + mu^2.
    """
    squares = 1.0
    for _ in range(scores - 1):
        squares = (1 - write_back) ** 2 * squares + write_back**2
    return 1 / squares


def fit(layers: Sequence[Measured]) -> "Predictor":
    """The predictor of all layers; it knows nothing of a layer with too few different scores."""
    return Predictor(tuple(LayerFit.of(each) for each in layers))


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted predictor; layers in the order in which they were given."""

    layers: tuple["LayerFit | None", ...]

    @cached_property
    def weights(self) -> list[dict[Hyperparameters, float]]:
        """Per layer, the points of the grid and their weights, which add up to 1.

        The layers have v and tau^2 in common. Each has noise of its own, over which the likelihood
        of the others is averaged.
        """
        found = [each.likelihoods if each else np.zeros(SHAPE) for each in self.layers]
        alone = [np.logaddexp.reduce(each, axis=1, keepdims=True) for each in found]
        whole = sum(alone, np.zeros((1, 1)))
        return [_weights(whole - own + each) for own, each in zip(alone, found, strict=True)]

    def known(self, layer: int) -> list[Estimate] | None:
        """The true fitness of every cell of a layer that was scored; None if nothing is known."""
        data = self.layers[layer]
        if data is None:
            return None
        return data.mixed([(w, *data.known(point)) for point, w in self.weights[layer].items()])

    def unscored(self, layer: int, cells: Sequence[Features]) -> list[Estimate] | None:
        """The true fitness of cells that were not scored; None if nothing is known."""
        data = self.layers[layer]
        if data is None:
            return None
        design = data.design(cells)
        found = [(w, *data.unscored(design, point)) for point, w in self.weights[layer].items()]
        return data.mixed(found)

    @cached_property
    def quality(self) -> Quality | None:
        """Every measured mean against its prediction from all other cells of its layer."""
        left, whole, taus = 0.0, 0.0, []
        for data, weights in zip(self.layers, self.weights, strict=True):
            if data is None:
                continue
            points = weights.items()
            predicted = sum(w * data.left_out(point)[0] for point, w in points)
            left += float(np.square(data.means - predicted).sum())
            # The mean of all others, which a predictor without features would predict.
            others = len(data.means) / (len(data.means) - 1)
            whole += float(np.square(others * (data.means - data.means.mean())).sum())
            taus.append(float(kendalltau(data.means, predicted)[0]))
        return (
            Quality(round(1 - left / whole, 3), round(sum(taus) / len(taus), 3)) if taus else None
        )


@dataclass(frozen=True, eq=False)
class LayerFit:
    """One layer in standard units, and the algebra of its model for one point of the grid.

    Attributes:
        names: of the features, sorted.
        x: features [N, 1 + p], standardised; the first column is 1.
        means: measured means [N], standardised.
        counts: of scores [N].
        repeated: degrees of freedom and sum of squares of the changes, standardised.
    """

    names: tuple[str, ...]
    location: Array
    scale: Array
    centre: float
    unit: float
    x: Array
    means: Array
    counts: Array
    repeated: tuple[int, float]

    @classmethod
    def of(cls, layer: Measured) -> "LayerFit | None":
        """The layer in standard units; None if there is too little to learn from."""
        centre = math.fsum(layer.means) / max(1, len(layer.means))
        squares = math.fsum((each - centre) ** 2 for each in layer.means)
        if len(layer.means) < LEAST_CELLS or not squares > 0:
            return None
        unit = math.sqrt(squares / len(layer.means))
        raw, names = _table(layer.features)
        location, scale = raw.mean(0), raw.std(0)
        varies = scale > 1e-9
        location, scale = location[varies], scale[varies]
        names = tuple(name for name, kept in zip(names, varies, strict=True) if kept)
        ones = np.ones((len(raw), 1))
        return cls(
            names,
            location,
            scale,
            centre,
            unit,
            np.hstack([ones, (raw[:, varies] - location) / scale]),
            (np.array(layer.means) - centre) / unit,
            np.array(layer.counts),
            _repeated(layer.changes, unit),
        )

    def design(self, cells: Sequence[Features]) -> Array:
        """The features [M, 1 + p] of other cells; names that no scored cell has are left out."""
        raw = np.array([[each.get(name, 0.0) for name in self.names] for each in cells])
        raw = raw.reshape(len(cells), len(self.names))
        return np.hstack([np.ones((len(cells), 1)), (raw - self.location) / self.scale])

    @cached_property
    def likelihoods(self) -> Array:
        """The logarithm of the marginal likelihood over the grid; a column per sigma^2."""
        return np.array([self.likelihood(point) for point in GRID]).reshape(SHAPE)

    def likelihood(self, point: Hyperparameters) -> float:
        """Of the means without their common level, and of the changes without their shifts.

        The mean of a cell and the change of its scores are independent, so both count. Which
        cells were scored again depends on their scores, but only on those that are counted here,
        so the choice does not bias the likelihood.
        """
        (factor, scaled), variances = self._solved(point), self._noise(point)
        size = self.x.shape[1] - 1
        found = np.log(variances).sum() + 2 * np.log(np.diag(factor)).sum()
        found -= size * math.log(max(1, size) / point.prior)
        found += (self.means**2 / variances).sum() - (scaled**2).sum()
        found += (len(self.means) - 1) * math.log(2 * math.pi)
        freedom, squares = self.repeated
        found += freedom * math.log(2 * math.pi * point.noise) + squares / point.noise
        return float(-found / 2)

    def known(self, point: Hyperparameters) -> tuple[Array, Array]:
        """Posterior means and variances [N] of the true fitness of the scored cells."""
        linear, uncertain = self._linear(self.x, point)
        # The share of what the features leave open that is no noise.
        share = point.unseen / self._noise(point)
        means = linear + share * (self.means - linear)
        return means, (1 - share) ** 2 * uncertain + point.unseen * (1 - share)

    def unscored(self, design: Array, point: Hyperparameters) -> tuple[Array, Array]:
        """Predictive means and variances [M] of the true fitness of other cells."""
        means, variances = self._linear(design, point)
        return means, variances + point.unseen

    def left_out(self, point: Hyperparameters) -> tuple[Array, Array]:
        """Means and variances [N] of every measured mean, given all others.

        Rasmussen and Williams, 2006, equation 5.12: y_i - [K^-1 y]_i / [K^-1]_ii and 1 / [K^-1]_ii,
        where K is the covariance of the means.
        """
        linear, uncertain = self._linear(self.x, point)
        noise = self._noise(point)
        precision = 1 / noise - uncertain / noise**2
        return self.means - (self.means - linear) / noise / precision, 1 / precision

    def mixed(self, found: Sequence[tuple[float, Array, Array]]) -> list[Estimate]:
        """The average over points of the grid, in the units of fitness, rounded."""
        mean = sum((weight * means for weight, means, _ in found), np.zeros(()))
        square = sum((w * (variances + means**2) for w, means, variances in found), np.zeros(()))
        sd = np.sqrt(np.maximum(square - mean**2, 0.0))
        pairs = zip(np.round(mean, DIGITS).tolist(), np.round(sd, DIGITS).tolist(), strict=True)
        return [Estimate(self.centre + self.unit * each, self.unit * sd) for each, sd in pairs]

    def _noise(self, point: Hyperparameters) -> Array:
        """Variances [N] of the measured means around the linear part."""
        return point.unseen + point.noise / self.counts

    @cached_property
    def _sums(self) -> list[tuple[float, Array, Array]]:
        """Per number of scores, the sums of x x' and of x m over its cells."""
        chosen = [(count, self.counts == count) for count in sorted(set(self.counts.tolist()))]
        return [
            (count, self.x[rows].T @ self.x[rows], self.x[rows].T @ self.means[rows])
            for count, rows in chosen
        ]

    def _solved(self, point: Hyperparameters) -> tuple[Array, Array]:
        """The Cholesky factor L of the posterior precision [1 + p, 1 + p], and L mean [1 + p]."""
        size = self.x.shape[1] - 1
        precision = np.diag([0.0, *[size / point.prior] * size])
        scaled = np.zeros(size + 1)
        for count, squares, products in self._sums:
            noise = point.unseen + point.noise / count
            precision += squares / noise
            scaled += products / noise
        factor = np.linalg.cholesky(precision).astype(np.float64)
        return factor, np.linalg.solve(factor, scaled).astype(np.float64)

    def _linear(self, design: Array, point: Hyperparameters) -> tuple[Array, Array]:
        """Posterior means and variances [M] of the linear part."""
        factor, scaled = self._solved(point)
        whitened = np.linalg.solve(factor, design.T)
        means: Array = whitened.T @ scaled
        return means, np.square(whitened).sum(0)


def _weights(likelihoods: Array) -> dict[Hyperparameters, float]:
    """Normalised weights of the points of the grid, without those that hardly count."""
    logs = likelihoods.ravel()
    relative = np.exp(np.round(logs - logs.max(), DIGITS))
    kept = np.where(relative >= NEGLIGIBLE, relative, 0.0)
    pairs = zip(GRID, (kept / kept.sum()).tolist(), strict=True)
    return {point: weight for point, weight in pairs if weight}


def _table(cells: Sequence[Features]) -> tuple[Array, tuple[str, ...]]:
    """Features [N, p], and their names in order; a name that a cell does not have counts 0."""
    names = tuple(sorted({name for each in cells for name in each}))
    return np.array([[each.get(name, 0.0) for name in names] for each in cells]), names


def _repeated(changes: Sequence[Change], unit: float) -> tuple[int, float]:
    """Degrees of freedom and sum of squares of the changes around the shift of their group."""
    freedom, squares = 0, 0.0
    for _, group in groupby(sorted(changes), key=lambda each: each.group):
        each = [(change.value / unit, 1 / change.factor) for change in group]
        whole = math.fsum(weight for _, weight in each)
        shift = math.fsum(value * weight for value, weight in each) / whole
        squares += math.fsum(weight * (value - shift) ** 2 for value, weight in each)
        freedom += len(each) - 1
    return freedom, squares
