"""The networks that a growing search has trained: each with its own weights and its parent.

The lower convex hull of points of cost and error, as a falling line from the cheapest on.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from autospace.runs.state import State
from autospace.spaces.choices import Choice


class HullPoint(NamedTuple):
    """What a network costs, and how often it errs; less is better, both times."""

    cost: float
    error: float


def lower_hull(points: Sequence[HullPoint]) -> list[HullPoint]:
    """The corners of the line, cheapest first; each errs less than those before it."""
    corners: list[HullPoint] = []
    for point in sorted(set(points)):
        if corners and point.error >= corners[-1].error:
            continue
        while len(corners) > 1 and not _turns_up(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return corners


def hull_error(corners: Sequence[HullPoint], cost: float) -> float:
    """The error of the line at a cost that is at least that of the cheapest corner."""
    before = [corner for corner in corners if corner.cost <= cost]
    after = corners[len(before) :]
    left = before[-1]
    if not after:
        return left.error
    share = (cost - left.cost) / (after[0].cost - left.cost)
    return left.error + share * (after[0].error - left.error)


def near_hull(points: Sequence[HullPoint], tolerance: float) -> list[int]:
    """Which points err at most (1 + tolerance) times as often as the line at their cost."""
    corners = lower_hull(points)
    return [
        index
        for index, point in enumerate(points)
        # A corner is on its line, whatever rounding says.
        if point in corners or point.error <= (1 + tolerance) * hull_error(corners, point.cost)
    ]


def _turns_up(first: HullPoint, second: HullPoint, third: HullPoint) -> bool:
    """Whether the line becomes flatter at the second point."""
    run, rise = second.cost - first.cost, second.error - first.error
    return run * (third.error - first.error) > rise * (third.cost - first.cost)


Weights = dict[str, torch.Tensor]


@dataclass
class GalleryMember:
    """A trained network.

    Attributes:
        accuracy: on validation images, from 0 to 1.
        madds: of the whole network.
        parent: its place in the gallery; None for the first.
        grown: how often it has been a parent.
        weights: by their names in the supernet.
    """

    path: Choice
    accuracy: float
    madds: int
    parent: int | None
    weights: Weights
    grown: int = 0


@dataclass
class Gallery:
    """All members in the order in which they were trained."""

    members: list[GalleryMember] = field(default_factory=list)

    @property
    def front(self) -> list[GalleryMember]:
        """Those that none beats in accuracy at no more MAdds; the most accurate first."""
        ordered = sorted(self.members, key=lambda each: (each.madds, -each.accuracy))
        kept: list[GalleryMember] = []
        for member in ordered:
            if not kept or member.accuracy > kept[-1].accuracy:
                kept.append(member)
        return kept[::-1]

    def knows(self, path: Choice) -> bool:
        """Whether a network has been trained."""
        return any(member.path == path for member in self.members)

    def parent(self, rng: random.Random, tolerance: float) -> int:
        """A member near the hull of MAdds and error, rather one seldom chosen, or a cheap one.

        The weights are those of archai's Petridish: 1 / (1 + s) for the number of times chosen and
        for the MAdds, both scaled to [0, 1] over the eligible, added up.
        """
        points = [HullPoint(member.madds, 1 - member.accuracy) for member in self.members]
        eligible = near_hull(points, tolerance)
        times = _scaled([float(self.members[index].grown) for index in eligible])
        costs = _scaled([points[index].cost for index in eligible])
        weights = [1 / (1 + a) + 1 / (1 + b) for a, b in zip(times, costs, strict=True)]
        chosen = rng.choices(eligible, weights)[0]
        self.members[chosen].grown += 1
        return chosen

    def state(self) -> State:
        """All of it."""
        plain = [
            [list(each.path), each.accuracy, each.madds, each.parent, each.grown]
            for each in self.members
        ]
        parts = (State(each.weights).under(str(i)) for i, each in enumerate(self.members))
        return State(plain={"members": plain}).joined(*parts)

    def restore(self, state: State) -> None:
        """Takes it up."""
        self.members = [
            GalleryMember(
                tuple(path), accuracy, madds, parent, dict(state.part(str(i)).tensors), grown
            )
            for i, (path, accuracy, madds, parent, grown) in enumerate(state.plain["members"])
        ]


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]
