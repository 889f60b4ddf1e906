"""Scenes of digits: equal for equal seeds, with captions that an independent reader agrees with."""

import re

import numpy as np
import pytest
import torch

from autospace.captions.corpus import load_captions, words
from autospace.captions.scenes import NAMES, draw_scenes, references
from autospace.captions.source import CaptionSource
from autospace.data.load import load_data
from autospace.data.request import Request
from autospace.networks.captions import SPECIAL


def test_the_grammar_by_hand() -> None:
    assert references([8], "row") == ("an eight",)
    assert references([7, 2], "row") == ("a seven left of a two", "a two right of a seven")
    assert references([7, 2], "column") == ("a seven above a two", "a two below a seven")
    assert references([0, 8, 1], "row") == (
        "a zero left of an eight left of a one", "a one right of an eight right of a zero",
    )  # fmt: skip


def test_captions_say_what_stands_where() -> None:
    """Digits of a scene are found again by their pixels, at the places that the words say."""
    digits = load_data("digits")
    known = {
        image.numpy().tobytes(): int(label)
        for split in (digits.train, digits.test)
        for image, label in zip(split.images[:, 0], split.labels, strict=True)
    }
    scenes, captions = draw_scenes(CaptionSource(scenes=60, digits=3, seed=5))["train"]
    kinds = set()
    for scene, said in zip(scenes[:, 0], captions, strict=True):
        found = []
        for row in range(3):
            for column in range(3):
                part = scene[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                if part.any():
                    label = known[np.ascontiguousarray(part).tobytes()]
                    found.append((row, column, NAMES[label]))
        names = re.split(r" (?:left of|above) ", said[0])
        assert [name for *_, name in sorted(found)] == names
        kinds.add("above" in said[0])
        if len(found) > 1:
            assert len({row for row, *_ in found}) == 1 or "above" in said[0]
            assert len({column for _, column, _ in found}) == 1 or "left" in said[0]
            reverse = re.split(r" (?:right of|below) ", said[1])
            assert reverse == names[::-1]
    assert kinds == {True, False}


def test_equal_seeds_give_equal_scenes_and_splits_share_no_digit() -> None:
    one = load_captions("captions:scenes=40,seed=3", Request())
    two = load_captions("captions:scenes=40,seed=3", Request())
    other = load_captions("captions:scenes=40,seed=4", Request())
    assert one.digest == two.digest != other.digest
    assert torch.equal(one.train.images.images, two.train.images.images)
    parts = {
        name: {
            part.numpy().tobytes()
            for scene in split.images.images[:, 0]
            for row in scene.split(8)
            for part in row.split(8, 1)
            if part.any()
        }
        for name, split in one.splits.items()
    }
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["validation"]


def test_what_is_read_is_shown() -> None:
    found = load_captions("captions:scenes=200", Request(32, limit=100))
    assert found.train.images.shape == (1, 32, 32)
    assert [len(split) for split in found.splits.values()] == [100, 50, 50]
    assert found.vocabulary[:4] == SPECIAL
    assert len(found.vocabulary) == 4 + 17
    text = "\n".join(found.lines)
    assert "100 train, 50 validation, 50 test images" in text
    assert "synthetic captions over real images" in text
    assert "limited to the first 100 images" in text
    assert found.record["splits"]["train"]["images"] == 100


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("A Dog's red-hot day, twice!", ("a", "dog's", "red-hot", "day", "twice")),
        ("  ", ()),
        ("Ein Bär_und 2 Füße.", ("ein", "bär", "und", "2", "füsse")),
    ],
)
def test_words(caption: str, wanted: tuple[str, ...]) -> None:
    assert words(caption) == wanted
