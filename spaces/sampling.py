"""Draws architectures within limits, each of them with equal probability.

Where few architectures fit, all of them are listed, and the draw is from the list. Where many fit,
they are drawn one by one by tilted rejection:

Per layer, a candidate of cost c is drawn with probability proportional to exp(-t c), independently
of the other layers, so that an architecture of cost C is drawn with probability exp(-t C) / Z. If
it fits the limit M it is accepted with probability exp(-t (M - C)), which is at most 1. Accepted
architectures thus all have the probability exp(-t M) / Z: the same, for every t >= 0. With several
limits there is one such term for each. The tilt decides only how many tries it takes. It is chosen
where Z exp(t M), the reciprocal of that probability, is least (Chernoff's bound on how many fit);
then the mean cost of what is drawn lies at the limit. On the built-in spaces it took 1 to 25 tries
per architecture, also where the limits leave one in 10^15.

Of layers that are chosen together, the stages of Once-for-All, the depth is drawn first, with its
share of Z; given the depth, the layers are independent.
"""

import math
import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final, NamedTuple

from autospace.spaces.cost import Budget, fixed_cost
from autospace.spaces.errors import SpaceError
from autospace.spaces.space import Architecture, Space
from autospace.spaces.stages import Part, least_of, sums_of

LISTED: Final = 4096
LISTED_PER_DRAW: Final = 4
MOST_STEPS: Final = 200_000
MOST_TRIES: Final = 100_000
STEEPEST: Final = 2.0**30
ROUNDS: Final = 8
BISECTIONS: Final = 40

_Choice = tuple[int, ...]
_Amounts = tuple[int, ...]


class _Offer(NamedTuple):
    """A candidate: its place in the layer, and per limit what it costs over the cheapest there."""

    place: int
    extra: _Amounts


class _Alternative(NamedTuple):
    """One of the ways to choose some layers together.

    Attributes:
        layers: per layer, the candidates that fit beside the cheapest of all other layers.
        extra: per limit, what the cheapest of its candidates cost over those of the cheapest way.
    """

    layers: list[list[_Offer]]
    extra: _Amounts


@dataclass(frozen=True)
class Feasible:
    """The architectures within some limits, to be listed or drawn from.

    Attributes:
        parts: layers that are chosen together, with the ways to choose them that fit beside the
            cheapest of all others; where one has none, nothing fits.
        slack: per limit, what all layers together may cost over the cheapest architecture.
    """

    parts: list[list[_Alternative]]
    slack: _Amounts

    @classmethod
    def of(
        cls,
        parts: Sequence[Part],
        tables: Sequence[Sequence[Sequence[int]]],
        most: Sequence[int],
    ) -> "Feasible":
        """Those whose costs, added up over the layers, are at most what each limit allows.

        Args:
            parts: of all layers.
            tables: per limit and layer, what each candidate costs.
            most: per limit, what all layers together may cost.
        """
        least = [least_of(parts, table) for table in tables]
        slack = tuple(a - b for a, b in zip(most, least, strict=True))
        return cls([_alternatives(part, tables, slack) for part in parts], slack)

    def listed(self, most: int) -> list[_Choice] | None:
        """All that fit, or None if there are more, or too much to look through."""
        found: list[_Choice] = []
        for steps, choice in enumerate(self._walk()):
            if choice is not None:
                found.append(choice)
            if len(found) > most or steps > MOST_STEPS:
                return None
        return found

    def draw(self, rng: random.Random) -> _Choice | None:
        """One of those that fit, all equally likely; None if none fits, or none could be found."""
        if self._few is None:
            return self.drawn(rng)
        return rng.choice(self._few) if self._few else None

    def drawn(self, rng: random.Random, known: Container[_Choice] = ()) -> _Choice | None:
        """One of those that fit and are not known, by tilted rejection; None after many tries."""
        if not all(self.parts):
            return None
        for _ in range(MOST_TRIES):
            offers: list[_Offer] = []
            extras: list[_Amounts] = []
            for part, odds in zip(self.parts, self._odds, strict=True):
                place = 0
                if len(part) > 1:
                    place = rng.choices(range(len(part)), cum_weights=odds.between)[0]
                rows = zip(part[place].layers, odds.layers[place], strict=True)
                offers += [rng.choices(layer, cum_weights=row)[0] for layer, row in rows]
                extras.append(part[place].extra)
            choice = tuple(offer.place for offer in offers)
            if choice in known:
                continue
            spent = tuple(map(sum, zip(*(offer.extra for offer in offers), *extras, strict=True)))
            if _within(spent, self.slack):
                pairs = zip(self._tilts, self.slack, spent, strict=True)
                exponent = sum(tilt * (most - used) for tilt, most, used in pairs)
                if rng.random() < math.exp(-exponent):
                    return choice
        return None

    @cached_property
    def _few(self) -> list[_Choice] | None:
        return self.listed(LISTED)

    @cached_property
    def _tilts(self) -> list[float]:
        return _tilts(self)

    @cached_property
    def _odds(self) -> list["_Odds"]:
        """Per part, the cumulative odds of its alternatives and of their candidates."""
        return [
            _Odds(
                list(accumulate(_between(part, self._tilts))),
                [
                    [list(accumulate(_weights(offers, self._tilts))) for offers in each.layers]
                    for each in part
                ],
            )
            for part in self.parts
        ]

    def _walk(self) -> Iterator[_Choice | None]:
        """Depth first over the layers; None at every step that ends in no choice that fits."""
        stack: list[tuple[_Choice, _Amounts, int, list[list[_Offer]]]] = [((), self.slack, 0, [])]
        while stack:
            choice, slack, part, layers = stack.pop()
            if not layers and part == len(self.parts):
                yield choice
                continue
            if not layers and len(self.parts[part]) != 1:
                for each in self.parts[part]:
                    yield None
                    if _within(each.extra, slack):
                        stack.append((choice, _less(slack, each.extra), part + 1, each.layers))
                continue
            if not layers:
                layers, part = self.parts[part][0].layers, part + 1
            for offer in layers[0]:
                yield None
                # The cheapest of the layers to come cost nothing more.
                if _within(offer.extra, slack):
                    left = _less(slack, offer.extra)
                    stack.append(((*choice, offer.place), left, part, layers[1:]))


