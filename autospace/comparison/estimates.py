"""One sample of errors in figures: mean, median, best of n, EDF, variance components."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from autospace.comparison.effects import LEVEL, Interval, Values
from autospace.seeds import derived_seed

RESAMPLES: Final = 4000


class Estimate(NamedTuple):
    """A figure and its interval."""

    value: float
    interval: Interval


class Variance(NamedTuple):
    """Variance components of errors, in squared points."""

    architecture: float
    seed: float

    @property
    def share(self) -> float:
        """Share of the architecture in the variance of one error; 0 where there is no variance."""
        total = self.architecture + self.seed
        return self.architecture / total if total else 0.0


def mean(errors: Values) -> Estimate:
    """Mean with Student's t: its interval covers better than the bootstrap's in small samples."""
    values = np.asarray(errors, dtype=float)
    centre = float(values.mean())
    half = _t_quantile(len(values) - 1) * float(values.std(ddof=1) / math.sqrt(len(values)))
    return Estimate(centre, Interval(centre - half, centre + half))


def median(errors: Values, seed: int = 0) -> Estimate:
    """Median with the percentile bootstrap."""
    found = np.median(_resampled(errors, seed, "median"), axis=1)
    return Estimate(float(np.median(errors)), _middle(found))


def best_of(errors: Values, count: int) -> Estimate:
    """Expected error of the best of `count` random networks, with the jackknife.

    In small samples the bootstrap's interval is too narrow: resamples repeat the best network.
    """
    ordered = np.sort(np.asarray(errors, dtype=float))
    size = len(ordered)
    value = float(ordered @ _weights(size, count))
    # All without one: below it the weights keep their places, above it they move up by one.
    weights = _weights(size - 1, count)
    below = np.concatenate([[0.0], np.cumsum(ordered[:-1] * weights)])
    above = np.concatenate([np.cumsum((ordered[1:] * weights)[::-1])[::-1], [0.0]])
    without = below + above
    error = math.sqrt((size - 1) / size * float(((without - without.mean()) ** 2).sum()))
    half = _t_quantile(size - 1) * error
    return Estimate(value, Interval(value - half, value + half))


def best_curve(errors: Values) -> list[float]:
    """Expected error of the best of 1, 2, ... n networks, from n errors.

    E[min of k] = sum_i e_(i) C(n - i, k - 1) / C(n, k) over the sorted errors: the mean over all
    subsets of k. Unbiased, unlike drawing with replacement from the EDF (Dodge et al., EMNLP
    2019), which is too pessimistic (Tang et al., ACL 2020).
    """
    ordered = np.sort(np.asarray(errors, dtype=float))
    return [float(ordered @ _weights(len(ordered), k)) for k in range(1, len(ordered) + 1)]


def reported_counts(samples: int) -> list[int]:
    """The n of best-of-n that so many samples can answer for: powers of two up to an eighth."""
    return [2**power for power in range(1, samples.bit_length()) if 8 * 2**power <= samples]


def edf(errors: Values) -> tuple[list[float], list[float]]:
    """Steps of the empirical distribution function: distinct errors, and the share up to each."""
    values, counts = np.unique(np.asarray(errors, dtype=float), return_counts=True)
    return values.tolist(), (np.cumsum(counts) / len(errors)).tolist()


def variance(repeats: Sequence[Sequence[float]]) -> Variance | None:
    """One-way random effects: networks as groups, seeds within them; None for a single seed.

    The mean square within estimates the seed's variance s; the one between estimates
    s + r * a, with r seeds per network. A negative estimate of a is reported as 0.
    """
    values = np.asarray(repeats, dtype=float)
    groups, seeds = values.shape
    if seeds < 2 or groups < 2:
        return None
    within = float(values.var(axis=1, ddof=1).mean())
    between = float(seeds * values.mean(axis=1).var(ddof=1))
    return Variance(max(0.0, (between - within) / seeds), within)


def _weights(size: int, count: int) -> np.ndarray:
    """Weight of each of `size` sorted errors in the mean over the best of all subsets."""
    left = np.arange(size - 1, 0, -1)
    ratios = np.maximum(left - count + 1, 0) / left
    return count / size * np.concatenate([[1.0], np.cumprod(ratios)])


def _t_quantile(freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def _resampled(errors: Values, seed: int, purpose: str) -> np.ndarray:
    # Sorted first, so that the interval does not depend on the order of the sample.
    values = np.sort(np.asarray(errors, dtype=float))
    rng = np.random.default_rng(derived_seed(seed, "bootstrap", purpose))
    return values[rng.integers(len(values), size=(RESAMPLES, len(values)))]


def _middle(values: np.ndarray) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
