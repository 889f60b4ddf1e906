"""One sentence: who is better, by how much, how surely.

What a reader has to know beside the verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autospace.comparison.statistics import (
    LEVEL,
    Effect,
    Interval,
    MeanDifference,
    Superiority,
    Tested,
    holm,
    kolmogorov_smirnov,
    mann_whitney,
    mean_difference,
    superiority,
)
from autospace.evaluators.evaluator import PROXIES, SCORES_ONLY, EvaluationMethod
from autospace.spaces.text import human

Verdict = Literal["a", "b", "none"]


@dataclass(frozen=True)
class ComparedPair:
    """The first space against another.

    Attributes:
        b: place of the other space.
        effect: what the verdict is read off.
        level: confidence of `interval`, at which the verdict is made.
        p_holm: p-value, corrected for the number of pairs.
    """

    b: int
    effect: Effect
    level: float
    p_holm: float
    test: str
    superiority: Superiority
    kolmogorov_smirnov: Tested
    mann_whitney: Tested
    sentence: str

    @property
    def interval(self) -> Interval:
        """Interval of the effect."""
        return self.effect.interval(self.level)

    @property
    def verdict(self) -> Verdict:
        """`b` or `a`, whichever is better beyond doubt, or `none`."""
        return verdict_of(self.interval)


def verdict_of(interval: Interval) -> Verdict:
    """Who is better, read off the interval of A minus B."""
    if interval.low > 0:
        return "b"
    return "a" if interval.high < 0 else "none"


def judge(
    errors: Sequence[Sequence[float]],
    labels: Sequence[str],
    *,
    paired: bool,
    method: EvaluationMethod,
    level: float = LEVEL,
) -> list[ComparedPair]:
    """The first space against each other one, corrected for their number by Holm's procedure.

    Errors are compared by their means, scores that are no errors by who is more often better.
    """
    first, *others = errors
    scores = method in SCORES_ONLY
    wins = [superiority(first, other, paired=paired) for other in others]
    effects: list[Effect] = [*wins]
    if not scores:
        effects = [mean_difference(first, other, paired=paired) for other in others]
    corrected = holm([effect.p for effect in effects], level)
    name = "DeLong" if scores else "paired t" if paired else "Welch t"
    return [
        ComparedPair(
            place,
            effect,
            tested_at,
            p_holm,
            name,
            win,
            kolmogorov_smirnov(first, other),
            mann_whitney(first, other),
            sentence(effect, tested_at, labels[0], labels[place], len(first), method),
        )
        for place, (other, effect, win, (p_holm, tested_at)) in enumerate(
            zip(others, effects, wins, corrected, strict=True), start=1
        )
    ]


def sentence(
    effect: Effect, level: float, a: str, b: str, samples: int, method: EvaluationMethod
) -> str:
    """The verdict on two spaces in words."""
    interval, value = effect.interval(level), effect.value
    verdict = verdict_of(interval)
    better, worse = b, a
    if verdict == "a" or (verdict == "none" and value < 0):
        better, worse = a, b
        value, interval = -value, Interval(-interval.high, -interval.low)
    told = f"n = {samples} each" + ("" if level == LEVEL else f", {100 * level:.3g} % interval")
    said = _points if isinstance(effect, MeanDifference) else _chances
    text = said(value, interval, better, worse, told)
    if verdict != "none":
        text = f"{better} beats {worse}: {text}"
    else:
        text = f"no difference found between {a} and {b}: {text}"
        if isinstance(effect, MeanDifference):
            excluded = _number(max(abs(interval.low), abs(interval.high)))
            text = f"{text}; an effect above {excluded} points is excluded"
    if method in PROXIES:
        return f"by the proxy {method} ({PROXIES[method]}): {text}"
    return text


def not_comparable(labels: Sequence[str], costs: Sequence[tuple[int, int]], cost: str) -> str:
    """Why nothing was compared."""
    spans = (
        f"{label} from {human(low)} to {human(high)}"
        for label, (low, high) in zip(labels, costs, strict=True)
    )
    unit = "MAdds" if cost == "madds" else cost
    return (
        f"not comparable at equal {unit}, their networks hardly overlap: {', '.join(spans)} {unit}"
    )


def _points(value: float, interval: Interval, better: str, worse: str, told: str) -> str:
    low, high = map(_number, interval)
    said = f"a random network from {better} is {_number(value)} points better"
    return f"{said} ({low} to {high}, {told})"


def _chances(value: float, interval: Interval, better: str, worse: str, told: str) -> str:
    chance, low, high = ((each + 1) / 2 for each in (value, *interval))
    return (
        f"a random network from {better} scores higher than one from {worse} with probability "
        f"{chance:.2f} ({low:.2f} to {high:.2f}, {told})"
    )


def _number(share: float) -> str:
    """A share in points: one digit more than one tells apart, and no minus before a zero."""
    value = 100 * share
    text = f"{value:.1f}" if abs(value) >= 0.95 else f"{value:.2f}"
    return text.lstrip("-") if not float(text) else text
