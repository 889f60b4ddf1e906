"""Fronts of score and cost: the alternatives that no other one beats.

Scores and costs are sums over the parts of an architecture: its layers, or runs of layers. If one
partial architecture beats another in score at no greater cost of any kind, it stays ahead whatever
parts follow. So the front of the whole comes from the fronts of its parts, merged one after
another, and nothing is lost.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from heapq import nsmallest
from typing import NamedTuple


class Partial(NamedTuple):
    """An alternative of the first parts, or of one part.

    Attributes:
        score: larger is better.
        costs: one of each kind.
        path: the candidates, one per layer.
    """

    score: float
    costs: tuple[int, ...]
    path: tuple[int, ...]


class Front(NamedTuple):
    """Alternatives that none of the others beats, the best score first.

    Attributes:
        exact: False if a front was too long, so that some alternatives were left out.
    """

    partials: list[Partial]
    exact: bool


def merged(
    parts: Sequence[Sequence[Partial]], rooms: Sequence[int | None], most: int | None = None
) -> Front:
    """The front of all combinations of alternatives, one per part, that are within the limits.

    Args:
        parts: the alternatives of each part, with at least one in each.
        rooms: per kind of cost, what all parts together may cost; None for no limit.
        most: alternatives that are kept after each part; None for all.

    Returns:
        The front, or an empty one if no combination is within the limits. Equal scores at equal
        costs are one point of it: the first path.
    """
    kept, exact = [Partial(0.0, (0,) * len(rooms), ())], True
    for number, part in enumerate(parts):
        ends = [_end(room, kind, parts[number + 1 :]) for kind, room in enumerate(rooms)]
        grown = []
        for score, costs, path in kept:
            for value, more, tail in part:
                after = tuple(cost + each for cost, each in zip(costs, more, strict=True))
                if all(cost <= end for cost, end in zip(after, ends, strict=True)):
                    grown.append(Partial(score + value, after, path + tail))
        front = undominated(grown, most)
        if most is not None and len(front) > most:
            front, exact = _shortened(front, grown, ends, most), False
        kept = front
    return Front(kept, exact)


def _end(room: int | None, kind: int, later: Sequence[Sequence[Partial]]) -> float:
    """What the parts so far may cost, so that the cheapest of the later ones still fit."""
    if room is None:
        return math.inf
    return room - sum(min(each.costs[kind] for each in part) for part in later)


def undominated(partials: Sequence[Partial], most: int | None = None) -> list[Partial]:
    """Those that no other beats in score at no greater cost of any kind, the best score first.

    Args:
        partials: in any order.
        most: one more than these are found, which tells that there are too many; None finds all.
    """
    front: list[Partial] = []
    stairs: list[tuple[int, int]] = []
    for partial in sorted(partials, key=_rank):
        if most is not None and len(front) > most:
            break
        if len(partial.costs) > 2:
            if not _beaten(partial.costs, front):
                front.append(partial)
        elif _climb(stairs, _pair(partial.costs)):
            front.append(partial)
    return front


def _rank(partial: Partial) -> tuple[float, tuple[int, ...], tuple[int, ...]]:
    return -partial[0], partial[1], partial[2]


def _pair(costs: tuple[int, ...]) -> tuple[int, int]:
    first, second, *_ = (*costs, 0, 0)
    return first, second


def _climb(stairs: list[tuple[int, int]], costs: tuple[int, int]) -> bool:
    """Adds two costs to those seen, which are kept as a staircase; False if one covers them.

    Along the stairs the first cost rises and the second falls, so that one look is enough.
    """
    below = bisect_right(stairs, (costs[0], math.inf))
    if below and stairs[below - 1][1] <= costs[1]:
        return False
    start = end = bisect_left(stairs, costs)
    while end < len(stairs) and stairs[end][1] >= costs[1]:
        end += 1
    stairs[start:end] = [costs]
    return True


def _beaten(costs: tuple[int, ...], front: list[Partial]) -> bool:
    return any(
        all(a <= b for a, b in zip(kept.costs, costs, strict=True)) for kept in reversed(front)
    )


def _shortened(
    front: list[Partial], grown: list[Partial], ends: Sequence[float], most: int
) -> list[Partial]:
    """The best of a long front, and those that leave room, so that something stays feasible.

    These are the cheapest of each kind and, where kinds trade off, a quarter that comes least close
    to any limit.
    """
    kinds = range(len(ends))
    # The first of the cheapest is in the front: what beats it would be as cheap, and come before.
    roomy = [min(grown, key=lambda one: (one.costs[kind], _rank(one))) for kind in kinds]
    if len(ends) > 1:
        roomy += nsmallest(most // 4, grown, key=lambda one: (_use(one.costs, ends), _rank(one)))
    return undominated([*roomy, *front[: most - len(roomy)]])


def _use(costs: tuple[int, ...], ends: Sequence[float]) -> float:
    """The largest share of what may be spent of any kind."""
    return max(
        cost / end if end else float(cost > 0) for cost, end in zip(costs, ends, strict=True)
    )
