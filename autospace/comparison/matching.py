"""Networks drawn from spaces, and tuples of them, one from each space, that cost the same."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from autospace.evaluators.evaluator import skeleton_key
from autospace.seeds import derived_seed
from autospace.spaces.cells.operations import BITS
from autospace.spaces.cost import fixed_cost
from autospace.spaces.space import Architecture, Space
from autospace.spaces.stages import Part

DRAWS: Final = 20_000


@dataclass(frozen=True, eq=False)
class Pool:
    """Networks drawn uniformly, independently and with replacement.

    Attributes:
        choices: index of the candidate per draw and layer, int [N, L].
    """

    space: Space
    choices: np.ndarray

    @cached_property
    def madds(self) -> np.ndarray:
        """MAdds of every draw, int [N]."""
        layers = [[cost.madds for cost in layer.costs] for layer in self.space.layers]
        return self._summed(fixed_cost(self.space.skeleton).madds, layers)

    @cached_property
    def params(self) -> np.ndarray:
        """Params of every draw, int [N]."""
        layers = [[cost.params for cost in layer.costs] for layer in self.space.layers]
        return self._summed(fixed_cost(self.space.skeleton).params, layers)

    @cached_property
    def ops(self) -> np.ndarray:
        """MAdds plus a 64th of the binary operations of every draw, rounded up, int [N]."""
        layers = [[cost.whole("ops") for cost in layer.costs] for layer in self.space.layers]
        whole = self._summed(fixed_cost(self.space.skeleton).whole("ops"), layers)
        found: np.ndarray = -(-whole // BITS)
        return found

    def cost(self, name: str) -> np.ndarray:
        """`madds`, `params` or `ops` of every draw."""
        if name == "ops":
            return self.ops
        return self.params if name == "params" else self.madds

    def architecture(self, index: int) -> Architecture:
        """The network of a draw."""
        chosen = zip(self.space.layers, self.choices[index], strict=True)
        candidates = tuple(layer.candidates[int(choice)] for layer, choice in chosen)
        return Architecture(self.space.skeleton, candidates)

    def _summed(self, fixed: int, layers: list[list[int]]) -> np.ndarray:
        columns = zip(layers, self.choices.T, strict=True)
        parts = (np.array(costs, dtype=np.int64)[column] for costs, column in columns)
        return fixed + sum(parts, np.zeros(len(self.choices), dtype=np.int64))


def draw(space: Space, seed: int, occurrence: int = 0, count: int = DRAWS) -> Pool:
    """Draws from a space.

    What is drawn follows from what the space offers, not from its name or its place in a
    comparison: in another order, the same spaces give the same networks.

    Args:
        space: to draw from.
        seed: of the comparison.
        occurrence: 0, or how often an equal space stands before this one in the comparison.
        count: how many networks.
    """
    stream = derived_seed(seed, "comparison", "pool", space_digest(space), occurrence)
    rng = np.random.default_rng(stream)
    columns = [column for part in space.parts for column in _drawn(part, rng, count)]
    return Pool(space, np.stack(columns, axis=1))


def _drawn(part: Part, rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Indices of candidates for the layers of a part, each int [N]: uniform over its options."""
    if len(part.alternatives) == 1:
        return [np.array(row)[rng.integers(len(row), size=count)] for row in part.alternatives[0]]
    sizes = np.array(part.sizes, dtype=float)
    which = rng.choice(len(sizes), size=count, p=sizes / sizes.sum())
    columns = [np.zeros(count, dtype=np.int64) for _ in part.layers]
    for place, rows in enumerate(part.alternatives):
        chosen = which == place
        for column, row in zip(columns, rows, strict=True):
            column[chosen] = np.array(row)[rng.integers(len(row), size=int(chosen.sum()))]
    return columns


def space_digest(space: Space) -> str:
    """SHA-256 of skeleton and functions per layer, in their order."""
    text = [skeleton_key(space.skeleton)]
    for layer in space.layers:
        text += [*layer.keys, ""]
    return hashlib.sha256("\n".join(text).encode()).hexdigest()


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


def cost_bins(cost: np.ndarray) -> np.ndarray:
    """The bin of each cost, int; costs of one bin differ by less than `TOLERANCE`."""
    bins: np.ndarray = np.floor(np.log(cost) / np.log1p(TOLERANCE)).astype(np.int64)
    return bins


def match(costs: Sequence[np.ndarray], seed: int) -> Matching:
    """Tuples whose costs lie in one bin: they differ by less than `TOLERANCE`.

    Bins are of equal ratio, from a grid that does not depend on the spaces. A bin yields as many
    tuples as the space with the fewest draws in it allows, so that the cost of the tuples follows
    the overlap of the spaces' distributions, min over the spaces of their density.

    Args:
        costs: per space, the cost of every draw, int [N].
        seed: decides the order of the tuples.
    """
    bins = [cost_bins(cost) for cost in costs]
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


def matching_with_first(costs: Sequence[np.ndarray], seed: int) -> tuple[int, ...]:
    """The spaces that can be compared together: the first, and each that still matches, in turn."""
    chosen = [0]
    for each in range(1, len(costs)):
        if match([costs[i] for i in (*chosen, each)], seed).comparable:
            chosen.append(each)
    return tuple(chosen)


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
