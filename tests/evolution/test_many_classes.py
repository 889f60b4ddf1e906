"""Data sets whose class names no list of a space holds: too many of them, or no text."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import autospace
from autospace.spaces.checks import MAX_ENTRIES
from tests.evolution.runs import SETTINGS, SKELETON

MANY = MAX_ENTRIES + 1
TRAIN: dict[str, Any] = {"training": {"epochs": 1, "batch": 64}, "augment": {"crop": 1}}


def _settings(folder: Path, source: str) -> dict[str, Any]:
    (folder / "two.toml").write_text(SKELETON)
    return {**SETTINGS, "skeleton": str(folder / "two.toml"), "data": {"source": source}}


def _learned_and_trained(folder: Path, source: str) -> Any:
    """The provenance of a space, whose reference architecture was trained and read again."""
    chosen = _settings(folder, source)
    chosen["data"]["resolution"] = 8
    space = autospace.evolve(settings=chosen, out=folder / "run", workers=1).space
    assert autospace.load(folder / "run") == space
    best = space.architecture({each.shape.name: each.candidates[0].id for each in space.layers})
    done = autospace.train(
        best, source, settings={**TRAIN, "data": {"resolution": 8}}, out=folder / "net"
    )
    assert autospace.train(resume=folder / "net").result == done.result
    return space.provenance["data"]


@pytest.mark.slow  # so many classes have many images
def test_a_space_is_learned_of_more_classes_than_its_provenance_may_name(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(MANY), 2)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    arrays: dict[str, Any] = {
        "x_train": images,
        "y_train": labels,
        "x_test": images[::2],
        "y_test": labels[::2],
    }
    np.savez(tmp_path / "many.npz", **arrays)
    assert "classes" not in _learned_and_trained(tmp_path, f"npz:{tmp_path / 'many.npz'}")


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_folders_whose_names_are_not_utf_8_are_classes_as_any_others(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in (b"caf\xe9", b"tea"):
        folder = os.fsencode(tmp_path / "images") + b"/" + name
        try:
            os.makedirs(folder)
        except OSError:
            pytest.skip("this file system has no such names")
        for index in range(24):
            image = Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8))
            image.save(os.fsdecode(folder) + f"/{index}.png")
    found = _learned_and_trained(tmp_path, f"folder:{tmp_path / 'images'}")
    assert found["classes"] == ["caf\\udce9", "tea"]
