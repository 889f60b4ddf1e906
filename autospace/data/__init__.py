"""Data sets: readers for every `--data` source, splits, batches and augmentation."""

from autospace.data.augment import Augment
from autospace.data.batches import Batches, Normaliser
from autospace.data.errors import DataError
from autospace.data.examples import DataSet, Examples
from autospace.data.load import load_data
from autospace.data.splits import divide

__all__ = [
    "Augment",
    "Batches",
    "DataError",
    "DataSet",
    "Examples",
    "Normaliser",
    "divide",
    "load_data",
]
