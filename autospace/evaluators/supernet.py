"""The evaluator `supernet`: networks measured with weights that all of them share. A proxy."""

import random
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from autospace.data.batches import Batches
from autospace.data.images import Images
from autospace.evaluators.evaluator import (
    Evaluation,
    EvaluationError,
    EvaluatorConfig,
    skeleton_key,
)
from autospace.evaluators.stand_alone import from_measured, recipe_of
from autospace.progress import Tick, no_tick
from autospace.seeds import derived_seed, stream
from autospace.spaces.cells.key import canonical_key
from autospace.spaces.cost import Budget
from autospace.spaces.space import Architecture, Candidate, Layer, Space
from autospace.supernets.shared_weights import recalibrate
from autospace.supernets.supernet import Supernet, space_supernet
from autospace.training.short import measure, train


class SharedWeightsEvaluator:
    """Measures paths of one trained supernet, batch statistics recalibrated for each of them."""

    def __init__(
        self, supernet: Supernet, space: Space, images: Images, config: EvaluatorConfig
    ) -> None:
        """Takes a supernet over the candidates of `space`, which is changed by evaluating."""
        self._path = OnePath(supernet.requires_grad_(False))
        self._images, self._config = images, config
        self._indices = _indices(space)

    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        """Accuracy with shared weights; see `autospace.evaluators.evaluator.Evaluator`."""
        self._path.path = self._choices(architecture)
        batches = self._images.plain_batches(self._config.batch, seed)
        images = (batches.batch(step)[0] for step in range(self._config.recalibration))
        recalibrate(self._path.parts, self._path, images)
        return from_measured(
            measure(self._path, self._images.measured_batches().evaluation_batches())
        )

    def _choices(self, architecture: Architecture) -> list[int]:
        path = []
        layers = zip(architecture.skeleton.shapes, architecture.cells, self._indices, strict=True)
        for shape, cell, indices in layers:
            key = canonical_key(cell, shape.stride)
            if key not in indices:
                problem = "a cell that the supernet does not hold"
                raise EvaluationError(f"{shape.name}: {problem}; allowed: cells of its spaces")
            path.append(indices[key])
        return path


class OnePath(nn.Module):
    """A supernet as a network: `path` names the choice per layer that is active."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        self.supernet = supernet
        self.path: Sequence[int] = [0] * len(supernet.shapes)

    @property
    def parts(self) -> list[nn.Module]:
        """What works along the path."""
        return self.supernet.parts(self.path)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits along the path."""
        return self.supernet.single_path(images, self.path)


class PathBatches:
    """Training batches that, as they are handed out, set the path of their step."""

    def __init__(
        self, batches: Batches, network: OnePath, spaces: Sequence[Space], union: Space, seed: int
    ) -> None:
        self._batches, self._network, self._seed = batches, network, seed
        indices = _indices(union)
        self._paths = [
            [
                [known[canonical_key(each.cell, layer.shape.stride)] for each in layer.candidates]
                for layer, known in zip(space.layers, indices, strict=True)
            ]
            for space in spaces
        ]

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step; every space is drawn equally often, and uniformly from."""
        rng: random.Random = stream(self._seed, "supernet path", step)
        space = self._paths[step % len(self._paths)]
        self._network.path = [rng.choice(layer) for layer in space]
        return self._batches.batch(step)


def union_of(spaces: Sequence[Space]) -> Space:
    """One space with the cells of all, each function once per layer.

    Raises:
        EvaluationError: the spaces stand on different skeletons.
    """
    first = spaces[0]
    for space in spaces[1:]:
        if skeleton_key(space.skeleton) != skeleton_key(first.skeleton):
            problem = f"a supernet needs one skeleton; {first.name} and {space.name} differ in it"
            raise EvaluationError(f"{problem}; use the evaluator train")
    layers = []
    for index, layer in enumerate(first.layers):
        cells = {
            canonical_key(each.cell, layer.shape.stride): each.cell
            for space in spaces
            for each in space.layers[index].candidates
        }
        offered = (Candidate(f"c{number}", cell) for number, cell in enumerate(cells.values()))
        layers.append(Layer(layer.shape, tuple(offered)))
    names = {name: None for space in spaces for name in space.operations}
    return replace(
        first,
        operations=tuple(names),
        layers=tuple(layers),
        reference={},
        budget=Budget(),
        provenance={},
    )


def train_supernet(
    spaces: Sequence[Space],
    images: Images,
    config: EvaluatorConfig,
    seed: int,
    tick: Tick = no_tick,
) -> Supernet:
    """A supernet over the union of the spaces, one path per step, from scratch."""
    union = union_of(spaces)
    supernet = space_supernet(union, seed, images.device)
    network = OnePath(supernet)
    batches = images.batches(config.batch, derived_seed(seed, "supernet"))
    train(
        network,
        PathBatches(batches, network, spaces, union, seed),
        recipe_of(config),
        after_step=lambda step, _loss: tick(step + 1, config.steps),
    )
    return supernet


def _indices(space: Space) -> list[dict[str, int]]:
    return [
        {
            canonical_key(each.cell, layer.shape.stride): number
            for number, each in enumerate(layer.candidates)
        }
        for layer in space.layers
    ]
