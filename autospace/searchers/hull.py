"""The lower convex hull of points of cost and error, as a falling line from the cheapest on."""

from collections.abc import Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """What a network costs, and how often it errs; less is better, both times."""

    cost: float
    error: float


def lower_hull(points: Sequence[Point]) -> list[Point]:
    """The corners of the line, cheapest first; each errs less than those before it."""
    corners: list[Point] = []
    for point in sorted(set(points)):
        if corners and point.error >= corners[-1].error:
            continue
        while len(corners) > 1 and not _turns_up(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return corners


def hull_error(corners: Sequence[Point], cost: float) -> float:
    """The error of the line at a cost that is at least that of the cheapest corner."""
    before = [corner for corner in corners if corner.cost <= cost]
    after = corners[len(before) :]
    left = before[-1]
    if not after:
        return left.error
    share = (cost - left.cost) / (after[0].cost - left.cost)
    return left.error + share * (after[0].error - left.error)


def near_hull(points: Sequence[Point], tolerance: float) -> list[int]:
    """Which points err at most (1 + tolerance) times as often as the line at their cost."""
    corners = lower_hull(points)
    return [
        index
        for index, point in enumerate(points)
        # A corner is on its line, whatever rounding says.
        if point in corners or point.error <= (1 + tolerance) * hull_error(corners, point.cost)
    ]


def _turns_up(first: Point, second: Point, third: Point) -> bool:
    """Whether the line becomes flatter at the second point."""
    run, rise = second.cost - first.cost, second.error - first.error
    return run * (third.error - first.error) > rise * (third.cost - first.cost)
