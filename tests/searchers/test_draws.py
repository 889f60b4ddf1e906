"""Draws: their distribution against exact probabilities, and limits under any of them."""

import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.searchers.gradient.gates import draw, draw_pairs
from autospace.spaces import Budget, Space
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.files.families import family_space
from tests.searchers.problems import SKELETON

SPACE: Space = family_space("mbconv", SKELETON)
COUNT = 20_000


def log_softmax(row: list[float]) -> list[float]:
    total = math.log(sum(map(math.exp, row)))
    return [value - total for value in row]


def log_p(seed: int) -> list[list[float]]:
    rng = random.Random(seed)
    return [log_softmax([rng.gauss(0, 1) for _ in layer.candidates]) for layer in SPACE.layers]


def deviations(found: Counter[object], exact: dict[object, float], count: int) -> float:
    """The largest distance of a frequency from its probability, in standard errors."""
    return max(
        abs(found[key] / count - p) / math.sqrt(p * (1 - p) / count) for key, p in exact.items()
    )


def test_draws_are_distributed_as_p() -> None:
    rows, rng, choices = log_p(0), random.Random(1), Choices(SPACE)
    paths = [draw(choices, rows, rng).path for _ in range(COUNT)]
    for layer, row in enumerate(rows):
        exact: dict[object, float] = {k: math.exp(value) for k, value in enumerate(row)}
        assert deviations(Counter(path[layer] for path in paths), exact, COUNT) < 4.5


def test_draws_under_a_limit_are_p_given_the_limit() -> None:
    rows, rng = log_p(2), random.Random(3)
    choices = Choices(SPACE, limits_of(SPACE, Budget(max_madds=int(SPACE.madds.mean))))
    every = itertools.product(*map(range, choices.sizes))
    mass = {
        path: math.exp(sum(row[k] for row, k in zip(rows, path, strict=True)))
        for path in every
        if choices.allows(path)
    }
    whole = sum(mass.values())
    found = Counter(draw(choices, rows, rng).path for _ in range(COUNT))
    for layer, size in enumerate(choices.sizes):
        exact: dict[object, float] = {
            k: sum(p for path, p in mass.items() if path[layer] == k) / whole for k in range(size)
        }
        seen: Counter[object] = Counter()
        for path, times in found.items():
            seen[path[layer]] += times
        exact = {k: p for k, p in exact.items() if 0 < p < 1}
        assert deviations(seen, exact, COUNT) < 4.5


def test_pairs_are_drawn_without_replacement_and_their_active_one_by_its_share() -> None:
    rows, rng, choices = log_p(4), random.Random(5), Choices(SPACE)
    drawn = [draw_pairs(choices, rows, rng) for _ in range(COUNT)]
    row = [math.exp(value) for value in rows[0]]
    exact: dict[object, float] = {}
    for a, b in itertools.permutations(range(len(row)), 2):
        either = row[a] * row[b] / (1 - row[a]) + row[b] * row[a] / (1 - row[b])
        exact[a, b] = either * row[a] / (row[a] + row[b])  # a active, b beside it
    found: Counter[object] = Counter()
    for path, pairs in drawn:
        active = path[0]
        (other,) = set(pairs[0]) - {active}
        found[active, other] += 1
    assert sum(exact.values()) == pytest.approx(1)
    assert deviations(found, exact, COUNT) < 4.5


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0.1, 50))
def test_nothing_over_a_limit_is_ever_drawn(seed: int, tightness: float, spread: float) -> None:
    rng = random.Random(seed)
    most = int(SPACE.madds.min + tightness * (SPACE.madds.max - SPACE.madds.min))
    choices = Choices(SPACE, limits_of(SPACE, Budget(max_madds=most)))
    rows = [log_softmax([rng.gauss(0, spread) for _ in layer.candidates]) for layer in SPACE.layers]
    assert choices.allows(draw(choices, rows, rng).path)
    path, pairs = draw_pairs(choices, rows, rng)
    assert choices.allows(path)
    for active, pair, size in zip(path, pairs, choices.sizes, strict=True):
        assert active in pair
        assert len(set(pair)) == len(pair) == min(2, size)
