"""Comparisons of spaces with stages draw their architectures, and all of them equally often."""

from collections import Counter
from math import ceil

from autospace.comparison.matching import draw
from autospace.spaces import load
from autospace.spaces.choices import Choices
from tests.spaces.ofa.spaces import every_path, small_space


def test_a_pool_holds_architectures_of_the_space_equally_often() -> None:
    for seed in (None, 3, 5):
        space = small_space(seed)
        paths = every_path(space)
        count = 60 * len(paths)
        pool = draw(space, 0, count=count)
        counts = Counter(tuple(map(int, row)) for row in pool.choices)
        assert counts.keys() <= set(paths)
        spread = sum((counts[path] - 60) ** 2 / 60 for path in paths)
        free = len(paths) - 1
        assert spread <= free + 6 * (2 * free) ** 0.5 + 6
        choices = Choices(space)
        for index in range(5):
            path = choices.path(pool.architecture(index))
            assert choices.cost(path).madds == pool.madds[index]


def test_the_ops_of_a_draw_are_those_of_its_network() -> None:
    binary = load("binary@digits")
    pool = draw(binary, 0, count=50)
    for index in range(50):
        cost = pool.architecture(index).cost
        assert pool.ops[index] == ceil(cost.madds + cost.bops / 64)
    assert (pool.cost("ops") == pool.ops).all()
    assert len(set(pool.ops.tolist())) > len(set(pool.madds.tolist())) == 1
    plain = draw(load("mbconv@digits"), 0, count=50)
    assert (plain.ops == plain.madds).all()
