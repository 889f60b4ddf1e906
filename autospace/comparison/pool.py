"""Networks drawn from a space, with their cost."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from autospace.evaluators.evaluator import skeleton_key
from autospace.seeds import derived_seed
from autospace.spaces.cells.key import canonical_key
from autospace.spaces.cost import fixed_cost
from autospace.spaces.space import Architecture, Space

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

    def cost(self, name: str) -> np.ndarray:
        """`madds` or `params` of every draw."""
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
    columns = [rng.integers(len(layer.candidates), size=count) for layer in space.layers]
    return Pool(space, np.stack(columns, axis=1))


def space_digest(space: Space) -> str:
    """SHA-256 of skeleton and functions per layer, in their order."""
    text = [skeleton_key(space.skeleton)]
    for layer in space.layers:
        text += [canonical_key(each.cell, layer.shape.stride) for each in layer.candidates]
        text.append("")
    return hashlib.sha256("\n".join(text).encode()).hexdigest()
