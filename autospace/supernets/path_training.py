"""Ways to train a supernet path by path that are not uniform: other paths, and another loss.

Gradual modification (MAGIC-T, Xu et al., ICML 2022): paths of successive steps are similar. The
more layers of two paths differ, the more the gradients of their shared weights differ in direction
(`interference.py` measures it). So each step trains a path that differs from the one before in a
single layer.

Alignment to an anchor (MAGIC-A, Xu et al., ICML 2022): the layers of all paths have similar
outputs. The more similar the inputs and outputs of two paths are, the more the gradients of their
shared weights agree. With the layers' outputs h_l of the path a that a step trains, and of an
anchor path a*, which it does not train, the loss is

    CE(a) + lambda mean_l MSE(h_l(a), stopgrad h_l(a*))

The paper does not specify lambda, or whether layers are summed or averaged; with the mean, lambda
means the same for networks of any depth.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

import torch

from autospace.seeds import stream
from autospace.spaces.cells.family import summable_work
from autospace.spaces.choices import Choice, Choices, SearchError
from autospace.supernets.shared_weights import (
    Loss,
    PathTraining,
    SharedWeights,
    Uniform,
    feature_distance,
)

TRIES = 64


class Fair(Uniform):
    """Every candidate once a step: strict fairness (FairNAS, Chu et al., ICCV 2021, section 3.2).

    A step trains as many paths as the widest layer has candidates, a permutation of each layer's
    candidates over them; gradients are added up and applied once. Narrower layers start again.
    Limits on whole architectures cannot be kept while every candidate is to have its turn.
    """

    def paths(self, index: int) -> list[Choice]:
        """As many paths as the widest layer has candidates."""
        problem = self.weights.problem
        rng = stream(problem.seed, "supernet path", index)
        sizes = problem.choices.sizes
        orders = [rng.sample(range(size), size) for size in sizes]
        return [tuple(order[i % len(order)] for order in orders) for i in range(max(sizes))]


class MaddsUniform(Uniform):
    """One path a step, uniform over the range of MAdds (as in SPOS's published code), or of OPs.

    A path drawn uniformly is almost always of middling cost; small and large networks would hardly
    be trained.
    """

    def paths(self, index: int) -> list[Choice]:
        """The path, of some tries, that is nearest to MAdds drawn uniformly."""
        problem = self.weights.problem
        choices = problem.choices
        rng = stream(problem.seed, "supernet path", index)
        space = choices.space
        table = tuple(
            tuple(summable_work(space.kind, cost) for cost in layer.costs) for layer in space.layers
        )
        allowed = [limit.room for limit in choices.limits if limit.costs == table]
        low, high = sum(map(min, table)), min([sum(map(max, table)), *allowed])
        wanted = rng.uniform(low, high)
        drawn = [choices.draw(rng) for _ in range(TRIES)]

        def distance(path: Choice) -> float:
            return abs(sum(row[i] for row, i in zip(table, path, strict=True)) - wanted)

        return [min(drawn, key=distance)]


class Walk(Uniform):
    """A random walk over the allowed paths; each is trained equally often in the long run.

    From time to time it starts afresh, which the paper does not do: from one neighbour to the
    next it takes very long to see much of a space of many layers.
    """

    remembered = ("_path",)

    def __init__(self, weights: SharedWeights) -> None:
        super().__init__(weights)
        self._path: Choice | None = None

    def paths(self, index: int) -> list[Choice]:
        """The next path of the walk."""
        problem = self.weights.problem
        rng = stream(problem.seed, "supernet path", index)
        if self._path is None or rng.random() < problem.magic.restart:
            self._path = problem.choices.draw(rng)
        else:
            self._path = neighbour(problem.choices, self._path, rng)
        return [self._path]


def neighbour(choices: Choices, path: Choice, rng: random.Random) -> Choice:
    """The path with one candidate of one layer exchanged; the path itself if that is not allowed.

    Where the cells of a stage are of one of several groups, its group is exchanged as often as the
    candidate of a layer, and the kinds of its cells stay.

    Staying, rather than drawing again, keeps the stationary law uniform over the allowed paths: a
    step from a to b is as probable as one from b to a, and paths with few allowed neighbours are
    not left more often than they are reached.
    """
    movable = [layer for layer, size in enumerate(choices.sizes) if size > 1]
    if not movable:
        return path
    place = rng.choice(range(len(movable) + len(choices.regroupable)))
    if place >= len(movable):
        moved = choices.regrouped(path, choices.regroupable[place - len(movable)], rng)
        return moved if choices.allows(moved) else path
    layer = movable[place]
    others = choices.others(path, layer)
    if not others:
        return path
    moved = (*path[:layer], rng.choice(others), *path[layer + 1 :])
    return moved if choices.allows(moved) else path


DECAY = 0.5


class Aligned(PathTraining):
    """Trains the paths that another training picks, aligned to an anchor.

    Every so often the path of a step challenges the anchor: the two are measured on one validation
    batch, and the challenger takes over if it is better than the anchor is there and has been on
    average. As the weights move, older measurements count ever less.
    """

    remembered = ("anchor", "_score", "_source")

    def __init__(self, source: Uniform) -> None:
        self.weights = source.weights
        self._source = source
        self._config = self.weights.problem.magic
        self._warm = round(self._config.warm_up * self.weights.recipe.steps)
        problem = self.weights.problem
        self.anchor = problem.choices.draw(stream(problem.seed, "anchor"))
        self._score: float | None = None

    def step(self, index: int) -> None:
        """Trains the paths of a step, then maybe replaces the anchor."""
        paths = self._source.paths(index)
        make = self.weights.loss_of if index < self._warm else self.loss
        self.weights.step(index, [make(path) for path in paths])
        if (index + 1) % self._config.anchor_every == 0:
            self._challenged(paths[-1], index)

    def loss(self, path: Choice) -> Loss:
        """The loss of the logits, and the distance to the anchor's features."""
        anchor, supernet = self.anchor, self.weights.supernet

        def aligned(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                *wanted, _ = supernet.features(images, anchor)

            def both(outputs: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
                distance = feature_distance(outputs[:-1], wanted)
                task = self.weights.output_loss(outputs, labels)
                return task + self._config.alignment * distance

            return self.weights.path_loss(path, both)(images, labels)

        return aligned

    def _challenged(self, path: Choice, index: int) -> None:
        rivals = list(dict.fromkeys([self.anchor, path]))
        batch = self.weights.problem.validation.batch(index)
        accuracies = self.weights.batch_accuracies(rivals, batch)
        now, challenger = accuracies[0], accuracies[-1]
        average = now if self._score is None else DECAY * self._score + (1 - DECAY) * now
        self._score = average
        if challenger > max(now, average):
            self.anchor, self._score = path, challenger


PATH_TRAININGS: Final[dict[str, Callable[[SharedWeights], PathTraining]]] = {
    "uniform": Uniform,
    "fair": Fair,
    "madds-uniform": MaddsUniform,
    "magic-t": Walk,
    "magic-a": lambda weights: Aligned(Uniform(weights)),
    "magic-at": lambda weights: Aligned(Walk(weights)),
}
ALIGNED: Final = ("magic-a", "magic-at")
"""Trainings that compare what layers give."""


def make_path_training(weights: SharedWeights) -> PathTraining:
    """The training that the settings of a search name.

    Raises:
        SearchError: strict fairness, where not every candidate of a layer goes with all others;
            alignment, where there are no layers.
    """
    training = weights.problem.supernet.training
    if training == "fair" and weights.problem.choices.regroupable:
        problem = "cells of a stage have one hidden size, which candidates in turn do not"
        raise SearchError(f"supernet.training: fair, but {problem}; allowed: uniform, magic-t")
    if training in ALIGNED and not weights.supernet.layered:
        problem = "a recurrent cell has no layers whose outputs could be aligned"
        allowed = ", ".join(name for name in PATH_TRAININGS if name not in ALIGNED)
        raise SearchError(f"supernet.training: {training}, but {problem}; allowed: {allowed}")
    return PATH_TRAININGS[training](weights)
