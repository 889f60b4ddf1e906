"""How many networks are enough: textbook values and simulation."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from autospace.comparison import sample_size
from autospace.comparison.sample_size import (
    MOST,
    MOST_COUNTED,
    PILOT,
    PLANNED_LEVEL,
    cautious,
    counted,
    detectable,
    found_with,
    in_points,
    level_of,
    needed_for,
    planned,
    power_of,
    samples_needed,
    spread_of,
)
from autospace.comparison.statistics import mean_difference
from autospace.progress import no_message


@pytest.mark.parametrize(
    ("effect", "paired", "samples"),
    # Cohen (1988), two-sided 5 %, power 80 %: 394, 64 and 26 per group for d = 0.2, 0.5, 0.8;
    # by pairs 199, 34 and 15.
    [
        *((0.2, False, 394), (0.5, False, 64), (0.8, False, 26)),
        *((0.2, True, 199), (0.5, True, 34), (0.8, True, 15)),
    ],
)
def test_as_many_as_the_textbook_says(effect: float, paired: bool, samples: int) -> None:
    spread = 1.0 if paired else 2**0.5
    assert samples_needed(effect, spread, paired=paired) == samples


@pytest.mark.parametrize("effect", [1e-12, 1e-200, 5e-324])
def test_no_effect_is_too_small_to_count(effect: float) -> None:
    assert samples_needed(effect, 0.02, paired=True) == MOST_COUNTED


@pytest.mark.parametrize("paired", [True, False])
def test_power_is_the_share_of_simulated_tests_that_find_it(paired: bool) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 2, (3000, 12)), rng.normal(0, 2, (3000, 12))
    test = stats.ttest_rel if paired else stats.ttest_ind
    found = int((test(a, b, axis=1).pvalue < 0.05).sum())
    promised = power_of(12, 1.0, 8**0.5, paired=paired, level=0.95)
    assert stats.binomtest(found, 3000, promised).pvalue > 1e-3


@pytest.mark.parametrize("samples", [4, 16, 64])
def test_what_is_detectable_needs_no_more_than_it_took(samples: int) -> None:
    effect = detectable(samples, 2.0, paired=True)
    assert samples_needed(effect, 2.0, paired=True) == samples
    assert samples_needed(0.99 * effect, 2.0, paired=True) == samples + 1 + (samples == 64)


def _integrated(freedom: int, level: float, shift: float) -> float:
    """P(|Z + shift| > t sqrt(V / freedom)): Z is normal, V chi-squared; far tails are left out."""
    bound = stats.t.ppf((1 + level) / 2, freedom)
    z = np.linspace(-9, 9, 20_001)
    below = stats.chi2.cdf(((z + shift) / bound) ** 2 * freedom, freedom)
    return float(np.trapezoid(stats.norm.pdf(z) * below, z))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("pairs", [1, 5, 25])
def test_a_few_networks_are_as_many_as_an_effect_of_many_spreads_needs(
    pairs: int, paired: bool
) -> None:
    level = level_of(pairs)
    for effect in (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 20.0, 50.0):
        samples = samples_needed(effect, 1.0, paired=paired, level=level)
        freedoms = [n - 1 if paired else 2 * (n - 1) for n in (samples, samples - 1)]
        powers = [
            _integrated(freedom, level, effect * n**0.5) if freedom else 0.0
            for n, freedom in zip((samples, samples - 1), freedoms, strict=True)
        ]
        assert powers[1] < 0.8 < powers[0], effect


def test_a_few_networks_detect_what_is_said() -> None:
    for samples in (4, 5, 6):
        found = detectable(samples, 1.0, paired=True, level=level_of(25))
        power = _integrated(samples - 1, level_of(25), found * samples**0.5)
        assert power == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("spread", [1e-9, 1e-17, 1e-160, 5e-324])
def test_nearly_no_spread_needs_as_few_networks_as_there_can_be(spread: float) -> None:
    assert power_of(2, 0.01, spread, paired=True, level=0.95) == 1
    assert samples_needed(0.01, spread, paired=True) == 2


def test_several_pairs_need_more() -> None:
    alone, three = (needed_for(1.0, 2.0, level_of(pairs), paired=True) for pairs in (1, 3))
    assert alone < three < 2 * alone
    assert found_with(alone, 2.0, level_of(3), paired=True) > 1


def test_no_spread_needs_no_networks() -> None:
    assert needed_for(1.0, 0.0, 0.95, paired=True) == 2
    assert found_with(8, 0.0, 0.95, paired=True) == 0


def test_a_cautious_spread_is_rarely_too_small() -> None:
    draws = np.random.default_rng(0).normal(0, 2, (4000, 8))
    enough = sum(cautious(float(each.std(ddof=1)), 7) >= 2 for each in draws)
    assert stats.binomtest(enough, 4000, 0.6).pvalue > 1e-3


def test_the_spread_is_that_of_a_difference() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0]
    assert spread_of([first, second], paired=True) == 0
    assert spread_of([first, second], paired=False) == pytest.approx((5 / 3 + 5 / 3) ** 0.5)
    third = [0.0, 10.0, 0.0, 10.0]
    assert spread_of([first, second, third], paired=True) == pytest.approx(
        np.std(np.subtract(first, third), ddof=1)
    )


class _Drawn:
    """Errors of two spaces, known before anybody looks."""

    def __init__(self, seed: int, spread: float, shift: float) -> None:
        rng = np.random.default_rng(seed)
        self._errors = rng.normal(0, spread / 2**0.5, (2, 1000))
        self._errors[0] += shift
        self.looks: list[int] = []

    def first(self, count: int) -> list[list[float]]:
        self.looks.append(count)
        return [each[:count].tolist() for each in self._errors]

    def verdict(self, effect: float) -> tuple[int, bool]:
        count = planned(self.first, effect, 1000, paired=True, on_message=lambda _: None)
        test = stats.ttest_rel(*self._errors[:, :count])
        return count, bool(test.pvalue < 1 - PLANNED_LEVEL)


@pytest.mark.slow
def test_a_plan_keeps_the_error_rate_and_the_power_it_promises() -> None:
    null = [_Drawn(seed, 2.0, 0.0).verdict(1.0) for seed in range(400)]
    false = sum(rejected for _, rejected in null)
    assert stats.binomtest(false, 400, 0.05, alternative="greater").pvalue > 1e-3
    real = [_Drawn(seed, 2.0, 1.0).verdict(1.0) for seed in range(400)]
    found = sum(rejected for _, rejected in real)
    assert stats.binomtest(found, 400, 0.8, alternative="less").pvalue > 1e-3
    assert np.mean([count for count, _ in real]) == pytest.approx(36, rel=0.15)


def _misses(effect: float, times: int) -> int:
    """Of intervals with a plan, where differences have a long tail; their spread is 1."""
    missed = 0
    for seed in range(times):
        differences = effect - 1 + np.random.default_rng(seed).exponential(size=(1, 256))
        errors = np.concatenate([differences, np.zeros_like(differences)])

        def first(count: int, errors: np.ndarray = errors) -> list[list[float]]:
            return [each[:count].tolist() for each in errors]

        count = planned(first, effect, 256, paired=True, on_message=no_message)
        interval = mean_difference(*first(count), paired=True).interval(PLANNED_LEVEL)
        missed += not interval.low <= effect <= interval.high
    return missed


def test_a_small_pilot_would_stop_too_early_where_errors_are_skewed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = 200
    found = _misses(0.5, times)
    assert stats.binomtest(found, times, 0.1, alternative="greater").pvalue > 1e-3
    monkeypatch.setattr(sample_size, "PILOT", 8)
    assert _misses(0.5, times) >= found + 0.03 * times


def test_a_plan_never_more_than_doubles_between_two_looks() -> None:
    drawn = _Drawn(0, 6.0, 0.0)
    count = planned(drawn.first, 1.0, 1000, paired=True, on_message=lambda _: None)
    steps = [*drawn.looks, count]
    assert steps[0] == PILOT
    assert all(after <= 2 * before for before, after in pairwise(steps))
    assert count == MOST


def test_a_plan_ends_with_what_there_is_and_says_so() -> None:
    said: list[str] = []
    count = planned(_Drawn(0, 6.0, 0.0).first, 1.0, 20, paired=True, on_message=said.append)
    assert count == 20
    assert said[-1].endswith("at most 20 networks are possible")
    assert planned(_Drawn(0, 6.0, 0.0).first, 1.0, 5, paired=True, on_message=said.append) == 5


def test_a_number_that_is_not_computed_exactly_is_told_as_a_bound() -> None:
    most = samples_needed(1e-6, 0.02, paired=True)
    assert most == MOST_COUNTED
    assert counted(most) == "more than 25,600"
    assert counted(5221) == "5,221"
    told: list[str] = []
    rng = np.random.default_rng(0)
    errors = rng.normal(0.3, 0.02, size=(2, 64)).tolist()
    planned(lambda n: [e[:n] for e in errors], 1e-6, 64, paired=True, on_message=told.append)
    assert "points: more than 25,600 networks per space can detect a diff" in told[0]


def test_one_point_is_singular() -> None:
    assert [in_points(each) for each in ("1", "0.5", "1.2", "16")] == [
        "1 point",
        "0.5 points",
        "1.2 points",
        "16 points",
    ]
