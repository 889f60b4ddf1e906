"""What shared weights are trained for: a space, its limits, images, and a seed."""

from dataclasses import dataclass
from functools import cached_property

import torch

from autospace.data.batches import Batches
from autospace.data.images import Images
from autospace.seeds import derived_seed
from autospace.spaces.choices import Choices
from autospace.supernets.settings import MagicConfig, SupernetConfig

VALIDATION_BATCH = 128


@dataclass(frozen=True)
class Problem:
    """A space to search, and the two halves of the train split.

    Attributes:
        choices: the candidates and the limits.
        images: one half trains weights, on the other architectures are judged.
        supernet: how shared weights are trained and judged.
        magic: settings of the trainings of that name.
        seed: the root of every random stream.
    """

    choices: Choices
    images: Images
    supernet: SupernetConfig
    magic: MagicConfig
    seed: int

    @property
    def device(self) -> torch.device:
        """Where weights and images live."""
        return self.images.device

    @cached_property
    def training(self) -> Batches:
        """Batches that train weights; a pure function of the step."""
        return self.images.batches(self.supernet.batch, self.seed)

    @cached_property
    def validation(self) -> Batches:
        """Batches that judge architectures; a pure function of the step."""
        images = self.images
        seed = derived_seed(self.seed, "batches", "judging")
        return Batches(images.measured, VALIDATION_BATCH, seed, images.device, images.normaliser)
