"""Small spaces, and an evaluator that needs no training: a formula and noise by the seed."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from autospace.comparison.matching import draw, match, unmatched
from autospace.comparison.verdict import ComparedPair, compare_pairs
from autospace.evaluators.evaluator import Evaluation, EvaluationRequest, architecture_key
from autospace.seeds import derived_seed
from autospace.spaces import (
    DEFAULT_OPERATIONS,
    Architecture,
    Candidate,
    Cell,
    Layer,
    LayerSpec,
    Skeleton,
    Space,
    Stem,
    mbconv,
)

SKELETON = Skeleton(
    "small", 1, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2), LayerSpec(6), LayerSpec(6))
)
CHEAP = [mbconv(kernel, expansion) for kernel in (3, 5, 7) for expansion in (1, 3)]
DEAR = [mbconv(kernel, expansion) for kernel in (3, 5, 7) for expansion in (3, 6)]

ErrorOf = Callable[[Architecture], float]
Noise = Callable[[np.random.Generator], float]


def space(cells: Sequence[Cell], name: str = "space", skeleton: Skeleton = SKELETON) -> Space:
    """A space that offers the same cells at every layer."""
    offered = tuple(Candidate(f"cell_{index}", cell) for index, cell in enumerate(cells))
    layers = tuple(Layer(shape, offered) for shape in skeleton.shapes)
    return Space(name, skeleton, DEFAULT_OPERATIONS, layers)


def normal(rng: np.random.Generator) -> float:
    """Symmetric noise with a deviation of a hundredth, one point."""
    return float(rng.normal()) / 100


def skewed(rng: np.random.Generator) -> float:
    """Noise with a long tail towards large errors; its deviation is a hundredth."""
    return (float(rng.exponential()) - 1) / 100


def tied(rng: np.random.Generator) -> float:
    """Noise in whole points: many networks have equal errors."""
    return round(rng.normal()) / 100


class Formula:
    """Makes evaluations by a formula; remembers what it was asked for."""

    def __init__(self, error: ErrorOf, noise: Noise = normal) -> None:
        self._error, self._noise = error, noise
        self.asked: list[EvaluationRequest] = []

    def __call__(self, tasks: Sequence[EvaluationRequest]) -> Iterator[tuple[int, Evaluation]]:
        for place, task in enumerate(tasks):
            self.asked.append(task)
            rng = np.random.default_rng([task.seed, len(task.key)])
            error = self._error(task.architecture) + self._noise(rng)
            yield place, Evaluation(1 - error)


def simulated(
    spaces: Sequence[Space],
    error: ErrorOf,
    seed: int,
    samples: int,
    *,
    noise: Noise = normal,
    matched: bool = True,
    shift: float = 0.0,
) -> list[ComparedPair]:
    """A comparison without disk: the last space's errors are lower by `shift`."""
    pools = [draw(each, seed, place) for place, each in enumerate(spaces)]
    costs = [pool.madds for pool in pools]
    tuples = (match(costs, seed) if matched else unmatched(costs)).tuples[:samples]
    errors = []
    for place, pool in enumerate(pools):
        column = []
        for number, row in enumerate(tuples[:, place]):
            network = pool.architecture(int(row))
            stream = derived_seed(seed, architecture_key(network), place, number)
            column.append(error(network) + noise(np.random.default_rng(stream)))
        errors.append([each - shift * (place == len(pools) - 1) for each in column])
    labels = [f"space {place}" for place in range(len(spaces))]
    return compare_pairs(errors, labels, paired=matched, method="train")


def by_cost(network: Architecture) -> float:
    """Twice the MAdds, five points less."""
    return 0.6 - 0.05 * math.log2(network.cost.madds)