class _Odds(NamedTuple):
    """Cumulative odds of the alternatives of a part, and per alternative of its candidates."""

    between: list[float]
    layers: list[list[list[float]]]


def _alternatives(
    part: Part, tables: Sequence[Sequence[Sequence[int]]], slack: _Amounts
) -> list[_Alternative]:
    """Those that fit beside the cheapest of all other parts."""
    sums = [sums_of(part, table, min) for table in tables]
    found = []
    for number, rows in enumerate(part.alternatives):
        extra = tuple(row[number] - min(row) for row in sums)
        layers = []
        for layer, row in zip(part.layers, rows, strict=True):
            least = [min(table[layer][index] for index in row) for table in tables]
            pairs = list(zip(tables, least, strict=True))
            offers = (_Offer(i, tuple(table[layer][i] - low for table, low in pairs)) for i in row)
            layers.append([offer for offer in offers if _within(offer.extra, slack)])
        if _within(extra, slack) and all(layers):
            found.append(_Alternative(layers, extra))
    return found


def _less(slack: _Amounts, spent: _Amounts) -> _Amounts:
    return tuple(most - used for most, used in zip(slack, spent, strict=True))


def _within(spent: _Amounts, slack: _Amounts) -> bool:
    return all(used <= most for used, most in zip(spent, slack, strict=True))


def sample_within(
    space: Space, budget: Budget, count: int, rng: random.Random
) -> list[Architecture]:
    """Distinct architectures within a budget, drawn uniformly; all of them if fewer exist.

    Args:
        space: where they come from.
        budget: what none of them exceeds.
        count: how many.
        rng: where chance comes from.

    Raises:
        SpaceError: none fits; the message names the limit and the cheapest architecture. With both
            limits, also if there may be too many to list but hardly any is drawn.
    """
    feasible = _within_budget(space, budget)
    if not all(feasible.parts):
        raise _nothing(space, budget)
    listed = feasible.listed(max(LISTED, LISTED_PER_DRAW * count))
    if listed is None:
        choices = _distinct(feasible, count, rng)
        if len(choices) < count:
            found = f"{len(choices)} of {count} architectures within the limits"
            raise SpaceError("", f"{MOST_TRIES:,} tries gave {found}; raise a limit")
    else:
        choices = rng.sample(listed, min(count, len(listed)))
        if not choices:
            raise _nothing(space, budget)
    return [space.at(choice) for choice in choices]


