"""Distinct architectures within a budget, every one that fits equally likely.

Where few architectures fit, all of them are listed, and the draw is from the list. Where many fit,
they are drawn one by one by tilted rejection:

Per layer, a candidate of cost c is drawn with probability proportional to exp(-t c), independently
of the other layers, so that an architecture of cost C is drawn with probability exp(-t C) / Z. If
it fits the limit M it is accepted with probability exp(-t (M - C)), which is at most 1. Accepted
architectures thus all have the probability exp(-t M) / Z: the same, for every t >= 0. With two
limits there are two such terms. The tilt decides only how many tries it takes. It is chosen where
Z exp(t M), the reciprocal of that probability, is least (Chernoff's bound on how many fit); then
the mean cost of what is drawn lies at the limit. On the built-in spaces it took 1 to 25 tries per
architecture, also where the limits leave one in 10^15.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

from autospace.spaces.cells.cost import Cost
from autospace.spaces.cost import Budget
from autospace.spaces.errors import SpaceError
from autospace.spaces.space import Architecture, Layer, Space

LISTED: Final = 4096
LISTED_PER_DRAW: Final = 4
MOST_STEPS: Final = 200_000
MOST_TRIES: Final = 100_000
STEEPEST: Final = 2.0**30
ROUNDS: Final = 8
BISECTIONS: Final = 40

_Choice = tuple[int, ...]
_Amounts = tuple[int, ...]


def sample_within(
    space: Space, budget: Budget, count: int, rng: random.Random
) -> list[Architecture]:
    """So many distinct architectures within a budget, uniformly drawn; all, if fewer exist.

    Args:
        space: where they come from.
        budget: what none of them exceeds.
        count: how many.
        rng: where chance comes from.

    Raises:
        SpaceError: none fits; the message names the limit and the cheapest architecture. With both
            limits at once also if more might fit than can be listed, but hardly any is found.
    """
    room = _room(space, budget)
    listed = _all(room, max(LISTED, LISTED_PER_DRAW * count))
    if listed is None:
        choices = _drawn(room, count, rng)
        if len(choices) < count:
            problem = f"found {len(choices)} of {count} architectures within the limits"
            raise SpaceError("", f"{problem} in {MOST_TRIES:,} tries; raise a limit")
    else:
        choices = rng.sample(listed, min(count, len(listed)))
        if not choices:
            raise _nothing(space, budget)
    return [
        Architecture(
            space.skeleton,
            tuple(layer.candidates[i] for layer, i in zip(space.layers, choice, strict=True)),
        )
        for choice in choices
    ]


class _Offer(NamedTuple):
    """A candidate: its place in the layer, and per limit what it costs over the cheapest there."""

    place: int
    extra: _Amounts


@dataclass(frozen=True, slots=True)
class _Room:
    """What a budget leaves open.

    Attributes:
        layers: per layer, the candidates that fit beside the cheapest of all other layers.
        slack: per limit, what all layers together may cost over the cheapest architecture.
    """

    layers: list[list[_Offer]]
    slack: _Amounts


def _room(space: Space, budget: Budget) -> _Room:
    names = [name for name in Cost._fields if getattr(budget, f"max_{name}") is not None]
    slack = []
    for name in names:
        slack.append(getattr(budget, f"max_{name}") - getattr(space, name).min)
        if slack[-1] < 0:
            raise _nothing(space, budget)
    layers = [_offers(layer, names) for layer in space.layers]
    return _Room(
        [[o for o in offers if _within(o.extra, slack)] for offers in layers], tuple(slack)
    )


def _offers(layer: Layer, names: list[str]) -> list[_Offer]:
    columns = [[getattr(cost, name) for cost in layer.costs] for name in names]
    extra = [[value - min(column) for value in column] for column in columns]
    return [
        _Offer(index, tuple(column[index] for column in extra))
        for index in range(len(layer.candidates))
    ]


def _within(spent: _Amounts, slack: list[int] | _Amounts) -> bool:
    return all(used <= most for used, most in zip(spent, slack, strict=True))


def _nothing(space: Space, budget: Budget) -> SpaceError:
    """Why no architecture fits: one limit is too low, or both together are."""
    wanted = []
    for name in Cost._fields:
        limit, least = getattr(budget, f"max_{name}"), getattr(space, name).min
        if limit is not None and limit < least:
            problem = f"{limit}, but the cheapest architecture of the space has {least}"
            return SpaceError(f"max_{name}", problem)
        wanted.append(f"max_{name} {limit} (least: {least})")
    return SpaceError("", f"found no architecture within both {' and '.join(wanted)}")


def _all(room: _Room, most: int) -> list[_Choice] | None:
    """All choices that fit, or None if there are more, or too much to look through."""
    found: list[_Choice] = []
    for steps, choice in enumerate(_walk(room)):
        if choice is not None:
            found.append(choice)
        if len(found) > most or steps > MOST_STEPS:
            return None
    return found


def _walk(room: _Room) -> Iterator[_Choice | None]:
    """Depth first over the layers; None at every step that does not end in a choice that fits."""
    stack: list[tuple[_Choice, _Amounts]] = [((), room.slack)]
    while stack:
        choice, slack = stack.pop()
        if len(choice) == len(room.layers):
            yield choice
            continue
        for offer in room.layers[len(choice)]:
            yield None
            # The cheapest of the layers to come cost nothing more.
            if _within(offer.extra, slack):
                left = tuple(most - used for most, used in zip(slack, offer.extra, strict=True))
                stack.append(((*choice, offer.place), left))


def _drawn(room: _Room, count: int, rng: random.Random) -> list[_Choice]:
    """Distinct choices that fit, by tilted rejection."""
    tilts = _tilts(room)
    weights = [list(accumulate(_weights(offers, tilts))) for offers in room.layers]
    found: dict[_Choice, None] = {}
    tries = 0
    while len(found) < count and tries < MOST_TRIES:
        tries += 1
        offers = [
            rng.choices(layer, cum_weights=row)[0]
            for layer, row in zip(room.layers, weights, strict=True)
        ]
        spent = tuple(map(sum, zip(*(offer.extra for offer in offers), strict=True)))
        choice = tuple(offer.place for offer in offers)
        if choice not in found and _within(spent, room.slack):
            pairs = zip(tilts, room.slack, spent, strict=True)
            exponent = sum(tilt * (most - used) for tilt, most, used in pairs)
            if rng.random() < math.exp(-exponent):
                found[choice] = None
                tries = 0
    return list(found)


def _weights(offers: list[_Offer], tilts: list[float]) -> list[float]:
    """Odds of a layer's candidates, the best of them 1."""
    exponents = [
        sum(tilt * extra for tilt, extra in zip(tilts, offer.extra, strict=True))
        for offer in offers
    ]
    least = min(exponents)
    return [math.exp(least - exponent) for exponent in exponents]


