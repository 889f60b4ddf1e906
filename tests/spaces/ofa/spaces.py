"""Small spaces with stages, and all of their architectures by looking at every path."""

import itertools
import random

from autospace.spaces import Candidate, Layer, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.cells.ofa import SKIPPED, VOCABULARY, OfaCell
from autospace.spaces.choices import Choice
from autospace.spaces.stages import Stage

SKELETON = Skeleton(
    "staged",
    1,
    8,
    3,
    Stem(4, 1, 4),
    (LayerSpec(4), LayerSpec(4), LayerSpec(4), LayerSpec(8, 2), LayerSpec(8)),
    head=16,
    stages=(Stage(3, 1, "relu"), Stage(2, 1, "h_swish", True)),
    activation="h_swish",
    last=12,
)


def small_space(seed: int | None = None) -> Space:
    """Two cells per layer and skips; with a seed, lists that differ from layer to layer."""
    rng = random.Random(0 if seed is None else seed)
    layers = []
    for shape in SKELETON.shapes:
        cells = [OfaCell.of(3, 3), OfaCell.of(5, 4)]
        if seed is not None:
            every = [OfaCell.of(k, e) for k in (3, 5, 7) for e in (1, 3, 6)]
            cells = rng.sample(every, rng.randint(1, 3))
        if shape.skippable and (seed is None or rng.random() < 0.8):
            cells.insert(rng.randrange(len(cells) + 1), SKIPPED)
        candidates = tuple(Candidate(f"c{index}", cell) for index, cell in enumerate(cells))
        layers.append(Layer(shape, candidates))
    return Space("staged", SKELETON, VOCABULARY, tuple(layers))


def every_path(space: Space) -> list[Choice]:
    """All paths of which each stage is cut off at its end: the definition, by hand."""
    sizes = [range(len(layer.candidates)) for layer in space.layers]
    found = []
    for path in itertools.product(*sizes):
        cells = [layer.candidates[i].cell for layer, i in zip(space.layers, path, strict=True)]
        text = "".join("." if cell.is_zero else "x" for cell in cells)
        if all("." not in part.rstrip(".") and part[0] == "x" for part in (text[:3], text[3:])):
            found.append(path)
    return found
