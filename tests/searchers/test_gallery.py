"""The gallery of grown networks: the hull against all mixtures of points, parents, the front."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.searchers.petridish import (
    Gallery,
    GalleryMember,
    HullPoint,
    hull_error,
    lower_hull,
    near_hull,
)

POINTS = st.lists(
    st.builds(HullPoint, st.integers(1, 20).map(float), st.integers(0, 20).map(lambda n: n / 20)),
    min_size=1,
    max_size=12,
)


def _lowest(points: list[HullPoint], cost: float) -> float:
    """The least error of any mixture of two points that costs no more."""
    reached = [point.error for point in points if point.cost <= cost]
    for left in points:
        for right in points:
            if left.cost < cost < right.cost:
                share = (cost - left.cost) / (right.cost - left.cost)
                reached.append(left.error + share * (right.error - left.error))
    return min(reached)


@given(POINTS)
def test_no_mixture_of_two_points_is_below_the_hull(points: list[HullPoint]) -> None:
    corners = lower_hull(points)
    assert {*corners} <= {*points}
    for point in points:
        assert hull_error(corners, point.cost) == pytest.approx(_lowest(points, point.cost))
    assert corners == sorted(corners)
    assert [each.error for each in corners] == sorted((e.error for e in corners), reverse=True)


@given(POINTS, st.floats(0, 1))
def test_near_the_hull_is_within_the_tolerance(points: list[HullPoint], tolerance: float) -> None:
    near = near_hull(points, tolerance)
    for index, point in enumerate(points):
        excess = point.error - (1 + tolerance) * _lowest(points, point.cost)
        if abs(excess) > 1e-9:
            assert (index in near) == (excess < 0)
    assert {points.index(corner) for corner in lower_hull(points)} <= {
        points.index(points[index]) for index in near
    }


def _gallery(*points: tuple[int, float], grown: tuple[int, ...] = ()) -> Gallery:
    times = grown or (0,) * len(points)
    return Gallery(
        [
            GalleryMember((index,), accuracy, madds, None, {}, count)
            for index, ((madds, accuracy), count) in enumerate(zip(points, times, strict=True))
        ]
    )


def test_the_front_holds_what_nothing_beats() -> None:
    gallery = _gallery((10, 0.5), (20, 0.7), (15, 0.4), (20, 0.6), (30, 0.7), (40, 0.9))
    assert [member.path for member in gallery.front] == [(5,), (1,), (0,)]


def test_parents_are_near_the_hull_and_rather_cheap_or_new() -> None:
    points = ((10, 0.5), (20, 0.7), (15, 0.3), (30, 0.8))
    seen: Counter[int] = Counter()
    for seed in range(3000):
        gallery = _gallery(*points, grown=(4, 0, 0, 2))
        parent = gallery.parent(random.Random(seed), 0.02)
        assert gallery.members[parent].grown == (4, 0, 0, 2)[parent] + 1
        seen[parent] += 1
    # 1 / (1 + times) + 1 / (1 + cost), both scaled to [0, 1] among the three that are eligible.
    weights = {0: 1 / 2 + 1, 1: 1 + 1 / 1.5, 3: 1 / 1.5 + 1 / 2}
    assert set(seen) == set(weights)
    for index, weight in weights.items():
        assert seen[index] / 3000 == pytest.approx(weight / sum(weights.values()), abs=0.03)
