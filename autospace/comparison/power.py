"""How many networks a comparison needs, and what it can find with those it has."""

import math
from typing import Final

from autospace.comparison.effects import LEVEL

POWER: Final = 0.8
FEWEST: Final = 8
MOST: Final = 256
ASSUMED_SPREAD: Final = 1.5
"""Standard deviation of the error of random networks, in points, before anything is known."""


def power_of(samples: int, effect: float, spread: float, *, paired: bool, level: float) -> float:
    """Probability that a two-sided t test finds a difference.

    Args:
        samples: networks from each space.
        effect: true difference of the means, in points.
        spread: standard deviation of the difference of one draw from each space, in points.
        paired: whether the i-th networks of all spaces belong together.
        level: 1 minus the level of the test.
    """
    from scipy import stats

    freedom = samples - 1 if paired else 2 * (samples - 1)
    bound = stats.t.ppf((1 + level) / 2, freedom)
    shift = effect * math.sqrt(samples) / spread
    return float(stats.nct.sf(bound, freedom, shift) + stats.nct.cdf(-bound, freedom, shift))


def samples_needed(
    effect: float, spread: float, *, paired: bool, level: float = LEVEL, power: float = POWER
) -> int:
    """Least networks from each space with which the effect is found; at most 100 times `MOST`."""
    from scipy import stats

    limit = 100 * MOST
    # What a test with the spread known would need: a little less than one that estimates it.
    quantiles = float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))
    samples = max(2, min(limit, math.floor((quantiles * spread / effect) ** 2)))
    while samples < limit and (
        power_of(samples, effect, spread, paired=paired, level=level) < power
    ):
        samples += 1
    return samples


def detectable(
    samples: int, spread: float, *, paired: bool, level: float = LEVEL, power: float = POWER
) -> float:
    """Smallest effect that so many networks find, in points."""
    low, high = 0.0, spread
    while power_of(samples, high, spread, paired=paired, level=level) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        if power_of(samples, middle, spread, paired=paired, level=level) < power:
            low = middle
        else:
            high = middle
    return high
