"""A reference network small enough to score in milliseconds, and cells for its three layers."""

from collections.abc import Callable

import pytest
import torch

from autospace.data.batches import Batches, Normaliser
from autospace.data.examples import Examples
from autospace.networks.network import Network, placed
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import SCORERS
from autospace.scorers.scorer import ScoringConfig, ScoringMethod
from autospace.spaces import Cell, LayerSpec, Skeleton, Stem, mbconv
from autospace.training.short import Recipe, train

IN_REFERENCE: tuple[ScoringMethod, ...] = tuple(each for each in SCORERS if each != "predicted")
"""The scorers that train cells inside the reference network."""
SKELETON = Skeleton("tiny", 3, 8, 3, Stem(6, 1), (LayerSpec(6), LayerSpec(8, 2), LayerSpec(8)), 0)
MakeSetting = Callable[..., ScoringContext]


def examples(count: int, seed: int) -> Examples:
    """Images whose class is the brightest channel."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    images = torch.randint(0, 160, (count, 3, 8, 8), generator=generator)
    images[torch.arange(count), labels] += 60
    return Examples(images.to(torch.uint8), labels)


@pytest.fixture(scope="session")
def reference() -> Network:
    torch.manual_seed(0)
    network = placed(Network(SKELETON, [mbconv(3, 3)] * 3), "cpu")
    training = examples(256, 0)
    norm = Normaliser.from_examples(training)
    train(network, Batches(training, 32, 0, "cpu", norm), Recipe(30, 0.05))
    return freeze(network)


@pytest.fixture
def make_setting(reference: Network) -> MakeSetting:
    def make(method: ScoringMethod = "probe", **options: object) -> ScoringContext:
        training, validation = examples(256, 1), examples(128, 2)
        norm = Normaliser.from_examples(training)
        chosen: dict[str, object] = {"steps": 6, "batch": 16, "validation_batches": 2}
        chosen |= {"networks": 8, "network_steps": 4, **options}
        return ScoringContext(
            reference,
            Batches(training, 16, 3, "cpu", norm),
            Batches(validation, 32, 4, "cpu", norm),
            ScoringConfig(method=method, **chosen),  # type: ignore[arg-type]
            seed=5,
        )

    return make


@pytest.fixture
def cells() -> list[list[Cell]]:
    wide = Cell.from_edges([(0, 1, "dw_conv_5x5"), (1, 3, "max_pool_3x3")], expansion=3)
    gated = Cell.from_edges(
        [(0, 2, "dw_conv_3x3_d2"), (0, 3, "skip_connect"), (2, 3, "dw_conv_3x3")],
        expansion=1,
        mix=("sum", "gate", "se"),
    )
    return [[wide, gated], [gated], [wide, mbconv(7, 6)]]
