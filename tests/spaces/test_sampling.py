"""Draws within a budget against all architectures, listed one by one."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from autospace.spaces import (
    Architecture,
    Budget,
    Candidate,
    Cost,
    Layer,
    Space,
    SpaceError,
    load,
    mbconv,
    sampling,
)
from autospace.spaces.sampling import sample_within
from tests.strategies import spaces

Ids = tuple[str, ...]


def _few(space: Space) -> Space:
    """Three of the candidates of every layer, others from layer to layer: 81 architectures."""
    layers = tuple(
        Layer(layer.shape, tuple(layer.candidates[(index + step) % 6] for step in (0, 2, 3)))
        for index, layer in enumerate(space.layers)
    )
    return Space("few", space.skeleton, space.operations, layers)


DIGITS = _few(load("mbconv@digits"))
MOBILE = load("mbconv@mobile")


def ids(architecture: Architecture) -> Ids:
    return tuple(architecture.choices.values())


def every(space: Space) -> dict[Ids, Cost]:
    """Cost of every architecture."""
    offered = itertools.product(*(layer.candidates for layer in space.layers))
    drawn = (Architecture(space.skeleton, chosen) for chosen in offered)
    return {ids(each): each.cost for each in drawn}


DIGITS_COSTS = every(DIGITS)


def budget_at(share: float, params: float | None = None) -> Budget:
    """A budget with room for about this share of what lies between cheapest and most expensive."""
    madds = sorted(cost.madds for cost in DIGITS_COSTS.values())
    weights = sorted(cost.params for cost in DIGITS_COSTS.values())
    last = len(madds) - 1
    most_params = None if params is None else weights[int(params * last)]
    return Budget(madds[int(share * last)], most_params)


@pytest.fixture(params=["listed", "tilted"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to draw; small spaces are listed unless they are kept from it."""
    if request.param == "tilted":
        monkeypatch.setattr(sampling, "LISTED", -1)
        monkeypatch.setattr(sampling, "LISTED_PER_DRAW", 0)
    return str(request.param)


@pytest.mark.parametrize(
    "budget",
    [
        budget_at(0.03),
        budget_at(0.05),
        budget_at(0.3),
        budget_at(0.9),
        budget_at(0.2, 0.1),
        budget_at(0.1, 0.3),
        Budget(max_params=budget_at(0.0, 0.05).max_params),
    ],
)
@pytest.mark.usefixtures("way")
def test_every_architecture_that_fits_is_equally_likely(budget: Budget) -> None:
    fitting = {each for each, cost in DIGITS_COSTS.items() if budget.allows(cost)}
    rng, draws = random.Random(0), 30 * len(fitting)
    counts: Counter[Ids] = Counter()
    for _ in range(draws):
        (drawn,) = sample_within(DIGITS, budget, 1, rng)
        counts[ids(drawn)] += 1
    assert counts.keys() <= fitting
    assert chisquare([counts[each] for each in fitting]).pvalue > 1e-3


@given(spaces(), st.floats(0, 1), st.floats(0, 1), st.integers(1, 40), st.integers(0, 9))
@settings(max_examples=60)
def test_what_is_drawn_is_distinct_and_fits_and_is_all_there_is_if_that_is_less(
    space: Space, madds: float, params: float, count: int, seed: int
) -> None:
    costs = every(space)
    budget = Budget(
        *(
            span.min + int(share * (span.max - span.min))
            for share, span in ((madds, space.madds), (params, space.params))
        )
    )
    fitting = {each for each, cost in costs.items() if budget.allows(cost)}
    if not fitting:
        with pytest.raises(SpaceError, match="no architecture is within both max_madds"):
            sample_within(space, budget, count, random.Random(seed))
        return
    drawn = sample_within(space, budget, count, random.Random(seed))
    assert all(budget.allows(each.cost) for each in drawn)
    assert len({ids(each) for each in drawn}) == len(drawn) == min(count, len(fitting))


