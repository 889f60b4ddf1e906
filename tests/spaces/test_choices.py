"""Choices: costs, limits, and the best allowed architecture, against enumeration."""

import itertools
import math
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from autospace.spaces import Budget, Layer, Space, load, sampling
from autospace.spaces.choices import Choices, Limit, SearchError, limits_of
from tests.strategies import spaces

MBCONV = load("mbconv@digits")
FEW = Space(
    "few",
    MBCONV.skeleton,
    MBCONV.operations,
    tuple(
        Layer(layer.shape, tuple(layer.candidates[(index + step) % 6] for step in (0, 2, 3)))
        for index, layer in enumerate(MBCONV.layers)
    ),
)


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


@pytest.mark.parametrize("kinds", [2, 3])
def test_there_is_a_best_where_no_part_of_a_long_front_stays_within_limits_that_trade_off(
    monkeypatch: pytest.MonkeyPatch, kinds: int
) -> None:
    monkeypatch.setattr("autospace.spaces.choices.MOST_PARTIAL", 64)
    monkeypatch.setattr("autospace.spaces.choices.MOST_OF_THREE", 64)
    space = load("mbconv@cifar")
    rng = random.Random(1)
    # What is cheap by one limit is dear by the next, and the dearest scores best.
    first = [[rng.randrange(1000) for _ in layer.candidates] for layer in space.layers]
    second = [[1000 - cost + rng.randrange(100) for cost in row] for row in first]
    sums = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(first, second, strict=True)]
    within = tuple(min(range(len(row)), key=row.__getitem__) for row in sums)

    def limit(table: list[list[int]]) -> Limit:
        spent = sum(row[index] for row, index in zip(table, within, strict=True))
        return Limit("cost", 1.02 * spent, 0, tuple(map(tuple, table)))

    tables = [first, second, [[1] * len(row) for row in first]]
    choices = Choices(space, tuple(limit(table) for table in tables[:kinds]))
    scores = [[total / 1000 + rng.gauss(0, 0.3) for total in row] for row in sums]
    assert choices.allows(within)
    assert choices.allows(choices.best(scores))


def _timed(space: Space, most: float) -> Limit:
    """A limit on floats, of which none is a sum of others: as of a table of latencies."""
    rng = random.Random(5)
    table = tuple(tuple(rng.uniform(0.1, 1.0) for _ in layer.candidates) for layer in space.layers)
    return Limit("max_latency_ms", most, 0.3, table)


def _at(space: Space, share: float, name: str) -> int:
    """The cost that this share of the architectures of a space does not exceed."""
    free = Choices(space)
    costs = sorted(getattr(free.cost(path), name) for path in _paths(space))
    return int(costs[int(share * (len(costs) - 1))])


def _budget(madds: float | None, params: float | None = None) -> tuple[Limit, ...]:
    shares = {"madds": madds, "params": params}
    most = {
        f"max_{name}": _at(FEW, share, name) for name, share in shares.items() if share is not None
    }
    return limits_of(FEW, Budget(**most))


