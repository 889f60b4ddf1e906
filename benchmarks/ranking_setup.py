"""What ground truth and scorers share: the network, the layers, the cells and the images.

There are two studies. All choices were made on `FIRST`. `SECOND` is another network, and its cells
are drawn by the same rule; predictions for it were committed before any of its cells was trained.

Ground truth trains on the fitness images (both halves) and is measured on images that no scorer
sees; every choice is made on `held_out`, the test images only confirm it.
"""

from dataclasses import dataclass

from autospace.data.batches import Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.load import load_data
from autospace.data.splits import divide
from autospace.seeds import stream
from autospace.spaces import Cell, LayerSpec, Skeleton, Stem, canonical_key, mbconv
from autospace.spaces.cells.operations import DEFAULT_OPERATIONS
from autospace.spaces.cells.variation import CellPrior, random_cell

PRIOR = CellPrior(tuple(name for name in DEFAULT_OPERATIONS if name != "none"))
CELLS_PER_LAYER = 24


@dataclass(frozen=True)
class Study:
    """A reference network, and the layers at which cells are tested.

    Attributes:
        layers: indices by name.
        reference: the cell of every layer that is not tested.
    """

    name: str
    skeleton: Skeleton
    reference: Cell
    layers: dict[str, int]

    def cells_of(self, layer: int) -> list[Cell]:
        """The cells under test at a layer: no two of them compute the same function."""
        label = () if self.name == "ranking" else (self.name,)
        rng = stream(0, "ranking", "cells", *label, layer)
        stride = self.skeleton.layers[layer].stride
        chosen: dict[str, Cell] = {}
        while len(chosen) < CELLS_PER_LAYER:
            cell = random_cell(PRIOR, rng)
            chosen.setdefault(canonical_key(cell, stride), cell)
        return list(chosen.values())

    def load_images(self, source: str) -> "Images":
        """30,000 images to train and score on, 20,000 of the train split held out, and the test."""
        data: DataSet = load_data(source, resolution=self.skeleton.resolution, channels=3)
        train, held_out = divide(data.train, 0.4, seed=0)
        return Images(train, held_out, data.test, Normaliser.from_examples(train), data.digest)


FIRST = Study(
    "ranking",
    Skeleton(
        name="ranking",
        in_channels=3,
        resolution=16,
        classes=10,
        stem=Stem(16, 1),
        layers=(LayerSpec(16), LayerSpec(32, 2), LayerSpec(32)),
        head=64,
    ),
    mbconv(3, 3),
    {"early": 0, "stride 2": 1, "late": 2},
)
SECOND = Study(
    "second",
    Skeleton(
        name="second",
        in_channels=3,
        resolution=32,
        classes=10,
        stem=Stem(12, 2),
        layers=(
            LayerSpec(16),
            LayerSpec(16),
            LayerSpec(28, 2),
            LayerSpec(28),
            LayerSpec(28),
            LayerSpec(48, 2),
            LayerSpec(48),
        ),
        head=96,
    ),
    mbconv(5, 3),
    {"early": 1, "stride 2": 2, "late": 6},
)
STUDIES = {study.name: study for study in (FIRST, SECOND)}
SKELETON, LAYERS, REFERENCE = FIRST.skeleton, FIRST.layers, FIRST.reference
cells_of, load_images = FIRST.cells_of, FIRST.load_images


@dataclass(frozen=True)
class Images:
    """Disjoint parts of the data set."""

    train: Examples
    held_out: Examples
    test: Examples
    normaliser: Normaliser
    digest: str
