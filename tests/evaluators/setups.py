"""What the tests of the evaluators share: a little space, little images."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autospace.data.images import Images
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig
from autospace.evaluators.make import Setup
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

SKELETON = Skeleton("tiny", 1, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)))
CELLS = (mbconv(3, 1), mbconv(5, 1), mbconv(3, 3, se=True))
DATA = DataConfig(source="synthetic:classes=3,train=90,test=60", resolution=8)


def space(cells: tuple[Cell, ...] = CELLS, skeleton: Skeleton = SKELETON) -> Space:
    """A space that offers the same cells at every layer."""
    offered = tuple(Candidate(f"c{index}", cell) for index, cell in enumerate(cells))
    layers = tuple(Layer(shape, offered) for shape in skeleton.shapes)
    return Space("tiny", skeleton, DEFAULT_OPERATIONS, layers)


def architecture(*choices: int) -> Architecture:
    """A network of the space, by the place of its cell in every layer."""
    layers = zip(space().layers, choices, strict=True)
    return Architecture(SKELETON, tuple(layer.candidates[choice] for layer, choice in layers))


def setup(folder: Path, *spaces: Space, seed: int = 0, **settings: object) -> Setup:
    """A setup on a CPU; settings are those of the evaluator."""
    given = {"steps": 4, "batch": 16, "recalibration": 2, **settings}
    return Setup(EvaluatorConfig.model_validate(given), DATA, spaces, seed, "cpu", folder)


def images(folder: Path) -> Images:
    """The images of such a setup."""
    return setup(folder).images()


@contextmanager
def computed() -> Iterator[set[tuple[bool, torch.dtype]]]:
    """Collects the numbers that convolutions and linear layers give out, in training or not."""
    found: set[tuple[bool, torch.dtype]] = set()

    def note(module: nn.Module, _given: Any, output: Any) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            found.add((module.training, output.dtype))

    hook = nn.modules.module.register_module_forward_hook(note)
    try:
        yield found
    finally:
        hook.remove()


def first_batch(found: Images, size: int) -> torch.Tensor:
    """Some training images, normalised."""
    return found.plain_batches(size, 0).batch(0)[0]