@pytest.fixture(params=["listed", "tilted"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to draw; small spaces are listed unless they are kept from it."""
    if request.param == "tilted":
        monkeypatch.setattr(sampling, "LISTED", -1)
    return str(request.param)


@pytest.mark.parametrize(
    "limits",
    [
        _budget(0.02),
        _budget(0.3),
        _budget(1.0),
        _budget(0.2, 0.1),
        _budget(None, 0.05),
        (_timed(FEW, 2.4),),
        (_timed(FEW, 2.9), *_budget(0.6)),
        (_timed(FEW, 3.0), *_budget(0.5, 0.6)),
    ],
)
@pytest.mark.usefixtures("way")
def test_every_allowed_architecture_is_equally_likely(limits: tuple[Limit, ...]) -> None:
    allowed = [path for path in _paths(FEW) if _fits(limits, path)]
    choices, rng = Choices(FEW, limits), random.Random(0)
    counts = Counter(choices.draw(rng) for _ in range(40 * len(allowed)))
    assert counts.keys() <= set(allowed)
    assert len(allowed) > 1
    assert chisquare([counts[path] for path in allowed]).pvalue > 1e-3


def _fits(limits: tuple[Limit, ...], path: tuple[int, ...]) -> bool:
    """In fractions of the digits that are printed, which know no rounding."""
    return all(
        Fraction(str(limit.fixed))
        + sum(Fraction(str(row[k])) for row, k in zip(limit.table, path, strict=True))
        <= Fraction(str(limit.most))
        for limit in limits
    )


@pytest.mark.usefixtures("way")
def test_the_only_architecture_that_is_allowed_is_what_is_drawn() -> None:
    times = _timed(FEW, 0.0)
    fastest = min(_paths(FEW), key=lambda path: sum(times.table[i][k] for i, k in enumerate(path)))
    own = (times.table[i][k] for i, k in enumerate(fastest))
    exact = sum(map(Fraction, map(str, own)), Fraction(str(times.fixed)))
    most = float(exact)
    if Fraction(str(most)) < exact:
        most = math.nextafter(most, math.inf)
    choices, rng = Choices(FEW, (replace(times, most=most),)), random.Random(0)
    assert {choices.draw(rng) for _ in range(20)} == {fastest}
    with pytest.raises(
        SearchError, match=r"max_latency_ms: the limit is .* cheapest .* raise the limit"
    ):
        Choices(FEW, (replace(times, most=math.nextafter(most, 0.0) - 1e-12),))


def test_limits_that_can_only_be_kept_apart_are_refused() -> None:
    # Whatever is fast is large: each limit is met by some architecture, both by none.
    size = tuple(tuple(1.0 - time for time in row) for row in _timed(FEW, 9.9).table)
    times = replace(_timed(FEW, 0.0), fixed=0.0)
    cheap = [sum(map(min, table)) for table in (times.table, size)]
    limits = (replace(times, most=cheap[0] + 0.01), Limit("size", cheap[1] + 0.01, 0.0, size))
    assert not any(_fits(limits, path) for path in _paths(FEW))
    with pytest.raises(SearchError, match=r"no architecture is within .* max_latency_ms and size"):
        Choices(FEW, limits)


@given(st.lists(st.floats(0.001, 10.0), min_size=6, max_size=6), st.floats(0, 1))
def test_a_limit_on_floats_knows_no_rounding(times: list[float], share: float) -> None:
    rows = (tuple(times[:3]), tuple(times[3:]))
    (first, second) = rows
    most = min(first) + min(second) + share * (max(first) + max(second) - min(first) - min(second))
    limit = Limit("t", most, 0.1, rows)
    for path in itertools.product(range(3), range(3)):
        assert limit.allows(path) == _fits((limit,), path)


def test_in_a_space_too_large_to_list_tight_limits_are_kept() -> None:
    space = load("mbconv@mobile")
    budget = Budget(int(space.madds.min) + 3 * 10**7, int(space.params.min) + 500_000)
    choices, rng = Choices(space, limits_of(space, budget)), random.Random(0)
    drawn = [choices.draw(rng) for _ in range(50)]
    assert all(choices.allows(path) for path in drawn)
    assert len(set(drawn)) == 50


def test_what_can_be_neither_listed_nor_found_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LISTED", -1)
    monkeypatch.setattr(sampling, "MOST_TRIES", 0)
    with pytest.raises(SearchError, match=r"max_madds and max_params together: .* raise one"):
        Choices(FEW, _budget(0.5, 0.5)).draw(random.Random(0))


def test_without_limits_every_layer_is_drawn_by_itself() -> None:
    ours, theirs = random.Random(3), random.Random(3)
    choices = Choices(MBCONV)
    for _ in range(20):
        assert choices.draw(ours) == tuple(theirs.randrange(size) for size in choices.sizes)


def test_a_mutant_differs_from_its_parent() -> None:
    choices, rng = Choices(MBCONV), random.Random(0)
    for _ in range(100):
        path = choices.draw(rng)
        assert choices.mutated(path, rng, 0.01) != path


def test_a_limit_that_nothing_meets_is_refused() -> None:
    cheapest = MBCONV.madds.min
    with pytest.raises(
        SearchError, match=r"max_madds: the limit is .* cheapest .* raise the limit"
    ):
        Choices(MBCONV, limits_of(MBCONV, Budget(max_madds=int(cheapest) - 1)))
    Choices(MBCONV, limits_of(MBCONV, Budget(max_madds=int(cheapest))))


@given(
    st.floats(0, 10),
    st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=3), min_size=2, max_size=2),
)
def test_the_limit_that_the_message_names_is_enough_and_no_smaller_one_is(
    fixed: float, table: list[list[float]]
) -> None:
    limit = Limit("t", 0.0, fixed, tuple(map(tuple, table)))
    named = float(f"{limit.cheapest:,}")
    path = [row.index(min(row)) for row in table]
    assert replace(limit, most=named).allows(path)
    assert not replace(limit, most=math.nextafter(named, -1)).allows(path)


def test_the_message_names_a_limit_that_is_enough() -> None:
    space = load("mbconv@digits")
    rows = tuple((0.1,) * len(layer.candidates) for layer in space.layers)
    with pytest.raises(SearchError, match="cheapest architecture of the space has ") as caught:
        Choices(space, (Limit("t", 0.05, 0.1, rows),))
    named = float(str(caught.value).split("has ")[1].split(";")[0])
    assert Choices(space, (Limit("t", named, 0.1, rows),)).allows((0,) * len(rows))
