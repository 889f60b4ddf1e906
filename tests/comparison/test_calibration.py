"""What a comparison promises, held by many simulated ones: 95 % means 95 %."""

import math
from functools import partial

import numpy as np
import pytest
from scipy import stats

from autospace.comparison.sample_size import samples_needed
from autospace.comparison.statistics import LEVEL, holm, mean_difference, superiority
from autospace.comparison.verdict import ComparedPair, verdict_of
from autospace.spaces import Architecture
from tests.comparison.setups import (
    CHEAP,
    DEAR,
    Noise,
    by_cost,
    normal,
    simulated,
    skewed,
    space,
    tied,
)
from tests.slow import slowly

TIMES = 100
LEAST = 93

noises = pytest.mark.parametrize("noise", [skewed, *slowly(normal, tied)])


def _of_kind(verdict: str, pairs: list[list[ComparedPair]]) -> int:
    return sum(each[0].verdict == verdict for each in pairs)


def by_cost_and_depth(network: Architecture) -> float:
    """Larger networks are better, and kernels matter a little."""
    kernels = sum("7x7" in edge.operation for cell in network.cells for edge in cell.edges)
    return by_cost(network) - 0.003 * kernels


@noises
def test_a_space_against_itself_shows_no_difference(noise: Noise) -> None:
    same = [space(CHEAP), space(CHEAP)]
    found = [simulated(same, by_cost_and_depth, seed, 16, noise=noise) for seed in range(TIMES)]
    assert _of_kind("none", found) >= LEAST


@pytest.mark.slow
def test_a_pure_cost_advantage_is_matched_away() -> None:
    spaces = [space(CHEAP), space(DEAR)]
    alike = [simulated(spaces, by_cost, seed, 32) for seed in range(TIMES)]
    assert _of_kind("none", alike) >= LEAST
    apart = [simulated(spaces, by_cost, seed, 32, matched=False) for seed in range(TIMES)]
    assert _of_kind("b", apart) >= LEAST


@pytest.mark.slow
def test_a_planted_difference_is_found_with_the_promised_power_and_covered() -> None:
    # Errors of equal cost differ by noise alone: two draws spread by the root of two.
    flat = partial(simulated, [space(CHEAP), space(DEAR)], lambda _: 0.5)
    samples = samples_needed(0.01, 0.01 * math.sqrt(2), paired=True)
    found = [flat(seed, samples, shift=0.01) for seed in range(2 * TIMES)]
    assert stats.binomtest(_of_kind("b", found), 2 * TIMES, 0.8).pvalue > 1e-3
    assert _of_kind("a", found) == 0
    covered = sum(each[0].interval.low <= 0.01 <= each[0].interval.high for each in found)
    assert stats.binomtest(covered, 2 * TIMES, 0.95).pvalue > 1e-3


def _drawn(rng: np.random.Generator, kind: str, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Two samples of one distribution; the i-th of both share what their cost is worth."""
    cost = rng.normal(0, 1.5, samples)
    if kind == "normal":
        a, b = rng.normal(50, 1, (2, samples))
    elif kind == "skewed":
        a, b = 50 + rng.lognormal(0, 0.8, (2, samples))
    else:
        a, b = np.round(rng.normal(50, 0.7, (2, samples)))
        cost = np.round(cost)
    return a + cost, b + cost


@pytest.mark.parametrize("samples", [8, 16, 64])
@pytest.mark.parametrize("kind", ["normal", "skewed", "tied"])
def test_no_more_than_one_in_twenty_false_verdicts(kind: str, samples: int) -> None:
    rng = np.random.default_rng(samples)
    times = 400
    for effect in (mean_difference, superiority):
        false = 0
        for _ in range(times):
            a, b = _drawn(rng, kind, samples)
            false += verdict_of(effect(a, b, paired=True).interval(LEVEL)) != "none"
        assert stats.binomtest(false, times, 0.05, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize("samples", [8, 32])
@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_welchs_interval_covers_where_nothing_was_matched(kind: str, samples: int) -> None:
    rng = np.random.default_rng(7)
    times, covered = 400, 0
    for _ in range(times):
        a, _ = _drawn(rng, kind, samples)
        _, b = _drawn(rng, kind, samples)
        low, high = mean_difference(a + 2, b, paired=False).interval(LEVEL)
        covered += low <= 2 <= high
    assert stats.binomtest(covered, times, 0.95, alternative="less").pvalue > 1e-3


def test_among_several_equal_spaces_one_in_twenty_comparisons_errs() -> None:
    rng = np.random.default_rng(5)
    times, wrong = 400, 0
    for _ in range(times):
        first, *others = rng.normal(50, 1, (5, 12))
        effects = [mean_difference(first, other, paired=True) for other in others]
        levels = [level for _, level in holm([effect.p for effect in effects])]
        intervals = [e.interval(level) for e, level in zip(effects, levels, strict=True)]
        wrong += any(verdict_of(each) != "none" for each in intervals)
    assert stats.binomtest(wrong, times, 0.05, alternative="greater").pvalue > 1e-3
