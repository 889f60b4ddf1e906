"""Layers that are chosen together: stages of which only the last layers may be skipped.

In Once-for-All (Cai et al., ICLR 2020) a stage has between two and four layers: a layer is skipped
only if all later ones of its stage are. In NAS-BERT (Xu et al., KDD 2021) all cells of a stage are
besides of one group, a hidden size. So the layers of a stage are one decision. Its options are
counted, drawn and added up depth by depth and group by group, without a list of them: given both,
the layers are independent again. A layer without such a rule is a part of its own.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from typing import Final

from autospace.spaces.checks import MAX_LAYERS, check_integer
from autospace.spaces.errors import SpaceError, offered, shown

ACTIVATIONS: Final = ("relu", "relu6", "h_swish")
Rows = tuple[tuple[int, ...], ...]
"""Per layer of a part, the candidates that are allowed there, by index."""
Choose = Callable[[Iterable[int]], int]
Group = int | None
"""What the cells of a stage have in common; None of a cell that skips its layer."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Consecutive layers of a skeleton that have one activation.

    Attributes:
        layers: how many there are.
        least: how many of them are never skipped; of the others, only the last ones are.
        activation: one of `ACTIVATIONS`.
        attention: whether cells have squeeze-and-excitation.
    """

    layers: int
    least: int
    activation: str = "relu6"
    attention: bool = False

    def check(self) -> None:
        """Raises `SpaceError` for a value that is not possible."""
        check_integer("layers", self.layers, 1, MAX_LAYERS)
        check_integer("least", self.least, 1, self.layers)
        if self.activation not in ACTIVATIONS:
            known = offered(self.activation, ACTIVATIONS)
            raise SpaceError("activation", f"unknown activation {shown(self.activation)}; {known}")
        if type(self.attention) is not bool:
            raise SpaceError("attention", f"{shown(self.attention)}; allowed: true or false")


@dataclass(frozen=True)
class Part:
    """Layers that are chosen together.

    Attributes:
        layers: their places in the network.
        alternatives: what they may hold; no architecture belongs to two of them.
    """

    layers: range
    alternatives: tuple[Rows, ...]

    @cached_property
    def sizes(self) -> list[int]:
        """Options of each alternative."""
        return [math.prod(map(len, rows)) for rows in self.alternatives]

    @property
    def size(self) -> int:
        """Number of options."""
        return sum(self.sizes)

    def holds(self, path: Sequence[int]) -> bool:
        """Whether the candidates of these layers in a path of all layers are an option."""
        own = path[self.layers.start : self.layers.stop]
        return any(
            all(index in row for index, row in zip(own, rows, strict=True))
            for rows in self.alternatives
        )

    def within(self, layers: range) -> "Part | None":
        """What the rule says of some of the layers alone; None if it has none of them."""
        start = max(self.layers.start, layers.start)
        stop = min(self.layers.stop, layers.stop)
        if start >= stop:
            return None
        first = self.layers.start
        rows = dict.fromkeys(each[start - first : stop - first] for each in self.alternatives)
        return Part(range(start - layers.start, stop - layers.start), tuple(rows))


def parts_of(stages: Sequence[Stage], groups: Sequence[Sequence[Group]]) -> tuple[Part, ...]:
    """The parts of a space.

    Args:
        stages: those of the skeleton, at least one.
        groups: per layer, that of each candidate.

    Raises:
        SpaceError: a stage has no option.
    """
    parts, first = [], 0
    for stage in stages:
        layers = range(first, first + stage.layers)
        depths = range(stage.least, stage.layers + 1)
        own = groups[layers.start : layers.stop]
        common = sorted({group for row in own for group in row if group is not None})
        found = [_rows(own, depth, group) for depth in depths for group in common]
        possible = tuple(rows for rows in found if all(rows))
        if not possible:
            problem = "no depth of this stage is possible"
            allowed = "cells in its first layers, and in the others cells or skipped ones last"
            raise SpaceError(f"layers[{first}]", f"{problem}; allowed: {allowed}")
        parts.append(Part(layers, possible))
        first = layers.stop
    return tuple(parts)


def plain_parts(sizes: Sequence[int]) -> tuple[Part, ...]:
    """A part for each of some independent layers."""
    return tuple(
        Part(range(layer, layer + 1), ((tuple(range(size)),),)) for layer, size in enumerate(sizes)
    )


def _rows(groups: Sequence[Sequence[Group]], depth: int, group: Group) -> Rows:
    """The candidates of a stage of this depth and group."""
    return tuple(
        tuple(index for index, own in enumerate(row) if own == (group if layer < depth else None))
        for layer, row in enumerate(groups)
    )


def drawn(parts: Sequence[Part], rng: random.Random) -> tuple[int, ...]:
    """One architecture, uniformly over all of them, as the index of each layer's candidate."""
    return tuple(rng.choice(row) for part in parts for row in _drawn_rows(part, rng))


def _drawn_rows(part: Part, rng: random.Random) -> Rows:
    """One of the alternatives, as often as it has options."""
    if len(part.alternatives) == 1:
        return part.alternatives[0]
    place = rng.randrange(part.size)
    ends = accumulate(part.sizes)
    return part.alternatives[next(index for index, end in enumerate(ends) if place < end)]


def sums_of(part: Part, table: Sequence[Sequence[int]], choose: Choose) -> list[int]:
    """Per alternative, the smallest or largest sum of costs, given per layer and candidate."""
    return [
        sum(
            choose(table[layer][index] for index in row)
            for layer, row in zip(part.layers, rows, strict=True)
        )
        for rows in part.alternatives
    ]


def least_of(parts: Sequence[Part], table: Sequence[Sequence[int]]) -> int:
    """The smallest sum of costs of an architecture."""
    return sum(min(sums_of(part, table, min)) for part in parts)


def mean_of(part: Part, table: Sequence[Sequence[int]]) -> Fraction:
    """The mean sum of costs over the options of a part."""
    total = Fraction()
    for size, rows in zip(part.sizes, part.alternatives, strict=True):
        pairs = zip(part.layers, rows, strict=True)
        means = (Fraction(sum(table[layer][i] for i in row), len(row)) for layer, row in pairs)
        total += size * sum(means, Fraction())
    return total / part.size


def check_stages(stages: Sequence[Stage], names: Sequence[str], groups: Iterable[Group]) -> None:
    """Refuses an architecture that skips a layer in front of one that it has.

    Args:
        stages: those of the skeleton.
        names: of all layers.
        groups: that of each layer's cell.

    Raises:
        SpaceError: it does, or it skips a layer that is never skipped, or cells of a stage differ
            in their group.
    """
    given = iter(groups)
    first = 0
    for stage in stages:
        own = [next(given) for _ in range(stage.layers)]
        skipped = [group is None for group in own]
        depth = skipped.index(True) if True in skipped else stage.layers
        path = f"layers[{first + depth}].candidate"
        if depth < stage.least:
            problem = f"skipped; allowed: cells in the first {stage.least} layers of a stage"
            raise SpaceError(path, problem)
        if not all(skipped[depth:]):
            later = names[first + depth + skipped[depth:].index(False)]
            problem = f"skipped, but {later} of the same stage is not"
            raise SpaceError(path, f"{problem}; allowed: to skip the last layers of a stage")
        for place, group in enumerate(own[:depth]):
            if group != own[0]:
                problem = f"hidden size {group}, but {names[first]} of the same stage has {own[0]}"
                path = f"layers[{first + place}].candidate"
                raise SpaceError(path, f"{problem}; allowed: one hidden size in a stage")
        first += stage.layers
