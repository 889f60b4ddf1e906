"""A predictor of fitness: a Bayesian linear model of all cells that a run has scored.

A score of a cell is its true fitness plus noise: other weights and images give another score. In
every layer, the mean m_i of the scores of cell i, standardised over the layer, is taken to be

    m_i = f(x_i) + u_i + e_i,   f(x) = b + w'x,   w_j ~ N(0, v / p),
    u_i ~ N(0, tau^2),          e_i ~ N(0, sigma^2 / n_i).

x_i are p standardised features of the cell, b has a flat prior, u_i is what the features do not
see, and n_i is how many scores the mean is worth. Scores of one repeat share a shift with a flat
prior, which m_i has a share of. The true fitness is f(x_i) + u_i; that of the reference, whose
score in every repeat is 0 by definition and as noisy as any, is subtracted. The posterior
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

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

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
        value: the new score minus the mean of the earlier ones.
        factor: its variance over that of one score.
        shares: what it has of the shift of each group of scores.
    """

    value: float
    factor: float
    shares: Features


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured in one layer.

    Scores of one group (of one repeat) share a shift: that of its images, and of the reference that
    they are measured against.

    Attributes:
        features: of every cell.
        means: of the scores of every cell.
        counts: how many scores every mean is worth.
        shares: what every mean has of the shift of each group but the first; none if empty.
        changes: of the cells that were scored several times.
        reference: the cell that has fitness 0 in every group, if it is among the cells.
    """

    features: tuple[Features, ...]
    means: tuple[float, ...]
    counts: tuple[float, ...]
    shares: tuple[Features, ...] = ()
    changes: tuple[Change, ...] = ()
    reference: int | None = None


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
        """The true fitness of every cell of a layer that was scored; None if nothing is known.

        If the layer has a reference, that of the reference is 0.
        """
        data = self.layers[layer]
        if data is None:
            return None
        found = [(w, *data.known(point)) for point, w in self.weights[layer].items()]
        return data.mixed(found, data.centre if data.reference is None else 0.0)

    def unscored(self, layer: int, cells: Sequence[Features]) -> list[Estimate] | None:
        """The true fitness of cells that were not scored; None if nothing is known.

        Its zero is that of the measured means: the reference's true fitness is not subtracted.
        """
        data = self.layers[layer]
        if data is None:
            return None
        design = data.design(cells)
        found = [(w, *data.unscored(design, point)) for point, w in self.weights[layer].items()]
        return data.mixed(found, data.centre)

    @cached_property
    def quality(self) -> Quality | None:
        """Every measured mean, without shifts, against its prediction from all other cells."""
        # Not at the top: scipy takes a second or two, which every start of the program would wait.
        from scipy.stats import kendalltau

        left, whole, taus = 0.0, 0.0, []
        for data, weights in zip(self.layers, self.weights, strict=True):
            if data is None:
                continue
            points = weights.items()
            shifts = sum((w * data.shifts(point) for point, w in points), np.zeros(()))
            means = data.means - shifts
            predicted = sum(w * data.left_out(point)[0] for point, w in points) - shifts
            left += float(np.square(means - predicted).sum())
            # The mean of all others, which a predictor without features would predict.
            others = len(means) / (len(means) - 1)
            whole += float(np.square(others * (means - means.mean())).sum())
            taus.append(float(kendalltau(means, predicted)[0]))
        return (
            Quality(round(1 - left / whole, 3), round(sum(taus) / len(taus), 3)) if taus else None
        )


@dataclass(frozen=True, eq=False)
class LayerFit:
    """One layer in standard units, and the algebra of its model for one point of the grid.

    Attributes:
        names: of the features, sorted.
        flat: columns that have a flat prior: level and shifts.
        x: design [N, c] of the means: 1, shares of the shifts, p standardised features.
        means: measured means [N].
        counts: of scores [N].
        z: design [M, c] of the changes.
        changes: their values [M].
        factors: of the noise in them [M].
    """

    names: tuple[str, ...]
    location: Array
    scale: Array
    centre: float
    unit: float
    flat: int
    x: Array
    means: Array
    counts: Array
    z: Array
    changes: Array
    factors: Array
    reference: int | None

    @classmethod
    def of(cls, layer: Measured) -> "LayerFit | None":
        """The layer in standard units; None if there is too little to learn from."""
        centre = math.fsum(layer.means) / max(1, len(layer.means))
        squares = math.fsum((each - centre) ** 2 for each in layer.means)
        if len(layer.means) < LEAST_CELLS or not squares > 0:
            return None
        unit = math.sqrt(squares / len(layer.means))
        names = tuple(sorted({name for each in layer.features for name in each}))
        raw = _columns(layer.features, names, len(layer.features))
        location, scale = raw.mean(0), raw.std(0)
        varies = scale > 1e-9
        location, scale = location[varies], scale[varies]
        names = tuple(name for name, kept in zip(names, varies, strict=True) if kept)
        shares = [*layer.shares, *(each.shares for each in layer.changes)]
        groups = sorted({name for each in shares for name in each})
        level, shifts = np.ones((len(raw), 1)), _columns(layer.shares, groups, len(raw))
        moved = _columns([each.shares for each in layer.changes], groups, len(layer.changes))
        nothing = np.zeros((len(layer.changes), 1)), np.zeros((len(layer.changes), len(names)))
        return cls(
            names,
            location,
            scale,
            centre,
            unit,
            1 + len(groups),
            np.hstack([level, shifts, (raw[:, varies] - location) / scale]),
            (np.array(layer.means) - centre) / unit,
            np.array(layer.counts),
            np.hstack([nothing[0], moved, nothing[1]]),
            np.array([each.value for each in layer.changes]) / unit,
            np.array([each.factor for each in layer.changes]),
            layer.reference,
        )

    def design(self, cells: Sequence[Features]) -> Array:
        """The design [M, c] of other cells, without shifts; it leaves unknown features out."""
        raw = _columns(cells, self.names, len(cells))
        flat = np.zeros((len(cells), self.flat))
        flat[:, 0] = 1.0
        return np.hstack([flat, (raw - self.location) / self.scale])

    @cached_property
    def likelihoods(self) -> Array:
        """The logarithm of the marginal likelihood over the grid; a column per sigma^2."""
        return np.array([self.likelihood(point) for point in GRID]).reshape(SHAPE)

    def likelihood(self, point: Hyperparameters) -> float:
        """Of all contrasts of means and changes that do not depend on level and shifts.

        The mean of a cell and the change of its scores are taken to be independent, so both count;
        with two scores of weight one half they are, with more they are not quite. Which cells were
        scored again depends on their scores, but only on those that are counted here, so the choice
        does not bias the likelihood.
        """
        (factor, scaled), noise = self._solved(point), self._noise(point)
        changed, size = point.noise * self.factors, self._size
        found = np.log(noise).sum() + np.log(changed).sum() + 2 * np.log(np.diag(factor)).sum()
        found -= size * math.log(max(1, size) / point.prior)
        found += (self.means**2 / noise).sum() + (self.changes**2 / changed).sum()
        found -= (scaled**2).sum()
        found += (len(noise) + len(changed) - self.flat) * math.log(2 * math.pi)
        return float(-found / 2)

    def known(self, point: Hyperparameters) -> tuple[Array, Array]:
        """Posterior means and variances [N] of the true fitness of the scored cells.

        If there is a reference, they are those of the differences from it.
        """
        # The share of what the features leave open that is no noise.
        share = point.unseen / self._noise(point)
        design = self.x.copy()
        design[:, 1 : self.flat] = 0.0
        design -= share[:, None] * self.x
        measured, own = share * self.means, point.unseen * (1 - share)
        if self.reference is not None:
            design = design - design[self.reference]
            measured = measured - measured[self.reference]
            own = own + own[self.reference]
            own[self.reference] = 0.0
        linear, uncertain = self._linear(design, point)
        return measured + linear, uncertain + own

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

    def shifts(self, point: Hyperparameters) -> Array:
        """Posterior means [N] of the shifts that the measured means have a share of."""
        design = self.x.copy()
        design[:, 0] = 0.0
        design[:, self.flat :] = 0.0
        return self._linear(design, point)[0]

    def mixed(self, found: Sequence[tuple[float, Array, Array]], centre: float) -> list[Estimate]:
        """The average over points of the grid, in the units of fitness, rounded."""
        mean = sum((weight * means for weight, means, _ in found), np.zeros(()))
        square = sum((w * (variances + means**2) for w, means, variances in found), np.zeros(()))
        sd = np.sqrt(np.maximum(square - mean**2, 0.0))
        pairs = zip(np.round(mean, DIGITS).tolist(), np.round(sd, DIGITS).tolist(), strict=True)
        return [Estimate(centre + self.unit * each, self.unit * spread) for each, spread in pairs]

    @property
    def _size(self) -> int:
        """p, the number of features."""
        return len(self.location)

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
        """The Cholesky factor L of the posterior precision [c, c], and L' mean [c]."""
        size = self._size
        precision = np.diag([0.0] * self.flat + [size / point.prior] * size)
        scaled = np.zeros(len(precision))
        for count, squares, products in self._sums:
            noise = point.unseen + point.noise / count
            precision += squares / noise
            scaled += products / noise
        weighted = self.z / (point.noise * self.factors)[:, None]
        precision += weighted.T @ self.z
        scaled += weighted.T @ self.changes
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


def _columns(rows: Sequence[Features], names: Sequence[str], count: int) -> Array:
    """The values [count, names] of rows; a name that a row does not have, or no row, counts 0."""
    found = np.zeros((count, len(names)))
    for place, row in enumerate(rows):
        found[place] = [row.get(name, 0.0) for name in names]
    return found
