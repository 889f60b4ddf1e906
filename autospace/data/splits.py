"""The splits of a data set: what people call them, and stratified samples of them."""

import re
from typing import Final, Literal

import numpy as np
import torch

from autospace.data.errors import DataError
from autospace.data.examples import Examples
from autospace.seeds import derived_seed

TEST_FRACTION = 0.2

# Train and test must not move with the run's seed: a network tuned under one seed would be tested
# on images that another seed trained on.
TEST_SEED = 0

FEW_IMAGES = 100

Role = Literal["train", "test", "validation"]
_WORDS: Final[dict[str, Role]] = {
    **dict.fromkeys(("train", "training", "trn", "tr", "trainval", "learn", "learning"), "train"),
    **dict.fromkeys(("test", "testing", "tst", "te", "t10k", "holdout", "heldout"), "test"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "validating", "dev", "devel", "eval",
         "evaluation", "development"),
        "validation",
    ),
}  # fmt: skip
# What people write without a gap behind one of these words, as in `trainset` or `testimages`.
_ENDINGS = re.compile(r"(?<=.)(?:set|sets|data|dataset|images|image|imgs|img|folder|split)$")


def role_of(name: str) -> Role | None:
    """The split that a name stands for, if it stands for one.

    Args:
        name: Of a folder or an array, such as `Training`, `test_set`, `seg_train` or `X_val`.

    Returns:
        Its split; `None` where the name has no such word, or words of several splits.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = re.findall(r"t10k|[^\W\d_]+", apart.casefold())
    found = {_WORDS.get(word) or _WORDS.get(_ENDINGS.sub("", word)) for word in words} - {None}
    if found == {"train", "validation"}:  # `train_val`: what is there besides the test images.
        return "train"
    return found.pop() if len(found) == 1 else None


_DIVIDE = "data validation split"
_LIMIT = "data limit"
_TEST = "data test split"


def divide(examples: Examples, validation_fraction: float, seed: int) -> tuple[Examples, Examples]:
    """Splits off a validation set, stratified by class.

    Args:
        examples: What to divide.
        validation_fraction: Share that goes to validation, above 0 and below 1.
        seed: Equal seeds give equal parts; 0 or more.

    Returns:
        Training part and validation part: disjoint, together everything. A class of two or more
        examples has at least one in each; a class of one stays in training.

    Raises:
        DataError: The fraction or the seed is out of range, or a part would be empty.
    """
    stream = derived_seed(check_seed(seed), _DIVIDE)
    chosen = _fraction(examples.labels, validation_fraction, stream)
    rest = _others(chosen, len(examples))
    if not len(chosen) or not len(rest):
        raise DataError(
            f"dividing {len(examples)} examples at {validation_fraction} leaves an empty part; "
            "allowed: two or more examples of a class"
        )
    return examples.take(rest), examples.take(chosen)


def few_measured(what: str, count: int, units: str = "images") -> tuple[str, ...]:
    """A remark, if so few images are measured that chance decides what is better."""
    if count >= FEW_IMAGES:
        return ()
    return (
        f"{what} on {count} {units} only, so that chance has a large part in the result; "
        f"{FEW_IMAGES} {units} or more are better",
    )


def split_test(labels: torch.Tensor, where: object) -> tuple[np.ndarray, np.ndarray]:
    """The fixed 80/20 division of a data set that comes without a test split.

    Args:
        labels: int64 [N].
        where: What the error names.

    Returns:
        Indices of training and test examples, each ascending; the same for every seed.

    Raises:
        DataError: No class has the two examples that a split needs.
    """
    chosen = _fraction(labels, TEST_FRACTION, derived_seed(TEST_SEED, _TEST))
    if not len(chosen):
        raise DataError(
            f"{where}: {len(labels)} examples cannot be split into train and test; "
            "allowed: two or more examples of a class"
        )
    return _others(chosen, len(labels)), chosen


def limit_indices(labels: torch.Tensor, limit: int, seed: int) -> np.ndarray:
    """A stratified sample of at most `limit` examples.

    Args:
        labels: int64 [N].
        limit: Largest number of examples to keep; at least one per class.
        seed: 0 or more.

    Returns:
        Indices, ascending; all of them when N <= limit.

    Raises:
        DataError: The limit is below the number of classes.
    """
    if len(labels) <= limit:
        return np.arange(len(labels))
    groups = _groups(labels)
    if limit < len(groups):
        raise DataError(
            f"limit {limit} is below the {len(groups)} classes; allowed: at least one "
            "example of each"
        )
    counts = np.array([len(group) for group in groups])
    return _draw(groups, allocate(counts, limit, 1, counts), derived_seed(check_seed(seed), _LIMIT))


def allocate(counts: np.ndarray, total: int, low: int, high: np.ndarray) -> np.ndarray:
    """Distributes `total` among classes in proportion to their counts (largest remainders first).

    Args:
        counts: Examples per class, int [K], each at least 1.
        total: How many to distribute.
        low: Smallest number for a class, where `high` allows it.
        high: Largest number for each class, int [K].

    Returns:
        int [K] within the bounds; sums to `total` where the bounds allow it.
    """
    ideal = counts * (total / counts.sum())
    given: np.ndarray = np.clip(np.floor(ideal).astype(np.int64), np.minimum(low, high), high)
    while given.sum() < total and np.any(given < high):
        given[np.argmax(np.where(given < high, ideal - given, -np.inf))] += 1
    while given.sum() > total and np.any(given > low):
        given[np.argmin(np.where(given > low, ideal - given, np.inf))] -= 1
    return given


def check_seed(seed: int) -> int:
    """Returns the seed.

    Args:
        seed: A whole number.

    Returns:
        The same number.

    Raises:
        DataError: It is negative.
    """
    if seed < 0:
        raise DataError(f"seed {seed} is negative; allowed: 0 or more")
    return seed


def _fraction(labels: torch.Tensor, fraction: float, seed: int) -> np.ndarray:
    if not 0 < fraction < 1:
        raise DataError(f"fraction {fraction} is out of range; allowed: above 0 and below 1")
    groups = _groups(labels)
    counts = np.array([len(group) for group in groups], dtype=np.int64)
    if not len(counts):
        raise DataError("no examples to split; allowed: at least two of a class")
    return _draw(groups, allocate(counts, round(fraction * len(labels)), 1, counts - 1), seed)


def _groups(labels: torch.Tensor) -> list[np.ndarray]:
    values = labels.cpu().numpy()
    order = np.argsort(values, kind="stable")
    _, starts = np.unique(values[order], return_index=True)
    return np.split(order, starts[1:]) if len(order) else []


def _draw(groups: list[np.ndarray], given: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    parts = [random.permutation(group)[:n] for group, n in zip(groups, given, strict=True)]
    return np.sort(np.concatenate(parts))


def _others(chosen: np.ndarray, count: int) -> np.ndarray:
    kept = np.ones(count, dtype=bool)
    kept[chosen] = False
    return np.flatnonzero(kept)
