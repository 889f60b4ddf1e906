"""A space as indices: what a method may choose, what each choice costs, and what the limits allow.

Every method draws, mutates and derives architectures through `Choices`, so that nothing over a
limit is ever offered, trained or returned: the budget is a promise, not a penalty.
"""

import random
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from autospace.spaces.cells.cost import Cost
from autospace.spaces.cost import Budget, fixed_cost
from autospace.spaces.space import Architecture, Layer, Space

Choice = tuple[int, ...]
"""An architecture: per layer, the index of its candidate."""

DRAWS: Final = 1000
NEW_DRAWS: Final = 50
MOST_PARTIAL: Final = 4096


class SearchError(ValueError):
    """What was asked for cannot be searched; the message says why and what would help."""


@dataclass(frozen=True)
class Limit:
    """A cost that adds up over the layers, and the most that it may be.

    Attributes:
        name: what is limited, with its unit.
        fixed: what stem and head cost.
        table: per layer, what each candidate costs.
    """

    name: str
    most: float
    fixed: float
    table: tuple[tuple[float, ...], ...]

    @cached_property
    def cheapest(self) -> float:
        """What the cheapest architecture costs."""
        return self.fixed + sum(map(min, self.table))

    def of(self, path: Sequence[int]) -> float:
        """What an architecture costs."""
        return self.fixed + sum(row[i] for row, i in zip(self.table, path, strict=True))