def _tilts(room: _Room) -> list[float]:
    """Per limit the tilt at which the mean cost lies at the limit, or 0 if it does untilted."""
    tilts = [0.0] * len(room.slack)
    for _ in range(ROUNDS if len(tilts) > 1 else 1):
        for number, slack in enumerate(room.slack):
            # Without slack all that is left costs the same.
            if slack > 0:
                tilts[number] = _balanced(room, tilts, number)
    return tilts


def _balanced(room: _Room, tilts: list[float], number: int) -> float:
    def over(tilt: float) -> bool:
        tried = [*tilts[:number], tilt, *tilts[number + 1 :]]
        return _mean(room, tried, number) > room.slack[number]

    if not over(0.0):
        return 0.0
    low, high = 0.0, 1.0 / room.slack[number]
    while over(high) and high * room.slack[number] < STEEPEST:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if over(middle) else (low, middle)
    return high


def _mean(room: _Room, tilts: list[float], number: int) -> float:
    """Mean cost over the cheapest, under one of the limits, of what is drawn at these tilts."""
    total = 0.0
    for offers in room.layers:
        weights = _weights(offers, tilts)
        pairs = zip(weights, offers, strict=True)
        total += sum(w * offer.extra[number] for w, offer in pairs) / sum(weights)
    return total
