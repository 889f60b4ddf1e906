"""Builders of image folders for the tests of the readers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SaveImage = Callable[..., Path]


@pytest.fixture
def save_image(tmp_path: Path) -> SaveImage:
    """Writes a random image: `save_image("train/cat/a.png", size=(8, 6), mode="RGB")`."""
    random = np.random.default_rng(0)

    def save(name: str, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    return save


@pytest.fixture
def pets(save_image: SaveImage, tmp_path: Path) -> Path:
    """A folder with train/ and test/, classes cat and dog, 6 and 2 images each, 8x8 RGB."""
    for split, count in (("train", 6), ("test", 2)):
        for name in ("dog", "cat"):
            for index in range(count):
                save_image(f"pets/{split}/{name}/{index}.png")
    return tmp_path / "pets"
