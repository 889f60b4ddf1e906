"""A space as indices: the possible choices, their costs, and the limits on them.

Every method draws, mutates and derives architectures with `Choices`, so no architecture over a
limit is ever offered, trained or returned: the budget is a guarantee, not a penalty.
"""

import math
import random
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import Final

from autospace.spaces.cells.operations import Cost
from autospace.spaces.cost import Budget, fixed_cost
from autospace.spaces.errors import AutospaceError
from autospace.spaces.fronts import Partial, merged
from autospace.spaces.sampling import MOST_TRIES, Feasible
from autospace.spaces.space import Architecture, Layer, Space

DRAWS: Final = 1000
NEW_DRAWS: Final = 50
MOST_PARTIAL: Final = 4096


Choice = tuple[int, ...]
"""An architecture: per layer, the index of its candidate."""


class SearchError(AutospaceError):
    """A search that is not possible; the message states why and what would help."""


@dataclass(frozen=True)
class Limit:
    """A cost that is a sum over the layers, and its upper limit.

    Attributes:
        name: what is limited, with its unit.
        fixed: the cost of stem and head.
        table: per layer, the cost of each candidate.
    """

    name: str
    most: float
    fixed: float
    table: tuple[tuple[float, ...], ...]

    @cached_property
    def cheapest(self) -> float:
        """The cost of the cheapest architecture, rounded up: the smallest limit that allows it."""
        exact = Fraction(self.fixed) + sum(Fraction(min(row)) for row in self.table)
        if exact.denominator == 1:
            return int(exact)
        nearest = float(exact)
        return nearest if nearest >= exact else math.nextafter(nearest, math.inf)

    @cached_property
    def room(self) -> int:
        """The limit on the cost of all layers together, in the unit of `costs`."""
        return self._whole(self.most) - self._whole(self.fixed)

    @cached_property
    def costs(self) -> tuple[tuple[int, ...], ...]:
        """The table in whole numbers of one unit, so that sums in any order are the same."""
        return tuple(tuple(map(self._whole, row)) for row in self.table)

    def allows(self, path: Sequence[int]) -> bool:
        """Whether an architecture costs at most what is allowed."""
        return sum(row[i] for row, i in zip(self.costs, path, strict=True)) <= self.room

    @cached_property
    def _unit(self) -> int:
        # Denominators of floats are powers of two: the largest is a multiple of all.
        values = (self.most, self.fixed, *chain.from_iterable(self.table))
        return max(value.as_integer_ratio()[1] for value in values)

    def _whole(self, value: float) -> int:
        numerator, denominator = value.as_integer_ratio()
        return numerator * (self._unit // denominator)


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
            if sum(map(min, limit.costs)) > limit.room:
                raise SearchError(
                    f"{limit.name}: the limit is {limit.most:,}, but the cheapest architecture "
                    f"of the space has {limit.cheapest:,}; raise the limit"
                )
        if self.limits and not self._partials([[0.0] * size for size in self.sizes]):
            raise SearchError(
                f"no architecture is within the limits on {self._limited}; raise one of them"
            )

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
        return all(limit.allows(path) for limit in self.limits)

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
        """Cost of a whole network."""
        total = fixed_cost(self.space.skeleton)
        for layer, index in zip(self.space.layers, path, strict=True):
            total = total.plus(layer.costs[index])
        return total

    def draw(self, rng: random.Random) -> Choice:
        """An architecture, uniformly among all that are allowed.

        Raises:
            SearchError: there may be too many architectures to list, but hardly any is drawn.
        """
        if not self.limits:
            return tuple(rng.randrange(size) for size in self.sizes)
        path = self._feasible.draw(rng)
        if path is None:
            problem = f"hardly any architecture is within the limits on {self._limited} together"
            raise SearchError(f"{problem}: {MOST_TRIES:,} tries gave none; raise one of them")
        return path

    def draw_new(self, rng: random.Random, known: Container[Choice]) -> Choice:
        """A draw that is not known yet; if there is none after some tries, any draw."""
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
        """The allowed architecture with the largest sum of scores, given per layer and candidate.

        Where the limits allow it, it has the best candidate of each layer. Otherwise, partial
        architectures grow layer by layer. Those that another one beats in score and cost are
        dropped, and at most `MOST_PARTIAL` are kept.
        """
        leaders = tuple(max(range(len(row)), key=row.__getitem__) for row in scores)
        if self.allows(leaders):
            return leaders
        return max(self._partials(scores), key=lambda partial: partial.score).path

    @cached_property
    def _feasible(self) -> Feasible:
        tables = [limit.costs for limit in self.limits]
        return Feasible.of(self.sizes, tables, [limit.room for limit in self.limits])

    @property
    def _limited(self) -> str:
        return " and ".join(limit.name for limit in self.limits)

    def _partials(self, scores: Sequence[Sequence[float]]) -> list[Partial]:
        """The undominated architectures within the limits."""
        layers = [
            [
                Partial(value, tuple(limit.costs[layer][index] for limit in self.limits), (index,))
                for index, value in enumerate(row)
            ]
            for layer, row in enumerate(scores)
        ]
        return merged(layers, [limit.room for limit in self.limits], MOST_PARTIAL).partials


def limits_of(space: Space, budget: Budget) -> tuple[Limit, ...]:
    """The limits that a budget sets on the architectures of a space."""
    fixed = fixed_cost(space.skeleton)
    found = []
    for name, most, start, unit in (
        ("max_madds", budget.max_madds, fixed.madds, "madds"),
        ("max_params", budget.max_params, fixed.params, "params"),
        ("max_ops", budget.max_ops, fixed.ops, "ops"),
    ):
        if most is not None:
            table = tuple(
                tuple(getattr(cost, unit) for cost in layer.costs) for layer in space.layers
            )
            found.append(Limit(name, most, start, table))
    return tuple(found)
