"""Small problems for tests of search methods."""

from typing import Any

import torch

from autospace.data.images import load_images
from autospace.runs.settings import make_settings
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.spaces import Budget, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.files.families import family_space

SKELETON = Skeleton(
    "tiny", 1, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2), LayerSpec(6)), head=8
)
NO_LIMITS = Budget()
SETTINGS: dict[str, Any] = {
    "method": "random",
    "device": "cpu",
    "data": {"source": "synthetic:classes=3,train=120,test=12"},
    "evaluations": 4,
    "finalists": 2,
    "supernet": {"steps": 4, "batch": 8, "recalibration": 2, "validation_batches": 2},
    "trial": {"steps": 2, "batch": 8},
}


def settings(**changes: Any) -> SearchConfig:
    """The small settings, changed by sections."""
    return make_settings(SearchConfig, SETTINGS, changes)


def make_problem(
    space: Space | None = None, budget: Budget = NO_LIMITS, **changes: Any
) -> SearchProblem:
    """A problem of a second's work, on three classes of synthetic 8x8 images."""
    config = settings(**changes)
    given = space or family_space("mbconv", SKELETON)
    images = load_images(
        config.data.model_copy(update={"resolution": given.skeleton.resolution}),
        "validation",
        config.seed,
        torch.device("cpu"),
    )
    channels, resolution = images.training.images.shape[1:3]
    if (channels, resolution) != (given.skeleton.in_channels, given.skeleton.resolution):
        raise ValueError(f"images of {channels}x{resolution} pixels for {given.skeleton}")
    return SearchProblem.of(Choices(given, limits_of(given, budget)), images, config)
