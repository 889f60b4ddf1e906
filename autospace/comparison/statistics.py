"""Estimates, intervals and tests for one sample of errors and for the difference of two.

Where two samples are compared, A comes first, and a positive effect means that B has the lower
errors. Functions import scipy themselves, because the import takes two seconds.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from autospace.seeds import derived_seed

LEVEL = 0.95
Values = Sequence[float] | np.ndarray


class Interval(NamedTuple):
    """Both ends."""

    low: float
    high: float


class Tested(NamedTuple):
    """A test statistic and its two-sided p-value."""

    statistic: float
    p: float


class Effect(Protocol):
    """An estimate whose interval at a level excludes 0 exactly if p < 1 - level."""

    @property
    def value(self) -> float:
        """The estimate; positive where B is better."""
        ...

    @property
    def error(self) -> float:
        """Standard error; 0 if all draws agree."""
        ...

    @property
    def p(self) -> float:
        """Two-sided p-value of no effect."""
        ...

    def interval(self, level: float) -> Interval:
        """The interval of this confidence."""
        ...


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """Mean of A minus mean of B, with Student's t.

    Where all differences are equal, no spread is known: each network counts as a toss of a coin.

    Attributes:
        error: standard error.
        freedom: degrees of freedom.
    """

    value: float
    error: float
    freedom: float

    @property
    def p(self) -> float:
        """Two-sided p-value of equal means."""
        if self._all_equal:
            return min(1.0, 2 * 0.5 ** (self.freedom + 1)) if self.value else 1.0
        return _students_p(self.value, self.error, self.freedom)

    def interval(self, level: float) -> Interval:
        """The interval of this confidence."""
        if self._all_equal:
            half = abs(self.value) if self.p >= 1 - level else 0.0
            return Interval(self.value - half, self.value + half)
        return _students_interval(self.value, self.error, self.freedom, level)

    @property
    def _all_equal(self) -> bool:
        """Whether there is no spread, but for the rounding of sums."""
        return self.error <= 1e-12 * abs(self.value)


@dataclass(frozen=True, slots=True)
class Superiority:
    """P(B < A) + P(B = A) / 2 for one draw of each, with DeLong's error on the logit scale.

    Attributes:
        probability: from 0 to 1.
        error: standard error of the probability.
        freedom: degrees of freedom.
        least: number of draws in the smaller sample.
    """

    probability: float
    error: float
    freedom: float
    least: int

    @property
    def value(self) -> float:
        """P(B < A) - P(A < B): from -1 to 1, positive where B is better."""
        return 2 * self.probability - 1

    @property
    def p(self) -> float:
        """Two-sided p-value of a probability of one half."""
        if self._separate:
            # The samples do not overlap: as likely as so many tosses of a coin that agree.
            return min(1.0, 2 * 0.5**self.least)
        return 1.0 if self.error == 0 else _students_p(*self._logit, self.freedom)

    def interval(self, level: float) -> Interval:
        """The interval of `value`."""
        low, high = self.probability_interval(level)
        return Interval(2 * low - 1, 2 * high - 1)

    def probability_interval(self, level: float) -> Interval:
        """The interval of the probability; within 0 and 1."""
        if self._separate:
            bound = ((1 - level) / 2) ** (1 / self.least)
            return Interval(bound, 1.0) if self.probability == 1 else Interval(0.0, 1 - bound)
        if self.error == 0:
            return Interval(self.probability, self.probability)
        ends = _students_interval(*self._logit, self.freedom, level)
        return Interval(*(1 / (1 + math.exp(-each)) for each in ends))

    @property
    def _separate(self) -> bool:
        return self.probability in (0.0, 1.0)

    @property
    def _logit(self) -> tuple[float, float]:
        """The logit of the probability, and its standard error."""
        rest = 1 - self.probability
        return math.log(self.probability / rest), self.error / (self.probability * rest)


def mean_difference(a: Values, b: Values, *, paired: bool) -> MeanDifference:
    """The difference of the means: by pairs if the samples were matched, else Welch's."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if paired:
        gaps = x - y
        return MeanDifference(float(gaps.mean()), _mean_error(gaps), len(gaps) - 1)
    parts = _mean_error(x) ** 2, _mean_error(y) ** 2
    total = sum(parts)
    shares = sum(part**2 / (len(s) - 1) for part, s in zip(parts, (x, y), strict=True))
    freedom = total**2 / shares if total else min(len(x), len(y)) - 1
    return MeanDifference(float(x.mean() - y.mean()), math.sqrt(total), freedom)


