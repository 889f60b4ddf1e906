"""Networks drawn from a space: their cost, their distribution, and what they depend on."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from autospace.comparison.matching import draw, space_digest
from autospace.spaces import Space
from tests.comparison.setups import CHEAP, DEAR, space
from tests.strategies import spaces


@given(spaces(), st.integers(0, 99))
def test_the_cost_of_a_draw_is_that_of_its_architecture(some: Space, seed: int) -> None:
    pool = draw(some, seed, count=3)
    for row in range(3):
        cost = pool.architecture(row).cost
        assert (pool.madds[row], pool.params[row], 0) == cost
        assert (pool.cost("madds")[row], pool.cost("params")[row], 0) == cost


def test_every_candidate_of_a_layer_is_drawn_equally_often() -> None:
    pool = draw(space(CHEAP), 0)
    for column in pool.choices.T:
        counts = np.bincount(column, minlength=len(CHEAP))
        assert stats.chisquare(counts).pvalue > 1e-4


def test_layers_are_drawn_independently() -> None:
    pool = draw(space(CHEAP), 1)
    both = np.histogram2d(pool.choices[:, 0], pool.choices[:, 1], bins=len(CHEAP))[0]
    assert stats.chi2_contingency(both).pvalue > 1e-4


def test_draws_follow_from_what_a_space_offers_and_not_from_its_name() -> None:
    some = space(CHEAP)
    renamed = replace(some, name="other", provenance={"seed": 1})
    assert np.array_equal(draw(some, 3).choices, draw(renamed, 3).choices)
    assert space_digest(some) == space_digest(renamed) != space_digest(space(DEAR))


def test_the_same_space_twice_gives_other_networks() -> None:
    first, second = (draw(space(CHEAP), 0, occurrence).choices for occurrence in (0, 1))
    equal = (first == second).all(axis=1).mean()
    assert equal < 2 / len(CHEAP) ** 4 + 0.01


def test_a_longer_pool_of_another_seed_is_another_one() -> None:
    some = space(CHEAP)
    assert not np.array_equal(draw(some, 0).choices, draw(some, 1).choices)
    assert draw(some, 0, count=7).choices.shape == (7, 4)
