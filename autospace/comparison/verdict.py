"""The verdict in one sentence: which space is better, by how much, and how certain that is."""

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
from autospace.spaces.cost import NAMES
from autospace.spaces.text import human

Verdict = Literal["a", "b", "none"]


@dataclass(frozen=True)
class ComparedPair:
    """The first space against another.

    Attributes:
        b: place of the other space.
        effect: the estimate that decides the verdict.
        level: confidence level of `interval` and of the verdict.
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
        """`a` or `b`, the space that is significantly better, or `none`."""
        return verdict_of(self.interval)


def verdict_of(interval: Interval) -> Verdict:
    """Which space is better, given the interval of A minus B."""
    if interval.low > 0:
        return "b"
    return "a" if interval.high < 0 else "none"


def compare_pairs(
    errors: Sequence[Sequence[float]],
    labels: Sequence[str],
    *,
    paired: bool,
    method: EvaluationMethod,
    level: float = LEVEL,
    diverged: Sequence[int] | None = None,
) -> list[ComparedPair]:
    """Compares the first space with each other one; Holm's procedure corrects for their number.

    Errors are compared by their means; other scores by which space wins more often.

    Args:
        errors: of every space, one per network.
        labels: of the spaces.
        paired: whether networks of the same place belong together.
        method: how they were evaluated.
        level: of the verdicts, before the correction.
        diverged: how many networks of every space diverged; their errors count as they are.
    """
    lost = diverged or [0] * len(errors)
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
            sentence(effect, tested_at, labels[0], labels[place], len(first), method)
            + _of_diverged([labels[0], labels[place]], [lost[0], lost[place]], len(first)),
        )
        for place, (other, effect, win, (p_holm, tested_at)) in enumerate(
            zip(others, effects, wins, corrected, strict=True), start=1
        )
    ]


def sentence(
    effect: Effect, level: float, a: str, b: str, samples: int, method: EvaluationMethod
) -> str:
    """The verdict on two spaces in words."""
    proxy = ""
    if method in PROXIES:
        proxy = f"evaluated by the proxy {method} ({PROXIES[method]}): "
    if effect.error == effect.value == 0:
        # Without any spread, nothing is known about the networks that were not drawn.
        compared = f"of {a} and {b}, network by network ({samples} per space)"
        return f"{proxy}no verdict: all errors are equal {compared}"
    interval, value = effect.interval(level), effect.value
    verdict = verdict_of(interval)
    better, worse = b, a
    if verdict == "a" or (verdict == "none" and value < 0):
        better, worse = a, b
        value, interval = -value, Interval(-interval.high, -interval.low)
    certainty = f"{100 * level:.3g} % interval {{}} to {{}}, {samples} networks per space"
    said = _points if isinstance(effect, MeanDifference) else _chances
    text = said(value, interval, better, worse, certainty)
    if verdict != "none":
        text = f"{better} beats {worse}: {text}"
    else:
        text = f"no significant difference between {a} and {b}: {text}"
        if isinstance(effect, MeanDifference):
            excluded = _number(max(abs(interval.low), abs(interval.high)))
            text = f"{text}; a difference above {excluded} points is excluded"
    return f"{proxy}{text}"


def _of_diverged(labels: Sequence[str], diverged: Sequence[int], samples: int) -> str:
    """What to add to a verdict in which errors of networks that diverged are counted."""
    if not any(diverged):
        return ""
    shares = _shares(labels, diverged, samples)
    return f"; this counts the errors of networks that diverged in training: {shares}"


def untrained(labels: Sequence[str], diverged: Sequence[int], samples: int) -> str:
    """The sentence that says that too many networks diverged for a verdict."""
    return (
        "no verdict: too many networks diverged in training, and their errors say nothing about "
        f"the spaces: {_shares(labels, diverged, samples)}"
    )


def _shares(labels: Sequence[str], diverged: Sequence[int], samples: int) -> str:
    counts = zip(diverged, labels, strict=True)
    return ", ".join(f"{count} of {samples} from {label}" for count, label in counts)


def not_comparable(
    labels: Sequence[str],
    costs: Sequence[tuple[int, int]],
    cost: str,
    together: Sequence[int] = (0,),
) -> tuple[str, ...]:
    """Why nothing can be compared, and what can be: clauses of one sentence.

    Args:
        labels: of the spaces.
        costs: per space, the lowest and the highest cost of its networks.
        cost: which one.
        together: the spaces that can be compared with each other, the first among them.
    """
    ends = [list(dict.fromkeys(map(human, each))) for each in costs]
    spans = (
        f"{label} has {' to '.join(each)} {NAMES[cost]}"
        for label, each in zip(labels, ends, strict=True)
    )
    others = [label for place, label in enumerate(labels) if place not in together]
    possible = f"without {' and '.join(others)} the other spaces can be compared"
    if len(together) == 1:
        possible = "--match none compares networks whatever they cost"
    return ("the costs of their networks hardly overlap", *spans, possible)


def _points(value: float, interval: Interval, better: str, worse: str, certainty: str) -> str:
    said = f"on average a random network from {better} is {_number(value)} points better"
    return f"{said} ({certainty.format(*map(_number, interval))})"


def _chances(value: float, interval: Interval, better: str, worse: str, certainty: str) -> str:
    chance, low, high = ((each + 1) / 2 for each in (value, *interval))
    return (
        f"a random network from {better} scores higher than one from {worse} with probability "
        f"{chance:.2f} ({certainty.format(f'{low:.2f}', f'{high:.2f}')})"
    )


def _number(share: float) -> str:
    """A share in points, without a minus before a zero."""
    value = 100 * share
    text = f"{value:.1f}" if abs(value) >= 0.95 else f"{value:.2f}"
    return text.lstrip("-") if not float(text) else text
