"""Synthetic captions over real images: real digits in a scene, and a caption from a small grammar.

A scene has 24x24 pixels and one to three of the embedded digits, in a row or in a column. What
stands in it is written by people, where it stands is drawn, and what is said of it follows:

    caption = one
            | one "left of" one ["left of" one]      from the left, of a row
            | one "right of" one ["right of" one]    from the right, of a row
            | one "above" one ["above" one]          from above, of a column
            | one "below" one ["below" one]          from below, of a column
    one     = "a zero" | "a one" | .. | "an eight" | "a nine"

Both captions of a row or a column are references. Which of two digits comes first depends on
where they are, so a network that knows which digits a scene has still has to see their places.
Scenes of different splits have different digits.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from autospace.captions.source import CaptionSource
from autospace.data.examples import Examples
from autospace.data.readers.builtin import read_digits
from autospace.data.request import Request, Source
from autospace.seeds import stream

SIDE: Final = 24
DIGIT: Final = 8
SLOTS: Final = SIDE // DIGIT
NAMES: Final = (
    "a zero", "a one", "a two", "a three", "a four", "a five", "a six", "a seven", "an eight",
    "a nine",
)  # fmt: skip
WORDS: Final = {"row": ("left of", "right of"), "column": ("above", "below")}
VALIDATION_EVERY: Final = 5
"""Every so many-th training digit is for validation scenes."""
Drawn = tuple[np.ndarray, tuple[tuple[str, ...], ...]]
"""Images uint8 [N, 1, S, S], and the captions of each."""


def draw_scenes(source: CaptionSource) -> dict[str, Drawn]:
    """The scenes of train, validation and test split; equal sources give equal scenes."""
    digits = read_digits(Source("digits"), Request())
    train, test = digits.train, digits.test
    held = torch.arange(len(train)) % VALIDATION_EVERY == 0
    pools = {
        "train": train.take(torch.nonzero(~held)[:, 0]),
        "validation": train.take(torch.nonzero(held)[:, 0]),
        "test": test,
    }
    fewer = max(20, source.scenes // 4)
    counts = {"train": source.scenes, "validation": fewer, "test": fewer}
    return {name: _split(source, name, pool, counts[name]) for name, pool in pools.items()}


def _split(source: CaptionSource, name: str, pool: Examples, count: int) -> Drawn:
    pixels, labels = pool.images[:, 0].numpy(), pool.labels.tolist()
    scenes = np.zeros((count, 1, SIDE, SIDE), np.uint8)
    captions = []
    for index in range(count):
        rng = stream(source.seed, "captions", name, index)
        number = rng.randint(1, source.digits)
        chosen = [rng.randrange(len(labels)) for _ in range(number)]
        along = sorted(rng.sample(range(SLOTS), number))
        across = DIGIT * rng.randrange(SLOTS)
        kind = rng.choice(list(WORDS))
        for digit, slot in zip(chosen, along, strict=True):
            place = (across, slot * DIGIT) if kind == "row" else (slot * DIGIT, across)
            rows, columns = (slice(start, start + DIGIT) for start in place)
            scenes[index, 0, rows, columns] = pixels[digit]
        captions.append(references([labels[digit] for digit in chosen], kind))
    return scenes, tuple(captions)


def references(digits: Sequence[int], kind: str) -> tuple[str, ...]:
    """The captions of digits in a row, from the left, or in a column, from above."""
    names = [NAMES[digit] for digit in digits]
    if len(names) == 1:
        return (names[0],)
    first, second = WORDS[kind]
    return f" {first} ".join(names), f" {second} ".join(reversed(names))
