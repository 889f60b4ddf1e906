"""Ways to train a supernet path by path: which paths a step trains, and on which loss."""

from typing import Protocol

from autospace.runs.state import State
from autospace.seeds import stream
from autospace.spaces.choices import Path
from autospace.supernets.shared_weights import SharedWeights

TRIES = 64


class PathTraining(Protocol):
    """Trains shared weights step by step."""

    def step(self, index: int) -> None:
        """Trains the weights on the batch of a step."""
        ...

    def state(self) -> State:
        """What it remembers beside the weights."""
        ...

    def restore(self, state: State) -> None:
        """Takes up what it remembers."""
        ...


class Uniform:
    """One path a step, uniform over the allowed architectures (SPOS, Guo et al., ECCV 2020)."""

    def __init__(self, weights: SharedWeights) -> None:
        self.weights = weights

    def step(self, index: int) -> None:
        """Trains one path."""
        self.weights.step(index, [self.weights.task(path) for path in self.paths(index)])

    def paths(self, index: int) -> list[Path]:
        """The paths of a step; asked for once a step, in order."""
        problem = self.weights.problem
        return [problem.choices.draw(stream(problem.seed, "supernet path", index))]

    def state(self) -> State:
        """Nothing: paths follow from the seed and the step."""
        return State()

    def restore(self, state: State) -> None:
        """Nothing to take up."""


class Fair(Uniform):
    """Every candidate once a step: strict fairness (FairNAS, Chu et al., ICCV 2021, section 3.2).

    A step trains as many paths as the widest layer has candidates, a permutation of each layer's
    candidates over them; gradients are added up and applied once. Narrower layers start again.
    Limits on whole architectures cannot be kept while every candidate is to have its turn.
    """

    def paths(self, index: int) -> list[Path]:
        """As many paths as the widest layer has candidates."""
        problem = self.weights.problem
        rng = stream(problem.seed, "supernet path", index)
        sizes = problem.choices.sizes
        orders = [rng.sample(range(size), size) for size in sizes]
        return [tuple(order[i % len(order)] for order in orders) for i in range(max(sizes))]


class MaddsUniform(Uniform):
    """One path a step, uniform over the range of MAdds (as in SPOS's published code).

    A path drawn uniformly is almost always of middling cost; small and large networks would hardly
    be trained.
    """

    def paths(self, index: int) -> list[Path]:
        """The path, of some tries, that is nearest to MAdds drawn uniformly."""
        problem = self.weights.problem
        choices = problem.choices
        rng = stream(problem.seed, "supernet path", index)
        table = [[cost.madds for cost in layer.costs] for layer in choices.space.layers]
        low, high = sum(map(min, table)), sum(map(max, table))
        wanted = rng.uniform(low, high)
        drawn = [choices.draw(rng) for _ in range(TRIES)]

        def distance(path: Path) -> float:
            return abs(sum(row[i] for row, i in zip(table, path, strict=True)) - wanted)

        return [min(drawn, key=distance)]