def superiority(a: Values, b: Values, *, paired: bool) -> Superiority:
    """Share of the pairs of draws in which B is below A (DeLong et al., 1988)."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    wins = (y[None, :] < x[:, None]) + 0.5 * (y[None, :] == x[:, None])
    of_a, of_b = wins.mean(axis=1), wins.mean(axis=0)
    error = math.hypot(_mean_error(of_a), _mean_error(of_b))
    freedom: float = len(x) + len(y) - 2
    if paired:
        # The i-th draws belong together, and so do what they add to the estimate.
        error = _mean_error(of_a + of_b) or error
        freedom = len(x) - 1
    return Superiority(float(wins.mean()), error, freedom, min(len(x), len(y)))


def kolmogorov_smirnov(a: Sequence[float], b: Sequence[float]) -> Tested:
    """Largest distance between the two EDFs."""
    from scipy import stats

    with warnings.catch_warnings():
        # Where ties defeat the exact p-value, the asymptotic one does.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = stats.ks_2samp(a, b)
    return Tested(float(found.statistic), float(found.pvalue))


def mann_whitney(a: Sequence[float], b: Sequence[float]) -> Tested:
    """U of A: pairs of draws in which A is larger, ties half."""
    from scipy import stats

    if len({*a, *b}) == 1:
        return Tested(len(a) * len(b) / 2, 1.0)
    found = stats.mannwhitneyu(a, b, alternative="two-sided")
    return Tested(float(found.statistic), float(found.pvalue))


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[tuple[float, float]]:
    """Holm's procedure: per test the corrected p-value, and the level at which it is tested.

    An interval at that level excludes 0 exactly if the corrected p-value is below 1 - level.
    """
    count = len(p_values)
    found = [(1.0, level)] * count
    corrected, rejecting, alpha = 0.0, True, 1 - level
    for rank, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        corrected = min(1.0, max(corrected, (count - rank) * p_values[index]))
        if rejecting:
            alpha = (1 - level) / (count - rank)
            rejecting = p_values[index] < alpha
        found[index] = (corrected, 1 - alpha)
    return found


def _students_p(estimate: float, error: float, freedom: float) -> float:
    """Two-sided p-value of 0 by Student's t; `error` is the standard error of the estimate."""
    from scipy import stats

    return float(2 * stats.t.sf(abs(estimate) / error, freedom))


def _students_interval(
    estimate: float, error: float, freedom: float, level: float = LEVEL
) -> Interval:
    """The estimate plus and minus the quantile of Student's t times its standard error."""
    from scipy import stats

    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return Interval(estimate - half, estimate + half)


def _mean_error(values: np.ndarray) -> float:
    """Standard error of the mean; exactly 0 where all values are equal."""
    if np.all(values == values[0]):
        return 0.0
    return float(values.std(ddof=1) / math.sqrt(len(values)))


RESAMPLES: Final = 4000


class Estimate(NamedTuple):
    """A figure and its interval."""

    value: float
    interval: Interval


class Variance(NamedTuple):
    """Variance components of errors, in the square of their unit."""

    architecture: float
    seed: float

    @property
    def share(self) -> float:
        """Share of the architecture in the variance of one error; 0 where there is no variance."""
        total = self.architecture + self.seed
        return self.architecture / total if total else 0.0


def mean(errors: Values, *, shares: bool = False) -> Estimate:
    """Mean with Student's t: its interval covers better than the bootstrap's in small samples.

    Args:
        errors: one per network.
        shares: they are 0 to 1; the interval is cut there, as no mean of shares is elsewhere.
    """
    values = np.asarray(errors, dtype=float)
    centre = float(values.mean())
    interval = _students_interval(centre, _mean_error(values), len(values) - 1)
    if shares:
        interval = Interval(max(interval.low, 0.0), min(interval.high, 1.0))
    return Estimate(centre, interval)


def median(errors: Values, seed: int = 0) -> Estimate:
    """Median with the percentile bootstrap."""
    from scipy import stats

    # Sorted, so that the interval does not depend on the order of the sample.
    found = stats.bootstrap(
        (np.sort(np.asarray(errors, dtype=float)),),
        np.median,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(derived_seed(seed, "bootstrap", "median")),
    )
    return Estimate(float(np.median(errors)), Interval(*map(float, found.confidence_interval)))


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
    return Estimate(value, _students_interval(value, error, size - 1))


def best_curve(errors: Values) -> list[float]:
    """Expected error of the best of 1, 2, ... n networks, from n errors.

    E[min of k] = sum_i e_(i) C(n - i, k - 1) / C(n, k) over the sorted errors: the mean over all
    subsets of k. Unbiased, unlike drawing with replacement from the EDF (Dodge et al., EMNLP
    2019), which is too pessimistic (Tang et al., ACL 2020).
    """
    ordered = np.sort(np.asarray(errors, dtype=float))
    return [float(ordered @ _weights(len(ordered), k)) for k in range(1, len(ordered) + 1)]


def reported_counts(samples: int) -> list[int]:
    """The n for which so many samples can estimate the best of n: powers of two up to an eighth."""
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
