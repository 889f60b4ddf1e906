"""The networks that a growing search has trained: each with its own weights and its parent."""

import random
from dataclasses import dataclass, field

import torch

from autospace.runs.state import State
from autospace.searchers.hull import Point, near_hull
from autospace.spaces.choices import Path

Weights = dict[str, torch.Tensor]


@dataclass
class Member:
    """A trained network.

    Attributes:
        accuracy: on validation images, from 0 to 1.
        madds: of the whole network.
        parent: its place in the gallery; None for the first.
        grown: how often it has been a parent.
        weights: by their names in the supernet.
    """

    path: Path
    accuracy: float
    madds: int
    parent: int | None
    weights: Weights
    grown: int = 0


@dataclass
class Gallery:
    """All members in the order in which they were trained."""

    members: list[Member] = field(default_factory=list)

    @property
    def front(self) -> list[Member]:
        """Those that none beats in accuracy at no more MAdds; the most accurate first."""
        ordered = sorted(self.members, key=lambda each: (each.madds, -each.accuracy))
        kept: list[Member] = []
        for member in ordered:
            if not kept or member.accuracy > kept[-1].accuracy:
                kept.append(member)
        return kept[::-1]

    def knows(self, path: Path) -> bool:
        """Whether a network has been trained."""
        return any(member.path == path for member in self.members)

    def parent(self, rng: random.Random, tolerance: float) -> int:
        """A member near the hull of MAdds and error, rather one seldom chosen, or a cheap one.

        The weights are those of archai's Petridish: 1 / (1 + s) for the number of times chosen and
        for the MAdds, both scaled to [0, 1] over the eligible, added up.
        """
        points = [Point(member.madds, 1 - member.accuracy) for member in self.members]
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
            Member(tuple(path), accuracy, madds, parent, dict(state.part(str(i)).tensors), grown)
            for i, (path, accuracy, madds, parent, grown) in enumerate(state.plain["members"])
        ]


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]
