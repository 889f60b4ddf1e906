"""The walk of MAGIC-T: one difference a step, and no path trained more often than another."""

import itertools
import random
from collections import Counter
from dataclasses import replace

import pytest

from autospace.spaces import Budget, Space
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.files.families import family_space
from autospace.supernets.path_training import Walk, make_path_training, neighbour
from autospace.supernets.shared_weights import SharedWeights
from tests.searchers.problems import SKELETON, make_problem

SIZES = (2, 3, 2)
STEPS = 20_000


def _small_space() -> Space:
    space = family_space("mbconv", SKELETON)
    layers = tuple(
        replace(layer, candidates=layer.candidates[:size])
        for layer, size in zip(space.layers, SIZES, strict=True)
    )
    return replace(space, layers=layers, reference={})


SPACE = _small_space()


def _walk(**magic: float) -> Walk:
    problem = make_problem(SPACE, magic=magic, supernet={"training": "magic-t"})
    training = make_path_training(SharedWeights(problem))
    assert isinstance(training, Walk)
    return training


def _differences(paths: list[tuple[int, ...]]) -> list[int]:
    pairs = itertools.pairwise(paths)
    return [sum(a != b for a, b in zip(*pair, strict=True)) for pair in pairs]


def _shares(choices: Choices) -> Counter[tuple[int, ...]]:
    rng = random.Random(0)
    path, seen = choices.draw(rng), Counter[tuple[int, ...]]()
    for _ in range(STEPS):
        path = neighbour(choices, path, rng)
        seen[path] += 1
    return seen


def test_successive_paths_differ_in_exactly_one_layer() -> None:
    walk = _walk(restart=0.0)
    differences = _differences([walk.paths(index)[0] for index in range(200)])
    assert set(differences) == {1}


def test_a_walk_may_start_afresh() -> None:
    walk = _walk(restart=0.5)
    differences = _differences([walk.paths(index)[0] for index in range(200)])
    assert {0, 1, 2, 3} == set(differences)
    assert differences.count(1) > 100


def test_all_paths_are_visited_equally_often() -> None:
    seen = _shares(Choices(SPACE))
    assert len(seen) == 12
    # Five times the standard error of as many independent draws: the walk forgets slowly.
    assert all(abs(count / STEPS - 1 / 12) < 0.01 for count in seen.values())


def test_under_a_limit_all_allowed_paths_are_visited_equally_often() -> None:
    limited = Choices(SPACE, limits_of(SPACE, Budget(max_madds=int(SPACE.madds.mean))))
    seen = _shares(limited)
    assert 3 < len(seen) < 12
    assert all(limited.allows(path) for path in seen)
    assert all(abs(count / STEPS - 1 / len(seen)) < 0.015 for count in seen.values())


def test_a_space_of_one_architecture_leaves_nothing_to_walk() -> None:
    layers = tuple(replace(each, candidates=each.candidates[:1]) for each in SPACE.layers)
    choices = Choices(replace(SPACE, layers=layers))
    assert neighbour(choices, (0, 0, 0), random.Random(0)) == (0, 0, 0)


@pytest.mark.parametrize("at", [0, 3])
def test_a_walk_goes_on_from_where_it_was(at: int) -> None:
    whole, parts = _walk(), _walk()
    paths = [whole.paths(index) for index in range(at)]
    state = whole.state()
    paths += [whole.paths(index) for index in range(at, 8)]
    parts.restore(state)
    assert [parts.paths(index) for index in range(at, 8)] == paths[at:]
