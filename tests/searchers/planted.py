"""A planted space: per layer one candidate passes images on, the others mix them up.

The class of an image is its brightest channel, which a few steps of training find. In a planted
network the poolings exchange a share of a batch's images for others of the batch, which nothing
can undo: through n of them an image is still itself with probability (1 - MIXED_UP)^n. Every layer
has one cell without a pooling, and no layer has a shortcut around it. A pooling less makes a
network better, whatever its other layers are.
"""

import itertools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn

from autospace.data.batches import Augment, Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.images import Images
from autospace.networks import operations
from autospace.runs.state import State
from autospace.searchers.fitness_search import FitnessSearch
from autospace.searchers.make import make_method
from autospace.searchers.problem import SearchProblem
from autospace.spaces import Budget, Candidate, Cell, Layer, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.choices import Choice, Choices, limits_of
from autospace.supernets.shared_weights import SharedWeights
from tests.searchers.problems import settings

LAYERS = 4
CLASSES = 3
MIXED_UP = 0.35
SKELETON = Skeleton("planted", 3, 4, CLASSES, Stem(11, 1), (LayerSpec(12),))
PASSING = "dw_conv_3x3"
MIXING = ("avg_pool_3x3", "max_pool_3x3")
CELLS = {
    "passing": (PASSING,),
    "average": ("avg_pool_3x3",),
    "maximum": ("max_pool_3x3",),
}
SUPERNET = {"batch": 64, "recalibration": 2, "validation_batches": 2}


class MixUp(nn.Module):
    """A batch [N, C, H, W] in which some images stand where others were."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self._pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self._pool(x)
        places = torch.arange(len(x))
        exchanged = torch.rand(len(x)) < MIXED_UP
        places[exchanged] = torch.randint(len(x), (int(exchanged.sum()),))
        return x[places]


@contextmanager
def mixing_pools() -> Iterator[None]:
    """As long as it lasts, poolings that are built mix up what they are given."""
    kept = dict(operations._BUILDERS)
    mixing = {
        kind: lambda _operation, _channels, stride: MixUp(stride)
        for kind in ("average_pool", "max_pool")
    }
    operations._BUILDERS.update(mixing)
    try:
        yield
    finally:
        operations._BUILDERS.update(kept)


def accuracy_through(poolings: int) -> float:
    """What the best network with so many poolings achieves: chance for images mixed up."""
    itself = (1 - MIXED_UP) ** poolings
    return itself + (1 - itself) / CLASSES


def planted_space(seed: int, count: int = LAYERS) -> Space:
    """Some layers, each with its candidates in an order of its own."""
    rng = random.Random(seed)
    # No two widths are alike: no layer has a shortcut.
    specs = tuple(LayerSpec(12 + layer) for layer in range(count))
    skeleton = replace(SKELETON, layers=specs)
    layers = []
    for shape in skeleton.shapes:
        names = rng.sample(list(CELLS), len(CELLS))
        layers.append(Layer(shape, tuple(Candidate(name, _chain(CELLS[name])) for name in names)))
    vocabulary = (PASSING, *MIXING)
    return Space("planted", skeleton, vocabulary, tuple(layers))


def planted_problem(seed: int, layers: int = LAYERS, **changes: Any) -> SearchProblem:
    """A problem over a planted space; changes of the settings by section."""
    training, measured = brightest_channel(600, 2 * seed), brightest_channel(600, 2 * seed + 1)
    names = tuple(map(str, range(CLASSES)))
    data = DataSet("brightest", names, training, measured, "0" * 64)
    images = Images(
        data,
        training,
        measured,
        Normaliser.from_examples(training),
        Augment(0, False, 0),
        torch.device("cpu"),
    )
    space = planted_space(seed, layers)
    chosen = {**changes, "supernet": {**SUPERNET, **changes.get("supernet", {})}}
    torch.manual_seed(seed)
    choices = Choices(space, limits_of(space, Budget()))
    return SearchProblem.of(choices, images, settings(seed=seed, **chosen))


def share_found(problem: SearchProblem, path: Choice) -> float:
    """Share of the layers in which a path has the candidate that passes the signal on."""
    chosen = problem.choices.architecture(path).candidates
    return sum(each.id == "passing" for each in chosen) / len(chosen)


class PlantedFitness:
    """Evaluates paths of the planted space by what the best network of that path achieves."""

    default_evaluations = 30
    steps = 0

    def __init__(self, problem: SearchProblem) -> None:
        self._problem = problem
        self.supernets: list[SharedWeights] = []
        self.known: dict[Choice, float] = {}

    def train(self, index: int) -> None:
        del index

    def accuracy(self, path: Choice) -> float:
        poolings = round(LAYERS * (1 - share_found(self._problem, path)))
        return self.known.setdefault(path, accuracy_through(poolings))

    def state(self) -> State:
        return State({}, {})

    def restore(self, state: State) -> None:
        del state


def mean_share(name: str, seeds: int, evaluations: int, **options: Any) -> float:
    """Share of the layers that a method finds by a perfect fitness, over seeds and spaces."""
    shares = []
    for seed in range(seeds):
        problem = planted_problem(seed, method=name, options=options, evaluations=evaluations)
        method = make_method(problem)
        assert isinstance(method, FitnessSearch)
        method.fitness = PlantedFitness(problem)
        for index in range(method.steps):
            method.step(index)
        assert method.evaluations <= evaluations
        shares.append(share_found(problem, method.ranked()[0].path))
    return sum(shares) / seeds


class Solved(NamedTuple):
    """What a method found, and the chance that as many random architectures hold as good a one."""

    share: float
    chance: float


def solved(
    name: str,
    seed: int,
    steps: int,
    evaluations: int | None = None,
    layers: int = LAYERS,
    **options: Any,
) -> Solved:
    """Runs a method on a planted space; `steps` are those of its supernet."""
    changes: dict[str, Any] = {} if evaluations is None else {"evaluations": evaluations}
    with mixing_pools():
        problem = planted_problem(
            seed, layers, method=name, options=options, supernet={"steps": steps}, **changes
        )
        method = make_method(problem)
        for index in range(method.steps):
            method.step(index)
        share = share_found(problem, method.ranked()[0].path)
    paths = itertools.product(*map(range, problem.choices.sizes))
    good = [share_found(problem, path) >= share for path in paths]
    return Solved(share, 1 - (1 - sum(good) / len(good)) ** method.evaluations)


def brightest_channel(count: int, seed: int) -> Examples:
    """Noisy images whose class is the brightest channel."""
    generator = torch.Generator().manual_seed(seed)
    side = SKELETON.resolution
    labels = torch.randint(0, CLASSES, (count,), generator=generator)
    pixels = 110 + 20 * torch.randn((count, 3, side, side), generator=generator)
    pixels[torch.arange(count), labels] += 40
    return Examples(pixels.clamp(0, 255).to(torch.uint8), labels)


def _chain(names: tuple[str, ...]) -> Cell:
    edges = [(node, node + 1, name) for node, name in enumerate(names)]
    return Cell.from_edges(edges, nodes=len(names) + 1, expansion=1)
