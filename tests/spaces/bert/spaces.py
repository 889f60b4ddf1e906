"""A small space of layers of NAS-BERT, and all of its architectures by looking at every path."""

import itertools
import random
from typing import Any

from autospace.spaces import Candidate, Layer, Space
from autospace.spaces.cells.bert import SKIPPED, SYMBOLS, BertCell
from autospace.spaces.choices import Choice
from autospace.spaces.encoder import EncoderSkeleton

SKELETON = EncoderSkeleton.of("tiny", 12, 6, 3, 8, (3, 2), heads=4)


def small_space(seed: int | None = None) -> Space:
    """Two kinds at two hidden sizes; with a seed, lists that differ from layer to layer."""
    rng = random.Random(0 if seed is None else seed)
    every = [BertCell(kind, width) for kind in SYMBOLS for width in (4, 8)]
    layers = []
    for shape in SKELETON.shapes:
        cells = [
            BertCell(kind, width) for width in (4, 8) for kind in ("attention", "feed_forward")
        ]
        if seed is not None:
            cells = rng.sample(every, rng.randint(1, 4))
        if shape.skippable and (seed is None or rng.random() < 0.8):
            cells.insert(rng.randrange(len(cells) + 1), SKIPPED)
        candidates = tuple(
            Candidate(f"c{index}", cell)  # type: ignore[arg-type]
            for index, cell in enumerate(cells)
        )
        layers.append(Layer(shape, candidates))
    return Space("tiny", SKELETON, tuple(SYMBOLS), tuple(layers))


def every_path(space: Space) -> list[Choice]:
    """All paths of which each block has one hidden size and is cut off at its end, by hand."""
    sizes = [range(len(layer.candidates)) for layer in space.layers]
    found = []
    for path in itertools.product(*sizes):
        cells = [layer.candidates[i].cell for layer, i in zip(space.layers, path, strict=True)]
        if all(_is_block(cells[first:last]) for first, last in ((0, 3), (3, 5))):
            found.append(path)
    return found


def _is_block(cells: list[Any]) -> bool:
    widths = [cell.width for cell in cells]
    kept = [width for width in widths if width]
    return bool(kept) and len(set(kept)) == 1 and widths == kept + [0] * (len(cells) - len(kept))
