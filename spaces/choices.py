"""A space as indices: the possible choices, their costs, and the limits on them.

Every method draws, mutates and derives architectures with `Choices`, so no architecture over a
limit is ever offered, trained or returned: the budget is a guarantee, not a penalty.
"""

import math
import random
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import Final

from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cost import Budget, fixed_cost
from autospace.spaces.errors import AutospaceError, SpaceError
from autospace.spaces.fronts import Partial, merged, undominated
from autospace.spaces.sampling import MOST_TRIES, Feasible
from autospace.spaces.space import Architecture, Layer, Space, group_of
from autospace.spaces.stages import Part, Rows, drawn, least_of, plain_parts

DRAWS: Final = 1000
NEW_DRAWS: Final = 50
MOST_PARTIAL: Final = 4096
MOST_OF_THREE: Final = 512
"""As many with three limits or more, whose fronts are long and slow."""


Choice = tuple[int, ...]
"""An architecture: per layer, the index of its candidate."""


class SearchError(AutospaceError):
    """A search that is not possible; the message states why and what would help."""


@dataclass(frozen=True)
class Limit:
    """A cost that is a sum over the layers, and its upper limit.

    A float counts as the decimal number that it is printed as: 0.1 and 0.2 are within 0.3.

    Attributes:
        name: what is limited, with its unit.
        fixed: the cost of stem and head.
        table: per layer, the cost of each candidate.
    """

    name: str
    most: float
    fixed: float
    table: tuple[tuple[float, ...], ...]

    @property
    def cheapest(self) -> float:
        """The cost of the cheapest architecture if layers are independent; see `cheapest_of`."""
        return self.cheapest_of(plain_parts(list(map(len, self.table))))

    def cheapest_of(self, parts: Sequence[Part]) -> float:
        """The cost of the cheapest architecture, rounded up: the smallest limit that allows it."""
        exact = Fraction(self._whole(self.fixed) + least_of(parts, self.costs), self._unit)
        if exact.denominator == 1:
            return int(exact)
        nearest = float(exact)
        return nearest if Fraction(*_ratio(nearest)) >= exact else math.nextafter(nearest, math.inf)

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
        most = [self.most] if math.isfinite(self.most) else []
        values = (*most, self.fixed, *chain.from_iterable(self.table))
        return math.lcm(*(_ratio(value)[1] for value in values))

    def _whole(self, value: float) -> int:
        numerator, denominator = _ratio(value)
        return numerator * (self._unit // denominator)


def _ratio(value: float) -> tuple[int, int]:
    """Numerator and denominator of a number as it is printed, such as 1 and 10 of 0.1."""
    return Decimal(str(value)).as_integer_ratio()


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
            if least_of(self.parts, limit.costs) > limit.room:
                raise SearchError(
                    f"{limit.name}: the limit is {limit.most:,}, but the cheapest architecture "
                    f"of the space has {limit.cheapest_of(self.parts):,}; raise the limit"
                )
        if self.limits and not self._partials(self._no_scores):
            raise SearchError(
                f"no architecture is within the limits on {self._limited}; raise one of them"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Candidates per layer."""
        return tuple(len(layer.candidates) for layer in self.space.layers)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The layers that are chosen together: stages, or single layers."""
        return self.space.parts

    @property
    def staged(self) -> bool:
        """Whether not every candidate of a layer goes with all of the others."""
        return bool(self.space.skeleton.stages)

    def restricted(self, kept: Sequence[Sequence[int]]) -> "Choices":
        """The same limits over some of each layer's candidates, by index.

        Raises:
            SearchError: no architecture of those is within all limits, or a stage has no option.
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
        try:
            space = replace(self.space, layers=layers, reference={})
        except SpaceError as error:
            raise SearchError(str(error)) from None
        return Choices(space, limits)

    def allows(self, path: Choice) -> bool:
        """Whether a path is an architecture of the space, and within all limits."""
        if self.staged and not all(part.holds(path) for part in self.parts):
            return False
        return all(limit.allows(path) for limit in self.limits)

    def architecture(self, path: Choice) -> Architecture:
        """The architecture of a path."""
        return self.space.at(path)

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
            return drawn(self.parts, rng)
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

        A stage whose layers would be skipped before others has its cells moved to the front; one
        with cells of several groups gets one of these groups. Where no neighbour can be found
        within the limits, a fresh draw.
        """
        for _ in range(DRAWS):
            sure = rng.randrange(len(path))
            child = tuple(
                rng.randrange(size) if layer == sure or rng.random() < probability else index
                for layer, (index, size) in enumerate(zip(path, self.sizes, strict=True))
            )
            child = self.repaired(child, rng)
            if child != path and self.allows(child):
                return child
        return self.draw(rng)

    def repaired(self, path: Choice, rng: random.Random) -> Choice:
        """The path itself if it is in the space; else with the skipped layers of a stage last.

        And with the cells of a stage in one of the groups that they are of.
        """
        if not self.staged:
            return path
        found = list(path)
        for part in self.parts:
            if not part.holds(path):
                found[part.layers.start : part.layers.stop] = self._moved(part, path, rng)
        return tuple(found)

    def continued(self, path: Choice, count: int) -> Choice:
        """The path with other candidates in the rest of a stage, if it is not in the space.

        Args:
            path: through all layers.
            count: how many of its layers stay as they are.
        """
        if not self.staged:
            return path
        found = list(path)
        for part in self.parts:
            if part.holds(path) or part.layers.stop <= count:
                continue
            kept = range(max(0, count - part.layers.start))
            fitting = (
                rows
                for rows in reversed(part.alternatives)
                if all(path[part.layers[place]] in rows[place] for place in kept)
            )
            for layer, row in zip(part.layers, next(fitting, ()), strict=False):
                found[layer] = path[layer] if path[layer] in row else row[0]
        return tuple(found)

    def _moved(self, part: Part, path: Choice, rng: random.Random) -> list[int]:
        """The cells of a stage, in their order, in its first layers: as many as are allowed.

        They are of one group, drawn from those that they have. A layer that does not offer the cell
        it would get draws one of its own.
        """
        cells = [self.space.layers[at].candidates[path[at]].cell for at in part.layers]
        kept = [cell for cell in cells if not cell.is_zero]
        groups = sorted({cell.group for cell in kept})
        group = groups[0] if len(groups) == 1 else rng.choice(groups) if groups else None
        kept = [cell if group is None else cell.in_group(group) for cell in kept]

        def distance(rows: Rows) -> tuple[bool, int]:
            firsts = [group_of(cell) for cell in self._firsts(part, rows)]
            depth = sum(each is not None for each in firsts)
            return group is not None and group not in firsts, abs(depth - len(kept))

        rows = min(part.alternatives, key=distance)
        found = []
        for place, (at, row) in enumerate(zip(part.layers, rows, strict=True)):
            offers = self.space.layers[at].candidates
            wanted = kept[place] if place < len(kept) else None
            same = [index for index in row if offers[index].cell == wanted]
            found.append(same[0] if same else rng.choice(row))
        return found

    def _firsts(self, part: Part, rows: Rows) -> list[Cell]:
        """The first cell that each layer of a part may have in an alternative."""
        pairs = zip(part.layers, rows, strict=True)
        return [self.space.layers[at].candidates[row[0]].cell for at, row in pairs]

    def others(self, path: Choice, layer: int) -> list[int]:
        """What may stand in a layer instead: another candidate of the group of its stage, or none.

        Whether skipped layers come last is not looked at.
        """
        offers = [group_of(each.cell) for each in self.space.layers[layer].candidates]
        own = next((part for part in self.regroupable if layer in part.layers), None)
        found = (index for index in range(len(offers)) if index != path[layer])
        if own is None:
            return list(found)
        group = self._group(path, own)
        return [index for index in found if offers[index] in (None, group)]

    @cached_property
    def regroupable(self) -> tuple[Part, ...]:
        """The stages whose cells may be of several groups."""
        return tuple(
            part
            for part in self.parts
            if self.staged
            and len({self._firsts(part, rows)[0].group for rows in part.alternatives}) > 1
        )

    def regrouped(self, path: Choice, part: Part, rng: random.Random) -> Choice:
        """The path with the same kinds of cells in another group; itself if a layer has none."""
        now = self._group(path, part)
        groups = {self._firsts(part, rows)[0].group for rows in part.alternatives}
        group = rng.choice(sorted(groups - {now}))
        found = list(path)
        for at in part.layers:
            offers = [each.cell for each in self.space.layers[at].candidates]
            wanted = offers[path[at]]
            wanted = wanted if wanted.is_zero else wanted.in_group(group)
            if wanted not in offers:
                return path
            found[at] = offers.index(wanted)
        return tuple(found)

    def _group(self, path: Choice, part: Part) -> int:
        """That of a stage, of which the first layer is never skipped."""
        first = part.layers.start
        return self.space.layers[first].candidates[path[first]].cell.group

    def crossed(self, first: Choice, second: Choice, rng: random.Random) -> Choice:
        """A child that takes each layer from one parent or the other; within the limits."""
        for _ in range(DRAWS):
            child = tuple(rng.choice(pair) for pair in zip(first, second, strict=True))
            child = self.repaired(child, rng)
            if self.allows(child):
                return child
        return self.draw(rng)

    def best(self, scores: Sequence[Sequence[float]]) -> Choice:
        """The allowed architecture with the largest sum of scores, given per layer and candidate.

        Where the limits allow it, it has the best candidate of each layer. Otherwise, partial
        architectures grow layer by layer, or stage by stage. Those that another one beats in score
        and cost are dropped, and at most `MOST_PARTIAL` are kept.
        """
        leaders = tuple(max(range(len(row)), key=row.__getitem__) for row in scores)
        if self.allows(leaders):
            return leaders
        if found := self._partials(scores):
            return max(found, key=lambda partial: partial.score).path
        # Where limits trade off, none of those kept may be within all. Without scores, some are.
        paths = (each.path for each in self._partials(self._no_scores))
        return max(paths, key=lambda path: _total(scores, path))

    @property
    def _no_scores(self) -> list[list[float]]:
        return [[0.0] * size for size in self.sizes]

    @cached_property
    def _feasible(self) -> Feasible:
        tables = [limit.costs for limit in self.limits]
        return Feasible.of(self.parts, tables, [limit.room for limit in self.limits])

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
        rooms = [limit.room for limit in self.limits]
        most = MOST_PARTIAL if len(rooms) < 3 else MOST_OF_THREE
        return merged(joined_parts(self.parts, layers), rooms, most).partials


def _total(scores: Sequence[Sequence[float]], path: Choice) -> float:
    return sum(row[index] for row, index in zip(scores, path, strict=True))


def joined_parts(
    parts: Sequence[Part], layers: Sequence[Sequence[Partial]]
) -> list[Sequence[Partial]]:
    """The alternatives of each part, of which those of a stage are its own front.

    Args:
        parts: of all layers.
        layers: per layer, its candidates.
    """
    found: list[Sequence[Partial]] = []
    for part in parts:
        if len(part.alternatives) == len(part.layers) == 1:
            found.append(layers[part.layers.start])
            continue
        options: list[Partial] = []
        for rows in part.alternatives:
            pairs = zip(part.layers, rows, strict=True)
            chosen = [[layers[layer][index] for index in row] for layer, row in pairs]
            no_limits = [None] * len(chosen[0][0].costs)
            options += merged(chosen, no_limits, MOST_PARTIAL).partials
        found.append(undominated(options))
    return found


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
