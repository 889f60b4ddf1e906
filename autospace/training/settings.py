"""The settings of a training, and the recipes for the built-in skeletons.

Every setting has its name, default and allowed values here. A recipe is a set of settings for a
skeleton, or for images of a similar size.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from autospace.data.settings import Aspect, Ground
from autospace.runs.settings import Device, Section
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.skeleton import Skeleton

# Peak learning rate and weight decay of each method.
BY_METHOD: Final = {"sgd": (0.1, 5e-4), "adamw": (0.002, 0.05)}
_Share = Annotated[float, Field(ge=0, lt=1)]


class ImagesConfig(Section):
    """The images, and how they are divided."""

    source: Annotated[
        str, Field(max_length=4096, description="digits, folder:PATH, cifar10:PATH, ...")
    ] = "digits"
    resolution: Annotated[int, Field(ge=4, le=1024)] | None = None
    limit: Annotated[int, Field(ge=20)] | None = None
    aspect: Aspect = "squash"
    ground: Ground = "white"
    validation: Annotated[float, Field(ge=0, lt=0.95)] = 0.1


class AugmentConfig(Section):
    """How images are changed from epoch to epoch."""

    crop: Annotated[int, Field(ge=0, le=64)] = 0
    flip: bool = False
    cutout: Annotated[int, Field(ge=0, le=256)] = 0
    erasing: Annotated[float, Field(ge=0, le=1)] = 0.0
    mixup: Annotated[float, Field(ge=0, le=100)] = 0.0
    cutmix: Annotated[float, Field(ge=0, le=100)] = 0.0


class OptimizerConfig(Section):
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


class TrainingConfig(Section):
    """Duration, precision, regularisation, and which weights are kept."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 100
    batch: Annotated[int, Field(ge=2, le=65_536)] = 128
    precision: Literal["float32", "bfloat16"] = "float32"
    label_smoothing: _Share = 0.0
    drop_path: _Share = 0.0
    auxiliary: Annotated[float, Field(ge=0, le=10)] = 0.0
    recompute: bool = False
    precision_stage: Literal["real", "binary_inputs", "binary"] | None = None
    average: _Share = 0.0
    keep: Literal["last", "best"] = "last"


class NetworkConfig(Section):
    """What the settings of all trainings say."""

    architecture: Annotated[
        str, Field(min_length=1, max_length=MAX_NAME, description="a name of printable characters")
    ] = "network"
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    device: Device = "auto"


class TrainConfig(NetworkConfig):
    """Everything that determines the result of a training, except the architecture."""

    data: ImagesConfig = ImagesConfig()
    augment: AugmentConfig = AugmentConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()


RECIPES: Final[dict[str, dict[str, Any]]] = {
    "digits": {
        "augment": {"crop": 1},
        "training": {"epochs": 40, "batch": 64, "average": 0.99},
    },
    "cifar-small": {
        "augment": {"crop": 2, "flip": True},
        "training": {"epochs": 60, "batch": 64, "average": 0.999},
    },
    "cifar": {
        "augment": {"crop": 4, "flip": True, "cutout": 8},
        "optimizer": {"warm_up": 5.0},
        "training": {"epochs": 200, "label_smoothing": 0.1, "average": 0.999},
    },
    "mobile": {
        "augment": {"crop": 16, "flip": True},
        "optimizer": {"weight_decay": 4e-5, "warm_up": 5.0},
        "training": {"epochs": 150, "batch": 256, "label_smoothing": 0.1, "average": 0.9998},
    },
}
FOR_SENTENCES: Final[dict[str, Any]] = {
    "optimizer": {"method": "adamw", "learning_rate": 0.001, "weight_decay": 0.05},
    "training": {"epochs": 20, "batch": 32, "label_smoothing": 0.1},
}
"""The settings of networks that read sentences, where no recipe is named."""
_BY_SKELETON: Final = {
    "digits": "digits",
    "cifar": "cifar",
    "mobile": "mobile",
    "mobilenetv2": "mobile",
}


def recipe_of(
    recipe: dict[str, Any], epochs: object = None, method: object = None
) -> dict[str, Any]:
    """The settings of a recipe for a training that differs from it.

    Of a shorter training, the warm-up takes a quarter at most. Rate and decay are those of a
    method: with another one, its own are the default.

    Args:
        recipe: its settings.
        epochs: of the training, where they are not the recipe's; anything but a number is left to
            the check of all settings.
        method: of the optimizer, where it is given.
    """
    optimizer = dict(recipe.get("optimizer", {}))
    rise = optimizer.get("warm_up", OptimizerConfig().warm_up)
    if isinstance(epochs, int | float) and rise > epochs / 4:
        optimizer["warm_up"] = epochs / 4
    if method is not None and method != optimizer.get("method", OptimizerConfig().method):
        optimizer = {k: v for k, v in optimizer.items() if k in ("warm_up", "final", "clip")}
    return {**recipe, "optimizer": optimizer} if optimizer or "optimizer" in recipe else recipe


def recipe_for(skeleton: Skeleton, resolution: int | None = None) -> str:
    """The name of the recipe for a skeleton: by its name, else by the size of its images.

    Args:
        skeleton: of the architecture.
        resolution: side of the images in pixels, where it is not the skeleton's.
    """
    side = resolution or skeleton.resolution
    if side == skeleton.resolution and skeleton.name in _BY_SKELETON:
        return _BY_SKELETON[skeleton.name]
    for name, largest in (("digits", 12), ("cifar-small", 20), ("cifar", 80)):
        if side <= largest:
            return name
    return "mobile"
