"""How many networks to compare: as the user says, or as many as the wanted effect needs."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from autospace.comparison.effects import LEVEL
from autospace.comparison.power import MOST, detectable, samples_needed

PILOT: Final = 8
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
    say: Callable[[str], None],
) -> int:
    """Networks per space that find the effect, by the spread of those evaluated so far.

    Begins with a pilot and at most doubles from one look at the spread to the next, so that the
    last look rests on at least half of all. The difference itself is not looked at.

    Args:
        evaluate: gives the errors of the first so many networks of every space.
        effect: what shall be found, in points.
        most: networks per space that there are.
        paired: whether the i-th networks of all spaces belong together.
        say: told what each look shows.
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
        say(_told(done, spread, needed, effect, goal))
        if goal <= done:
            return done
        if goal <= 2 * done:
            return goal
        done = 2 * done


def needed_for(effect: float, spread: float, level: float, *, paired: bool) -> int:
    """Networks per space that find the effect; 2 without spread."""
    return 2 if spread == 0 else samples_needed(effect, spread, paired=paired, level=level)


def found_with(samples: int, spread: float, level: float, *, paired: bool) -> float:
    """The smallest effect that so many networks find, in points."""
    return 0.0 if spread == 0 else detectable(samples, spread, paired=paired, level=level)


def level_of(pairs: int, level: float = LEVEL) -> float:
    """Confidence at which each of several pairs is tested at most."""
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
    said = (
        f"after {done} networks each: differences spread by {spread:.2f} points, so n = {needed} "
        f"each gives 80 % power for {effect:g} point{'' if effect == 1 else 's'}"
    )
    return said if goal >= needed else f"{said}; n = {max(goal, done)} is what there can be"
