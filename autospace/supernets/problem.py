"""What every method is given: a space, images, limits and a seed."""

from dataclasses import dataclass
from functools import cached_property

import torch

from autospace.data.batches import Batches
from autospace.data.images import Images
from autospace.searchers.settings import SearchConfig
from autospace.seeds import derived_seed
from autospace.spaces.choices import Choices

VALIDATION_BATCH = 128


@dataclass(frozen=True)
class Problem:
    """A space to search, and the two halves of the train split.

    Attributes:
        choices: the candidates and the limits.
        images: one half trains weights, on the other architectures are judged.
        config: settings that all methods share.
    """

    choices: Choices
    images: Images
    config: SearchConfig

    @property
    def seed(self) -> int:
        """The root of every random stream."""
        return self.config.seed

    @property
    def device(self) -> torch.device:
        """Where weights and images live."""
        return self.images.device

    @cached_property
    def training(self) -> Batches:
        """Batches that train weights; a pure function of the step."""
        return self.images.batches(self.config.supernet.batch, self.seed)

    @cached_property
    def validation(self) -> Batches:
        """Batches that judge architectures; a pure function of the step."""
        images = self.images
        seed = derived_seed(self.seed, "batches", "judging")
        return Batches(images.measured, VALIDATION_BATCH, seed, images.device, images.normaliser)
