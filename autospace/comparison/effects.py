"""How two samples of errors differ: estimates, intervals and tests.

In all of them A comes first, and a positive effect means that B has the lower errors. scipy is
imported where it is needed: it takes two seconds.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

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
    """An estimate whose interval at a level leaves out 0 exactly where p < 1 - level."""

    @property
    def value(self) -> float:
        """The estimate; positive where B is better."""
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
        from scipy import stats

        if self.error == 0:
            return float(self.value == 0)
        return float(2 * stats.t.sf(abs(self.value) / self.error, self.freedom))

    def interval(self, level: float) -> Interval:
        """Estimate plus and minus quantile times standard error."""
        from scipy import stats

        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return Interval(self.value - half, self.value + half)


@dataclass(frozen=True, slots=True)
class Superiority:
    """P(B < A) + P(B = A) / 2 for one draw of each, with DeLong's error on the logit scale.

    Attributes:
        probability: from 0 to 1.
        error: standard error of the probability.
        freedom: degrees of freedom.
        least: draws in the smaller sample.
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
        from scipy import stats

        if self._separate:
            # Every draw on its side: as likely as so many tosses of a coin that agree.
            return min(1.0, 2 * 0.5**self.least)
        if self.error == 0:
            return 1.0
        logit, error = self._logit
        return float(2 * stats.t.sf(abs(logit) / error, self.freedom))

    def interval(self, level: float) -> Interval:
        """The interval of `value`."""
        low, high = self.probability_interval(level)
        return Interval(2 * low - 1, 2 * high - 1)

    def probability_interval(self, level: float) -> Interval:
        """The interval of the probability; within 0 and 1."""
        from scipy import stats

        if self._separate:
            bound = ((1 - level) / 2) ** (1 / self.least)
            return Interval(bound, 1.0) if self.probability == 1 else Interval(0.0, 1 - bound)
        if self.error == 0:
            return Interval(self.probability, self.probability)
        logit, error = self._logit
        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * error
        ends = (1 / (1 + math.exp(-each)) for each in (logit - half, logit + half))
        return Interval(*ends)

    @property
    def _separate(self) -> bool:
        return self.probability in (0.0, 1.0)

    @property
    def _logit(self) -> tuple[float, float]:
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
    freedom = total**2 / shares if total else len(x) + len(y) - 2
    return MeanDifference(float(x.mean() - y.mean()), math.sqrt(total), freedom)


def superiority(a: Values, b: Values, *, paired: bool) -> Superiority:
    """How often a draw of B is below one of A, over all pairs of draws (DeLong et al., 1988)."""
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

    An interval at that level leaves out 0 exactly where the corrected p-value is below 1 - level.
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


def _mean_error(values: np.ndarray) -> float:
    """Standard error of the mean; exactly 0 where all values are equal."""
    if np.all(values == values[0]):
        return 0.0
    return float(values.std(ddof=1) / math.sqrt(len(values)))
