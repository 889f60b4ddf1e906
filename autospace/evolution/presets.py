"""Settings that go together, under a name."""

from typing import Any, Final

COST_WEIGHT: Final = 0.1
"""What MAdds are worth: docs/ranking.md, "What a unit of fitness is worth"."""
LARGE_SCORING: Final = {
    "steps": 50,
    "batch": 128,
    "validation_batches": 16,
    "cost_weight": COST_WEIGHT,
}

PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "skeleton": "digits",
        "data": {"source": "digits", "crop": 1},
        "cells": {"reference_expansion": 3},
        "evolution": {"generations": 7, "population": 16, "candidates": 4, "tournament": 4},
        "scoring": {"steps": 40, "batch": 32, "validation_batches": 4, "cost_weight": COST_WEIGHT},
        "warm_up": {"steps": 400},
    },
    "cifar-small": {
        "skeleton": "cifar",
        "data": {"crop": 2, "flip": True, "resolution": 16},
        "cells": {"reference_expansion": 3},
        "evolution": {"generations": 12, "population": 16, "candidates": 4, "tournament": 4},
        "scoring": {"cost_weight": COST_WEIGHT},
        "warm_up": {"steps": 1500},
    },
    "cifar": {
        "skeleton": "cifar",
        "data": {"crop": 4, "flip": True},
        "evolution": {"generations": 30, "population": 32, "candidates": 4, "tournament": 8},
        "scoring": LARGE_SCORING,
        "warm_up": {"steps": 8000, "batch": 128},
    },
    "imagenet-mobile": {
        "skeleton": "mobile",
        "data": {"crop": 16, "flip": True},
        "evolution": {"generations": 30, "population": 32, "candidates": 4, "tournament": 8},
        "scoring": LARGE_SCORING,
        "warm_up": {"steps": 50_000, "batch": 256, "learning_rate": 0.2},
    },
}

NEEDS_DATA = {
    "cifar-small": "--data cifar10:PATH",
    "cifar": "--data cifar10:PATH",
    "imagenet-mobile": "--data folder:PATH",
}