def _within_budget(space: Space, budget: Budget) -> Feasible:
    limits, fixed = budget.limits, fixed_cost(space.skeleton)
    tables = [
        [[cost.whole(unit) for cost in layer.costs] for layer in space.layers] for unit in limits
    ]
    most = [limit - fixed.whole(unit) for unit, limit in limits.items()]
    return Feasible.of(space.parts, tables, most)


def _distinct(feasible: Feasible, count: int, rng: random.Random) -> list[_Choice]:
    """Distinct choices that fit, as many as asked for unless no more can be found."""
    found: dict[_Choice, None] = {}
    while len(found) < count and (choice := feasible.drawn(rng, found)) is not None:
        found[choice] = None
    return list(found)


def _nothing(space: Space, budget: Budget) -> SpaceError:
    """Why no architecture fits: one limit is too low, or both together are."""
    wanted = []
    names = ("madds", "params") if budget.max_ops is None else tuple(budget.limits)
    for name in names:
        limit, least = getattr(budget, f"max_{name}"), getattr(space, name).min
        if limit is not None and limit < least:
            problem = f"{limit}, but the cheapest architecture of the space has {least}"
            return SpaceError(f"max_{name}", problem)
        wanted.append(f"max_{name} {limit} (least: {least})")
    both = "both" if len(wanted) == 2 else "all of"
    return SpaceError(
        "", f"no architecture is within {both} {' and '.join(wanted)}; raise one of them"
    )


def _weights(offers: list[_Offer], tilts: list[float]) -> list[float]:
    """Odds of a layer's candidates, the best of them 1."""
    exponents = _exponents(offers, tilts)
    least = min(exponents)
    return [math.exp(least - exponent) for exponent in exponents]


def _exponents(offers: list[_Offer], tilts: list[float]) -> list[float]:
    return [_dot(tilts, offer.extra) for offer in offers]


def _dot(tilts: list[float], extra: _Amounts) -> float:
    return sum(tilt * each for tilt, each in zip(tilts, extra, strict=True))


def _between(part: list[_Alternative], tilts: list[float]) -> list[float]:
    """Odds of the alternatives of a part, the best of them 1: sums over their options."""
    if len(part) == 1:
        return [1.0]
    logs = [
        sum(
            math.log(sum(_weights(offers, tilts))) - min(_exponents(offers, tilts))
            for offers in each.layers
        )
        - _dot(tilts, each.extra)
        for each in part
    ]
    return [math.exp(each - max(logs)) for each in logs]


def _tilts(feasible: Feasible) -> list[float]:
    """Per limit the tilt at which the mean cost lies at the limit, or 0 if it does untilted."""
    tilts = [0.0] * len(feasible.slack)
    for _ in range(ROUNDS if len(tilts) > 1 else 1):
        for number, slack in enumerate(feasible.slack):
            # Without slack all that is left costs the same.
            if slack > 0:
                tilts[number] = _balanced(feasible, tilts, number)
    return tilts


def _balanced(feasible: Feasible, tilts: list[float], number: int) -> float:
    def over(tilt: float) -> bool:
        tried = [*tilts[:number], tilt, *tilts[number + 1 :]]
        return _mean(feasible, tried, number) > feasible.slack[number]

    if not over(0.0):
        return 0.0
    low, high = 0.0, 1.0 / feasible.slack[number]
    while over(high) and high * feasible.slack[number] < STEEPEST:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if over(middle) else (low, middle)
    return high


def _mean(feasible: Feasible, tilts: list[float], number: int) -> float:
    """Mean cost over the cheapest, under one of the limits, of what is drawn at these tilts."""
    total = 0.0
    for part in feasible.parts:
        odds = _between(part, tilts)
        for share, each in zip(odds, part, strict=True):
            mean = float(each.extra[number])
            for offers in each.layers:
                weights = _weights(offers, tilts)
                pairs = zip(weights, offers, strict=True)
                mean += sum(w * offer.extra[number] for w, offer in pairs) / sum(weights)
            total += mean if len(part) == 1 else share / sum(odds) * mean
    return total
