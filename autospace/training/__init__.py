"""Training: the short kind that scoring needs, and the full recipe of `autospace train`."""

from autospace.training.optimizers import set_rate, sgd
from autospace.training.short import (
    Batch,
    BatchSource,
    Measured,
    Recipe,
    make_optimizer,
    measure,
    train,
)

__all__ = [
    "Batch",
    "BatchSource",
    "Measured",
    "Recipe",
    "make_optimizer",
    "measure",
    "set_rate",
    "sgd",
    "train",
]
