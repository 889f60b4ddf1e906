"""How many networks a comparison needs, and which difference it can detect with those it has."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from autospace.comparison.statistics import LEVEL
from autospace.progress import Message

POWER: Final = 0.8
MOST: Final = 256
MOST_COUNTED: Final = 100 * MOST
"""The largest number of networks that is computed: it then stands for itself and all above."""
ASSUMED_SPREAD: Final = 0.015
"""Standard deviation of the error of random networks, a share, before anything is known."""
CERTAIN: Final = 1e6
"""Standard errors: any test finds a difference of so many, and scipy takes no larger number."""


def power_of(samples: int, effect: float, spread: float, *, paired: bool, level: float) -> float:
    """Probability that a two-sided t test finds a difference.

    Args:
        samples: networks from each space.
        effect: true difference of the means, as a share (0 to 1) of the images.
        spread: standard deviation of the difference of one draw from each space, as a share.
        paired: whether the i-th networks of all spaces belong together.
        level: 1 minus the level of the test.
    """
    from scipy import stats

    freedom = samples - 1 if paired else 2 * (samples - 1)
    bound = stats.t.ppf((1 + level) / 2, freedom)
    shift = min(effect * math.sqrt(samples) / spread, CERTAIN)
    # By noncentral F, its square: where shifts are large, scipy gives no number for tails of t.
    return float(stats.ncf.sf(bound**2, 1, freedom, shift**2))


def samples_needed(
    effect: float, spread: float, *, paired: bool, level: float = LEVEL, power: float = POWER
) -> int:
    """Minimum number of networks per space that detects the effect; at most `MOST_COUNTED`."""
    from scipy import stats

    limit = MOST_COUNTED
    # What a test with the spread known would need: a little less than one that estimates it.
    quantiles = float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))
    ratio = min(quantiles * spread / effect, math.sqrt(limit))
    samples = max(2, min(limit, math.floor(ratio**2)))
    while samples < limit and (
        power_of(samples, effect, spread, paired=paired, level=level) < power
    ):
        samples += 1
    return samples


def detectable(
    samples: int, spread: float, *, paired: bool, level: float = LEVEL, power: float = POWER
) -> float:
    """The smallest effect that so many networks can detect, as a share (0 to 1)."""
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


PILOT: Final = 16
"""Networks per space of the first look: the spread of fewer skewed errors is often too small."""
PLANNED_LEVEL: Final = 0.96
"""Of intervals, where the spread decided the number: looking at it costs a point of level."""
CAUTION: Final = 0.6
"""Confidence that the spread is not larger than what is planned with."""
Errors = Sequence[Sequence[float]]
"""Per space, the mean error of every network."""


def planned(
    evaluate: Callable[[int], Errors],
    effect: float,
    most: int,
    *,
    paired: bool,
    on_message: Message,
) -> int:
    """Number of networks per space that detects the effect, given the spread observed so far.

    Begins with a pilot. The number at most doubles from one look at the spread to the next, so
    that the last look uses at least half of all networks. The difference itself is not looked at.

    Args:
        evaluate: gives the errors of the first so many networks of every space.
        effect: the difference to detect, as a share (0 to 1).
        most: number of networks per space that exist.
        paired: whether the i-th networks of all spaces belong together.
        on_message: receives a message about each look.
    """
    done = min(PILOT, most)
    while True:
        errors = evaluate(done)
        spread = spread_of(errors, paired=paired)
        pairs, freedom = len(errors) - 1, (done - 1) * (1 if paired else 2)
        needed = needed_for(
            effect, cautious(spread, freedom), level_of(pairs, PLANNED_LEVEL), paired=paired
        )
        goal = min(needed, MOST, most)
        on_message(_told(done, spread, needed, effect, goal))
        if goal <= done:
            return done
        if goal <= 2 * done:
            return goal
        done = 2 * done


def needed_for(effect: float, spread: float, level: float, *, paired: bool) -> int:
    """Number of networks per space that detects the effect; 2 if the spread is 0."""
    return 2 if spread == 0 else samples_needed(effect, spread, paired=paired, level=level)


def found_with(samples: int, spread: float, level: float, *, paired: bool) -> float:
    """As `detectable`; 0 if the spread is 0."""
    return 0.0 if spread == 0 else detectable(samples, spread, paired=paired, level=level)


def counted(samples: int) -> str:
    """A number of networks for people; the largest that is computed may be too small."""
    return f"{'more than ' * (samples >= MOST_COUNTED)}{samples:,}"


def in_points(number: str) -> str:
    """A number with its unit: `1 point`, `1.2 points`."""
    return f"{number} point{'s' * (number != '1')}"


def level_of(pairs: int, level: float = LEVEL) -> float:
    """Highest confidence level at which each of several pairs is tested (Holm)."""
    return 1 - (1 - level) / pairs


def cautious(spread: float, freedom: int) -> float:
    """Upper confidence bound of an estimated standard deviation."""
    from scipy import stats

    return spread * math.sqrt(freedom / float(stats.chi2.ppf(1 - CAUTION, freedom)))


def spread_of(errors: Errors, *, paired: bool) -> float:
    """Standard deviation of the difference of two draws, the largest over the pairs."""
    first, *others = (np.asarray(each, dtype=float) for each in errors)
    if paired:
        return max(float((first - other).std(ddof=1)) for other in others)
    return max(math.sqrt(first.var(ddof=1) + other.var(ddof=1)) for other in others)


def _told(done: int, spread: float, needed: int, effect: float, goal: int) -> str:
    text = (
        f"after {done} networks per space, differences have a standard deviation of "
        f"{100 * spread:.2f} points: {counted(needed)} networks per space can detect a difference "
        f"of {in_points(f'{100 * effect:g}')} (80 % power)"
    )
    return text if goal >= needed else f"{text}; at most {max(goal, done)} networks are possible"