@pytest.mark.parametrize("above", [0, 1, 10**6, 10**7, 3 * 10**7, 10**8, 10**9])
def test_a_space_of_10_to_the_17_is_drawn_from_at_every_distance_from_its_cheapest(
    above: int,
) -> None:
    budget = Budget(max_madds=MOBILE.madds.min + above)
    drawn = sample_within(MOBILE, budget, 20, random.Random(0))
    assert 1 <= len(drawn) <= 20
    assert len({ids(each) for each in drawn}) == len(drawn)
    assert all(budget.allows(each.cost) for each in drawn)
    assert len(drawn) == 20 or above < 10**7


def test_draws_near_a_limit_fill_it_as_uniform_ones_do() -> None:
    # In many dimensions nearly all points of a body lie near its surface.
    budget = Budget(max_madds=MOBILE.madds.min + 50_000_000)
    drawn = sample_within(MOBILE, budget, 200, random.Random(0))
    room = [(each.cost.madds - MOBILE.madds.min) / 50_000_000 for each in drawn]
    assert 0.85 < sum(room) / len(room) < 1


def test_without_limits_layers_are_independent_and_uniform() -> None:
    drawn = sample_within(MOBILE, Budget(), 2000, random.Random(0))
    for index, layer in enumerate(MOBILE.layers):
        counts = Counter(each.candidates[index].id for each in drawn)
        assert chisquare([counts[each.id] for each in layer.candidates]).pvalue > 1e-5


def test_equal_seeds_draw_the_same_and_others_do_not() -> None:
    budget = Budget(max_madds=250_000_000)
    first = [sample_within(MOBILE, budget, 5, random.Random(seed)) for seed in (0, 0, 1)]
    assert first[0] == first[1] != first[2]


@pytest.mark.parametrize("name", ["madds", "params"])
def test_a_limit_below_the_cheapest_names_both_numbers(name: str) -> None:
    least = min(getattr(cost, name) for cost in DIGITS_COSTS.values())
    with pytest.raises(SpaceError) as caught:
        sample_within(DIGITS, Budget(**{f"max_{name}": least - 1}), 1, random.Random(0))
    problem = f"{least - 1}, but the cheapest architecture of the space has {least}"
    assert str(caught.value) == f"max_{name}: {problem}"
    cheapest = sample_within(DIGITS, Budget(**{f"max_{name}": least}), 9, random.Random(0))
    assert {getattr(each.cost, name) for each in cheapest} == {least}


@pytest.mark.usefixtures("way")
def test_a_layer_without_a_candidate_within_both_limits_is_told() -> None:
    cheap = [Candidate(name, mbconv(3, 3)) for name in ("one", "two")]
    # One of these has fewer weights, the other fewer MAdds.
    torn = [Candidate("kernel", mbconv(5, 3)), Candidate("attention", mbconv(3, 3, se=True))]
    *first, last = MOBILE.layers
    layers = [*(Layer(each.shape, tuple(cheap)) for each in first), Layer(last.shape, tuple(torn))]
    space = Space("torn", MOBILE.skeleton, MOBILE.operations, tuple(layers))
    budget = Budget(space.madds.min, space.params.min)
    with pytest.raises(SpaceError, match="no architecture is within both max_madds"):
        sample_within(space, budget, 1, random.Random(0))


def test_what_can_neither_be_listed_nor_found_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LISTED", -1)
    monkeypatch.setattr(sampling, "LISTED_PER_DRAW", 0)
    monkeypatch.setattr(sampling, "MOST_TRIES", 2000)
    with pytest.raises(SpaceError, match=r"^2,.* tries gave 81 of 82 architectures within the"):
        sample_within(DIGITS, Budget(10**12, 10**12), 82, random.Random(0))


@pytest.mark.parametrize("room", [10**7, 3 * 10**7, 10**8, 3 * 10**8])
def test_a_handful_of_tries_is_enough_however_few_fit(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counted(random.Random):
        numbers = 0

        def random(self) -> float:
            self.numbers += 1
            return super().random()

    monkeypatch.setattr(sampling, "LISTED", -1)
    monkeypatch.setattr(sampling, "LISTED_PER_DRAW", 0)
    rng = Counted(0)
    drawn = sample_within(MOBILE, Budget(max_madds=MOBILE.madds.min + room), 30, rng)
    assert len(drawn) == 30
    # A try takes a random number per layer, and one to accept it.
    assert rng.numbers / len(MOBILE.layers) / len(drawn) < 60
