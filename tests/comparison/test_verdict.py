"""The verdict in words: it says what the interval says."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.comparison.statistics import Interval, MeanDifference
from autospace.comparison.verdict import compare_pairs, not_comparable, sentence, verdict_of
from autospace.evaluators.evaluator import PROXIES, EvaluationMethod

ERRORS = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=6, max_size=6)
# 64 degrees of freedom: the 97.5 % point of Student's t is 1.99773.
EFFECT = MeanDifference(0.013, 0.002, 64)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.1, 2), "b"), ((-2, -0.1), "a"), ((-1, 1), "none"), ((0, 1), "none"), ((0, 0), "none")],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero(
    interval: tuple[float, float], verdict: str
) -> None:
    assert verdict_of(Interval(*interval)) == verdict


def test_a_winner_is_named_with_difference_interval_and_number() -> None:
    assert sentence(EFFECT, 0.95, "first", "second", 64, "train") == (
        "second beats first: on average a random network from second is 1.3 points better "
        "(95 % interval 0.90 to 1.7, 64 networks per space)"
    )


def test_the_first_space_can_win_too() -> None:
    assert sentence(MeanDifference(-0.013, 0.002, 64), 0.95, "first", "second", 64, "train") == (
        "first beats second: on average a random network from first is 1.3 points better "
        "(95 % interval 0.90 to 1.7, 64 networks per space)"
    )


def test_without_a_winner_it_says_what_is_excluded() -> None:
    assert sentence(MeanDifference(0.002, 0.002, 64), 0.95, "first", "second", 8, "train") == (
        "no significant difference between first and second: on average a random network from "
        "second is 0.20 points better (95 % interval -0.20 to 0.60, 8 networks per space); "
        "a difference above 0.60 points is excluded"
    )


@pytest.mark.parametrize("paired", [True, False])
def test_equal_errors_are_no_verdict_and_exclude_nothing(paired: bool) -> None:
    (pair,) = compare_pairs([[0.5] * 6] * 2, ["a", "b"], paired=paired, method="train")
    assert pair.verdict == "none"
    assert pair.sentence == (
        "no verdict: all errors are equal of a and b, network by network (6 per space)"
    )


@pytest.mark.parametrize("method", PROXIES)
def test_a_proxy_is_called_a_proxy(method: EvaluationMethod) -> None:
    errors = [[5.0, 6, 7, 8, 9, 10], [1.0, 2, 3, 4, 5, 3]]
    (pair,) = compare_pairs(errors, ["a", "b"], paired=True, method=method)
    assert pair.sentence.startswith(f"evaluated by the proxy {method} (")


def test_scores_that_are_no_errors_are_compared_by_chances() -> None:
    errors = [[-1.0, -2, -3, -4, -5, -6], [-1000.0, -2000, -3, -4000, -5000, -6000]]
    (pair,) = compare_pairs(errors, ["a", "b"], paired=True, method="naswot")
    assert pair.test == "DeLong"
    assert "scores higher than one from a with probability" in pair.sentence
    assert "points" not in pair.sentence
    assert -1 <= pair.interval.low <= pair.effect.value <= pair.interval.high <= 1


@given(ERRORS, ERRORS, st.booleans())
def test_swapping_the_spaces_swaps_the_verdict_and_nothing_else(
    a: list[float], b: list[float], paired: bool
) -> None:
    (there,) = compare_pairs([a, b], ["first", "second"], paired=paired, method="train")
    (back,) = compare_pairs([b, a], ["second", "first"], paired=paired, method="train")
    assert back.verdict == {"a": "b", "b": "a", "none": "none"}[there.verdict]
    numbers = re.compile(r"\d+\.\d+")
    if there.verdict != "none":
        assert there.sentence == back.sentence
    else:
        assert sorted(numbers.findall(there.sentence)) == sorted(numbers.findall(back.sentence))
    assert there.superiority.probability == pytest.approx(1 - back.superiority.probability)


def test_several_spaces_are_held_against_the_first_by_holm() -> None:
    first = [5.0, 6.1, 7.2, 5.4, 6.6, 7.1]
    others = [[each - 1 - 0.1 * i for i, each in enumerate(first)], [5.1, 6.0, 7.0, 5.5, 6.7, 7.0]]
    found = compare_pairs([first, *others], ["x", "y", "z"], paired=True, method="train")
    assert [pair.b for pair in found] == [1, 2]
    assert [pair.verdict for pair in found] == ["b", "none"]
    assert found[0].level == pytest.approx(0.975)
    assert found[1].level == pytest.approx(0.95)
    assert found[0].p_holm == pytest.approx(2 * found[0].effect.p)
    assert "97.5 % interval" in found[0].sentence


def test_spaces_that_share_no_cost_are_told_with_their_ranges() -> None:
    told = not_comparable(["x", "y"], [(1_200_000, 3_400_000), (9_000, 20_000)], "madds")
    assert told == (
        "the costs of their networks hardly overlap",
        "x has 1.20M to 3.40M MAdds",
        "y has 9.00k to 20.0k MAdds",
        "--match none compares networks whatever they cost",
    )


def test_spaces_that_can_be_compared_are_told_where_not_all_can() -> None:
    told = not_comparable(["x", "y", "z"], [(1, 3), (8, 9), (2, 4)], "params", (0, 2))
    assert told[-1] == "without y the other spaces can be compared"


@given(ERRORS, ERRORS, st.booleans())
def test_shares_and_points_are_compared_alike(a: list[float], b: list[float], paired: bool) -> None:
    points = [[round(100 * error, 6) for error in errors] for errors in (a, b)]
    (small,) = compare_pairs([a, b], ["first", "second"], paired=paired, method="train")
    (large,) = compare_pairs(points, ["first", "second"], paired=paired, method="train")
    assert 100 * small.effect.value == pytest.approx(large.effect.value, abs=1e-9)
    assert [100 * end for end in small.interval] == pytest.approx([*large.interval], abs=1e-9)
    assert small.superiority == large.superiority
    assert small.mann_whitney == large.mann_whitney
    assert small.kolmogorov_smirnov == large.kolmogorov_smirnov
