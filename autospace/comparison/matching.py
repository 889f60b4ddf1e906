"""Matching: tuples of networks, one from each space, that cost the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from autospace.seeds import derived_seed

TOLERANCE: Final = 0.02
LEAST_SHARE: Final = 0.01


@dataclass(frozen=True, eq=False)
class Matching:
    """Tuples of draws to compare, in a random order: any number of the first is a fair sample.

    Attributes:
        tuples: indices of draws, int [M, spaces]; no draw stands in two tuples.
        shares: per space, the share of its draws whose cost the other spaces have as well.
        span: lowest and highest cost in the tuples; None if nothing was matched.
        draws: drawn per space.
    """

    tuples: np.ndarray
    shares: tuple[float, ...]
    span: tuple[int, int] | None
    draws: int

    @property
    def comparable(self) -> bool:
        """Whether enough of what was drawn has a partner in every other space."""
        return len(self.tuples) >= LEAST_SHARE * self.draws


def match(costs: Sequence[np.ndarray], seed: int) -> Matching:
    """Tuples whose costs lie in one bin: they differ by less than `TOLERANCE`.

    Bins are of equal ratio, from a grid that does not depend on the spaces. A bin yields as many
    tuples as the space with the fewest draws in it allows, so that the cost of the tuples follows
    the overlap of the spaces' distributions, min over the spaces of their density.

    Args:
        costs: per space, the cost of every draw, int [N].
        seed: decides the order of the tuples.
    """
    bins = [np.floor(np.log(cost) / np.log1p(TOLERANCE)).astype(np.int64) for cost in costs]
    members = [_by_bin(each) for each in bins]
    shared = sorted(set(members[0]).intersection(*members[1:]))
    rows = []
    for each in shared:
        count = min(len(space[each]) for space in members)
        rows.append(np.stack([space[each][:count] for space in members], axis=1))
    empty = np.zeros((0, len(costs)), dtype=np.int64)
    tuples = np.concatenate(rows) if rows else empty
    order = np.random.default_rng(derived_seed(seed, "comparison", "order"))
    shares = tuple(float(np.isin(each, shared).mean()) for each in bins)
    span = None
    if len(tuples):
        matched = np.concatenate([cost[tuples[:, i]] for i, cost in enumerate(costs)])
        span = int(matched.min()), int(matched.max())
    return Matching(order.permutation(tuples), shares, span, len(costs[0]))


def unmatched(costs: Sequence[np.ndarray]) -> Matching:
    """Tuples in the order of the draws, whatever they cost."""
    count = len(costs[0])
    tuples = np.repeat(np.arange(count)[:, None], len(costs), axis=1)
    return Matching(tuples, (1.0,) * len(costs), None, count)


def _by_bin(bins: np.ndarray) -> dict[int, np.ndarray]:
    """The draws of each bin, in the order in which they were drawn."""
    order = np.argsort(bins, kind="stable")
    values, starts = np.unique(bins[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))
