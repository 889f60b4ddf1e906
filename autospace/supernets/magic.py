"""Gradual modification (MAGIC-T, Xu et al., ICML 2022): paths of successive steps are alike.

Two paths that differ in more layers pull at the weights that they share in more different
directions (`interference.py` measures it). So each step trains a path that differs from the one
before in a single layer.
"""

import random

from autospace.runs.state import State
from autospace.seeds import stream
from autospace.spaces.choices import Choices, Path
from autospace.supernets.path_training import Uniform
from autospace.supernets.shared_weights import SharedWeights


class Walk(Uniform):
    """A random walk over the allowed paths; each is trained equally often in the long run.

    From time to time it starts afresh, which the paper does not do: from one neighbour to the
    next it takes very long to see much of a space of many layers.
    """

    def __init__(self, weights: SharedWeights) -> None:
        super().__init__(weights)
        self._path: Path | None = None

    def paths(self, index: int) -> list[Path]:
        """The next path of the walk."""
        problem = self.weights.problem
        rng = stream(problem.seed, "supernet path", index)
        if self._path is None or rng.random() < problem.config.magic.restart:
            self._path = problem.choices.draw(rng)
        else:
            self._path = neighbour(problem.choices, self._path, rng)
        return [self._path]

    def state(self) -> State:
        """Where the walk is."""
        return State(plain={"path": None if self._path is None else list(self._path)})

    def restore(self, state: State) -> None:
        """Goes on from there."""
        path = state.plain["path"]
        self._path = None if path is None else tuple(path)


def neighbour(choices: Choices, path: Path, rng: random.Random) -> Path:
    """The path with one candidate of one layer exchanged; the path itself if that is not allowed.

    Staying, rather than drawing again, keeps the stationary law uniform over the allowed paths: a
    step from a to b is as probable as one from b to a, and paths with few allowed neighbours are
    not left more often than they are reached.
    """
    movable = [layer for layer, size in enumerate(choices.sizes) if size > 1]
    if not movable:
        return path
    layer = rng.choice(movable)
    others = [index for index in range(choices.sizes[layer]) if index != path[layer]]
    moved = (*path[:layer], rng.choice(others), *path[layer + 1 :])
    return moved if choices.allows(moved) else path
