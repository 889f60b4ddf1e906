"""The settings of supernets and of their trainings."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field

from autospace.runs.settings import Section

SupernetTraining = Literal["uniform", "fair", "madds-uniform", "magic-t", "magic-a", "magic-at"]


SHARED_RATES: Final[Mapping[str, float]] = {"text": 0.5, "sentences": 0.03}
"""Peak learning rates of weights that networks share which do not read images, which have 0.1."""


class SupernetConfig(Section):
    """How weights that architectures share are trained, and how they are evaluated."""

    training: SupernetTraining = "uniform"
    steps: Annotated[int, Field(ge=1, le=10**7, description="weight steps")] = 2000
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 4e-5
    recompute: bool = False
    sampled: Annotated[
        int, Field(ge=1, le=64, description="one of so many channels goes through operations")
    ] = 1
    precision_stage: Literal["real", "binary_inputs", "binary"] | None = None
    recalibration: Annotated[int, Field(ge=1, le=10_000, description="batches per network")] = 8
    validation_batches: Annotated[int, Field(ge=1, le=100_000, description="per network")] = 8
    interference: Annotated[
        int, Field(ge=0, le=10_000, description="pairs per number of differing layers")
    ] = 0


class MagicConfig(Section):
    """Settings of the trainings magic-t, magic-a and magic-at; each uses what it needs."""

    restart: Annotated[float, Field(ge=0, le=1, description="chance of a fresh path")] = 0.1
    alignment: Annotated[float, Field(ge=0, le=1000, description="weight in the loss")] = 0.5
    warm_up: Annotated[float, Field(ge=0, lt=1, description="share of steps; not aligned")] = 0.1
    anchor_every: Annotated[int, Field(ge=1, le=10**6, description="steps per challenge")] = 10
