"""Choices: costs, limits, and the best allowed architecture, against enumeration."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import Budget, Space, load
from autospace.spaces.choices import Choices, SearchError, limits_of
from tests.strategies import spaces

MBCONV = load("mbconv@digits")


def _paths(space: Space) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(len(layer.candidates)) for layer in space.layers)))


@st.composite
def limited(draw: st.DrawFn) -> Choices:
    """Small spaces under limits that something meets."""
    space = draw(spaces())
    paths = _paths(space)[:500]
    free = Choices(space)
    costs = [free.cost(path) for path in paths]
    kept = draw(st.sampled_from(costs))
    budget = Budget(
        draw(st.sampled_from([None, kept.madds])), draw(st.sampled_from([None, kept.params]))
    )
    return Choices(space, limits_of(space, budget))


@given(limited(), st.integers(0, 999).map(random.Random))
def test_whatever_is_drawn_keeps_the_limits(choices: Choices, rng: random.Random) -> None:
    path = choices.draw(rng)
    for each in (
        path,
        choices.mutated(path, rng, 0.3),
        choices.crossed(path, choices.draw(rng), rng),
        choices.draw_new(rng, {path}),
    ):
        architecture = choices.architecture(each)
        assert architecture.cost == choices.cost(each)
        for limit in choices.limits:
            assert getattr(architecture.cost, limit.name.removeprefix("max_")) <= limit.most
        assert choices.path(architecture) in {
            other for other in _paths(choices.space) if choices.architecture(other) == architecture
        }


@given(limited(), st.integers(0, 999).map(random.Random))
def test_the_best_is_the_best_of_all_that_is_allowed(choices: Choices, rng: random.Random) -> None:
    scores = [[rng.uniform(-1, 1) for _ in range(size)] for size in choices.sizes]

    def score(path: tuple[int, ...]) -> float:
        return sum(row[index] for row, index in zip(scores, path, strict=True))

    allowed = [path for path in _paths(choices.space) if choices.allows(path)]
    best = choices.best(scores)
    assert choices.allows(best)
    assert score(best) == pytest.approx(max(map(score, allowed)))


def test_a_draw_is_uniform_over_what_is_allowed() -> None:
    space = load("mbconv@digits")
    middle = int(space.madds.mean)
    choices = Choices(space, limits_of(space, Budget(max_madds=middle)))
    allowed = {path for path in _paths(space) if choices.allows(path)}
    rng = random.Random(0)
    draws = [choices.draw(rng) for _ in range(20_000)]
    assert set(draws) <= allowed
    # By layer and candidate: enough draws each for a tight comparison with the exact share.
    for layer, size in enumerate(choices.sizes):
        for index in range(size):
            exact = sum(path[layer] == index for path in allowed) / len(allowed)
            found = sum(path[layer] == index for path in draws) / len(draws)
            assert found == pytest.approx(exact, abs=0.02)


def test_a_mutant_differs_from_its_parent() -> None:
    choices, rng = Choices(MBCONV), random.Random(0)
    for _ in range(100):
        path = choices.draw(rng)
        assert choices.mutated(path, rng, 0.01) != path


def test_a_limit_that_nothing_meets_is_refused() -> None:
    cheapest = MBCONV.madds.min
    with pytest.raises(SearchError, match=r"max_madds: at most .* cheapest .* raise the limit"):
        Choices(MBCONV, limits_of(MBCONV, Budget(max_madds=int(cheapest) - 1)))
    Choices(MBCONV, limits_of(MBCONV, Budget(max_madds=int(cheapest))))
