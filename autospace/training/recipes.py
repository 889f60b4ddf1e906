"""Recipes that go with a skeleton, under its name."""

from typing import Any, Final

from autospace.spaces.skeleton import Skeleton

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

_BY_SKELETON: Final = {
    "digits": "digits",
    "cifar": "cifar",
    "mobile": "mobile",
    "mobilenetv2": "mobile",
}


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
