"""The settings of a training: every name, its default, its unit and what is allowed."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autospace.evolution.settings import DEVICES
from autospace.spaces.limits import MAX_NAME

# Peak learning rate and weight decay that go with each method.
BY_METHOD: Final = {"sgd": (0.1, 5e-4), "adamw": (0.002, 0.05)}

_Share = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ImagesConfig(_Section):
    """Which images, and how they are divided."""

    source: Annotated[
        str, Field(max_length=4096, description="digits, folder:PATH, cifar10:PATH, ...")
    ] = "digits"
    resolution: Annotated[int, Field(ge=4, le=1024)] | None = None
    limit: Annotated[int, Field(ge=20)] | None = None
    validation: Annotated[float, Field(ge=0, lt=0.95)] = 0.1


class AugmentConfig(_Section):
    """How images are changed from epoch to epoch."""

    crop: Annotated[int, Field(ge=0, le=64)] = 0
    flip: bool = False
    cutout: Annotated[int, Field(ge=0, le=256)] = 0
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.0
    mixup: Annotated[float, Field(ge=0, le=100)] = 0.0
    cutmix: Annotated[float, Field(ge=0, le=100)] = 0.0


class OptimizerConfig(_Section):
    """The optimiser and its schedule."""

    method: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0, le=100)] = BY_METHOD["sgd"][0]
    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    warm_up: Annotated[float, Field(ge=0, le=1000)] = 1.0
    momentum: _Share = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=10)] = BY_METHOD["sgd"][1]
    clip: Annotated[float, Field(ge=0, le=1000)] = 5.0

    @model_validator(mode="before")
    @classmethod
    def _defaults_by_method(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("method") not in tuple(BY_METHOD):
            return value
        rate, decay = BY_METHOD[value["method"]]
        return {"learning_rate": rate, "weight_decay": decay, **value}


class TrainingConfig(_Section):
    """How long, in which numbers, how regularised, and what is kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 100
    batch: Annotated[int, Field(ge=2, le=65_536)] = 128
    precision: Literal["float32", "bfloat16"] = "float32"
    label_smoothing: _Share = 0.0
    drop_path: _Share = 0.0
    recompute: bool = False
    average: _Share = 0.0
    keep: Literal["last", "best"] = "last"


class TrainConfig(_Section):
    """Everything that decides what a training computes, but for the architecture itself."""

    architecture: Annotated[
        str, Field(min_length=1, max_length=MAX_NAME, description="what people call it")
    ] = "network"
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    device: Annotated[str, Field(pattern=DEVICES, description="auto, cpu or cuda[:n]")] = "auto"
    data: ImagesConfig = ImagesConfig()
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