@dataclass(frozen=True)
class Choices:
    """The candidates of a space by index, and the limits on architectures.

    Raises:
        SearchError: no architecture is within all limits.
    """

    space: Space
    limits: tuple[Limit, ...] = field(default=())

    def __post_init__(self) -> None:
        for limit in self.limits:
            if limit.cheapest > limit.most:
                raise SearchError(
                    f"{limit.name}: at most {limit.most:,} is allowed, but the cheapest "
                    f"architecture of the space has {limit.cheapest:,}; raise the limit"
                )
        if self.limits and not self._partials([[0.0] * size for size in self.sizes]):
            names = " and ".join(limit.name for limit in self.limits)
            raise SearchError(f"no architecture is within the limits on {names}; raise one")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Candidates per layer."""
        return tuple(len(layer.candidates) for layer in self.space.layers)

    def restricted(self, kept: Sequence[Sequence[int]]) -> "Choices":
        """The same limits over some of each layer's candidates, by index.

        Raises:
            SearchError: no architecture of those is within all limits.
        """
        layers = tuple(
            Layer(layer.shape, tuple(layer.candidates[index] for index in row))
            for layer, row in zip(self.space.layers, kept, strict=True)
        )
        limits = tuple(
            replace(
                limit,
                table=tuple(
                    tuple(costs[index] for index in row)
                    for costs, row in zip(limit.table, kept, strict=True)
                ),
            )
            for limit in self.limits
        )
        return Choices(replace(self.space, layers=layers, reference={}), limits)

    def allows(self, path: Choice) -> bool:
        """Whether an architecture is within all limits."""
        return all(limit.of(path) <= limit.most for limit in self.limits)

    def architecture(self, path: Choice) -> Architecture:
        """The architecture of a path."""
        layers = zip(self.space.layers, path, strict=True)
        picked = tuple(layer.candidates[index] for layer, index in layers)
        return Architecture(self.space.skeleton, picked)

    def path(self, architecture: Architecture) -> Choice:
        """The path of an architecture of this space."""
        layers = zip(self.space.layers, architecture.candidates, strict=True)
        return tuple(layer.candidates.index(candidate) for layer, candidate in layers)

    def cost(self, path: Choice) -> Cost:
        """MAdds and params of a whole network."""
        total = fixed_cost(self.space.skeleton)
        for layer, index in zip(self.space.layers, path, strict=True):
            total = total.plus(layer.costs[index])
        return total

    def draw(self, rng: random.Random) -> Choice:
        """An architecture, uniformly among those allowed as long as they are not too rare."""
        for _ in range(DRAWS):
            path = tuple(rng.randrange(size) for size in self.sizes)
            if self.allows(path):
                return path
        # Where a limit allows almost nothing: random preferences, the best of what is allowed.
        return self.best([[rng.random() for _ in range(size)] for size in self.sizes])

    def draw_new(self, rng: random.Random, known: Container[Choice]) -> Choice:
        """A draw that is not among those known; where none turns up, any draw."""
        drawn = (self.draw(rng) for _ in range(NEW_DRAWS))
        return next((path for path in drawn if path not in known), self.draw(rng))

    def mutated(self, path: Choice, rng: random.Random, probability: float) -> Choice:
        """A neighbour within the limits: layers redrawn with a probability, at least one of them.

        Where no neighbour can be found within the limits, a fresh draw.
        """
        for _ in range(DRAWS):
            sure = rng.randrange(len(path))
            child = tuple(
                rng.randrange(size) if layer == sure or rng.random() < probability else index
                for layer, (index, size) in enumerate(zip(path, self.sizes, strict=True))
            )
            if child != path and self.allows(child):
                return child
        return self.draw(rng)

    def crossed(self, first: Choice, second: Choice, rng: random.Random) -> Choice:
        """A child that takes each layer from one parent or the other; within the limits."""
        for _ in range(DRAWS):
            child = tuple(rng.choice(pair) for pair in zip(first, second, strict=True))
            if self.allows(child):
                return child
        return self.draw(rng)

    def best(self, scores: Sequence[Sequence[float]]) -> Choice:
        """The allowed architecture of the largest sum of scores: per layer one score a candidate.

        Where the limits allow it, that is each layer's maximum. Else, layer by layer, only those
        partial architectures are kept that no other beats in score and cost, at most
        `MOST_PARTIAL`.
        """
        leaders = tuple(max(range(len(row)), key=row.__getitem__) for row in scores)
        if self.allows(leaders):
            return leaders
        return max(self._partials(scores), key=lambda partial: partial[0])[2]

    def _partials(
        self, scores: Sequence[Sequence[float]]
    ) -> list[tuple[float, tuple[float, ...], Choice]]:
        """(score, cost under each limit, path) of undominated architectures within the limits."""
        kept: list[tuple[float, tuple[float, ...], Choice]] = [
            (0.0, tuple(limit.fixed for limit in self.limits), ())
        ]
        for layer, row in enumerate(scores):
            left = [sum(map(min, limit.table[layer + 1 :])) for limit in self.limits]
            grown = []
            for score, costs, path in kept:
                for index, value in enumerate(row):
                    after = tuple(
                        cost + limit.table[layer][index]
                        for cost, limit in zip(costs, self.limits, strict=True)
                    )
                    if all(
                        cost + rest <= limit.most
                        for cost, rest, limit in zip(after, left, self.limits, strict=True)
                    ):
                        grown.append((score + value, after, (*path, index)))
            kept = _undominated(grown)
        return kept


def limits_of(space: Space, budget: Budget) -> tuple[Limit, ...]:
    """The limits that a budget sets on the architectures of a space."""
    fixed = fixed_cost(space.skeleton)
    found = []
    for name, most, start, unit in (
        ("max_madds", budget.max_madds, fixed.madds, "madds"),
        ("max_params", budget.max_params, fixed.params, "params"),
    ):
        if most is not None:
            table = tuple(
                tuple(getattr(cost, unit) for cost in layer.costs) for layer in space.layers
            )
            found.append(Limit(name, most, start, table))
    return tuple(found)


def _undominated(
    partials: list[tuple[float, tuple[float, ...], Choice]],
) -> list[tuple[float, tuple[float, ...], Choice]]:
    """Those that no other beats in score at no greater cost; the cheapest and best if too many."""
    ordered = sorted(partials, key=lambda partial: (-partial[0], partial[1], partial[2]))
    front: list[tuple[float, tuple[float, ...], Choice]] = []
    lowest: tuple[float, ...] = ()
    for partial in ordered:
        costs = partial[1]
        # Cheaper under some limit than all before it: nothing can beat it, and nothing is compared.
        cheaper = not front or any(a < b for a, b in zip(costs, lowest, strict=True))
        if cheaper or not any(
            all(a <= b for a, b in zip(kept[1], costs, strict=True)) for kept in reversed(front)
        ):
            front.append(partial)
            lowest = tuple(map(min, costs, lowest or costs))
    if len(front) <= MOST_PARTIAL:
        return front
    # The cheapest under each limit stays: whatever else is dropped, something remains feasible.
    cheapest = [min(front, key=lambda partial: partial[1][i]) for i in range(len(front[0][1]))]
    return [*cheapest, *front[: MOST_PARTIAL - len(cheapest)]]
