"""Images that were read, and are probably not what was meant; and how it is told what was read."""

import hashlib
import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.data.doubts import MOST_COMPARED, doubts
from autospace.data.examples import DataSet, Examples, Reading, Size, make_data_set
from autospace.data.load import load_data
from autospace.data.summary import lines_of, record, warnings_of

LABELS = torch.arange(40) % 2


def noise(seed: int, count: int = 40) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8))


def told(images: torch.Tensor, test: torch.Tensor | None = None) -> tuple[str, ...]:
    """The doubts about training images of two classes."""
    held_out = noise(9) if test is None else test
    return doubts(("a", "b"), Examples(images, LABELS), Examples(held_out, LABELS))


def test_ordinary_images_raise_none() -> None:
    assert told(noise(1)) == ()
    for source in ("digits", "synthetic", "synthetic:kind=wide"):
        assert not any(
            word in note for note in load_data(source).notes for word in ("equal", "same", "too")
        )


def test_equal_images() -> None:
    flat = torch.full((40, 1, 6, 6), 128, dtype=torch.uint8)
    assert told(flat, flat) == ("all 80 images are equal: there is nothing to learn",)


def test_images_without_contrast() -> None:
    assert told(noise(1) // 50, noise(2) // 50) == (
        "all pixels lie between 0 and 5 of 0 to 255: no contrast",
    )


def test_blank_images() -> None:
    dark, plain = noise(1), noise(1)
    dark[:10] //= 16
    plain[:10] = torch.arange(10, dtype=torch.uint8).view(-1, 1, 1, 1) * 20
    assert told(dark) == ("10 of 80 images are nearly black (no pixel above 16)",)
    assert told(plain) == ("10 of 80 images are of one colour",)


def test_classes_that_hold_the_same_images() -> None:
    images = noise(1).repeat_interleave(2, 0)[:40]
    assert told(images) == ("classes a, b hold the same images",)
    images[20:] = noise(3)[20:]
    assert told(images) == ("10 training images lie in two or more classes",)


def test_test_images_that_were_seen() -> None:
    images = noise(1)
    test = noise(2)
    test[:7] = images[:7]
    assert told(images, test) == ("7 of 40 test images are training images, too",)
    test[1:7] = noise(4)[1:7]
    assert told(images, test) == ()


@pytest.mark.parametrize("equal", [False, True])
def test_of_many_images_a_bounded_number_is_compared(
    monkeypatch: pytest.MonkeyPatch, equal: bool
) -> None:
    hashed = []

    def counting(data: bytes, digest_size: int) -> Any:
        hashed.append(1)
        return hashlib.blake2b(data, digest_size=digest_size)

    monkeypatch.setattr("autospace.data.doubts.hashlib", SimpleNamespace(blake2b=counting))
    count = 60_000
    images = torch.full((count, 1, 6, 6), 128, dtype=torch.uint8) if equal else noise(1, count)
    labels = torch.arange(count) % 2
    test = images[: count // 6].clone()
    found = doubts(("a", "b"), Examples(images, labels), Examples(test, labels[: len(test)]))
    # Twice as many where the first of both splits are taken; by chance a few more or less.
    assert len(hashed) <= 2.1 * MOST_COMPARED if equal else len(hashed) <= 1.1 * MOST_COMPARED
    if equal:
        assert found == ("all 70000 images are equal: there is nothing to learn",)
    else:
        # All test images are training images, and so are all of the sample.
        (line,) = found
        seen, compared = re.findall(r"(\d+) of (\d+) test images are", line)[0]
        assert seen == compared
        assert int(seen) == pytest.approx(len(test) / 7, rel=0.15)
        assert "images that were compared)" in line


def test_classes_that_are_equal_are_found_in_large_data_too() -> None:
    images = noise(1, 15_000).repeat_interleave(2, 0)
    labels = torch.arange(30_000) % 2
    found = doubts(("a", "b"), Examples(images, labels), Examples(noise(2), LABELS))
    assert found[0].startswith("classes a, b hold the same images (of ")


def test_too_few_images_of_a_class_are_a_warning() -> None:
    assert warnings_of(many(2)) == (
        "2 of 2 classes have fewer than 20 training images (class c000 has 3), too few to learn "
        "from",
    )
    assert record(many(2))["warnings"] == list(warnings_of(many(2)))
    assert warnings_of(load_data("digits")) == ()


@given(st.lists(st.integers(1, 60), min_size=2, max_size=30))
def test_warned_of_are_the_classes_below_twenty(counts: list[int]) -> None:
    names = tuple(f"c{index:03}" for index in range(len(counts)))
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    split = Examples(noise(0, len(labels)), labels)
    found = warnings_of(make_data_set("x", names, split, split))
    few = [each for each in counts if each < 20]
    assert len(found) == (1 if few else 0)
    if few:
        assert found[0].startswith(f"{len(few)} of {len(counts)} class")
        assert f" has {min(few)})" in found[0]


@given(st.integers(1, 30), st.integers(0, 255), st.integers(0, 255))
def test_any_images_have_printable_doubts(count: int, low: int, high: int) -> None:
    images = torch.randint(min(low, high), max(low, high) + 1, (count, 3, 2, 2)).to(torch.uint8)
    labels = torch.arange(count) % 3
    found = doubts(("a", "b", "c"), Examples(images, labels), Examples(images, labels))
    assert all(each.isprintable() for each in found)


def many(classes: int) -> DataSet:
    labels = torch.arange(3 * classes) % classes
    names = tuple(f"c{index:03}" for index in range(classes))
    train = Examples(noise(0, 3 * classes), labels)
    test = Examples(noise(1, classes), labels[:classes])
    reading = Reading((Size(6, 6, 10), Size(9, 4, 7), Size(1, 2, 1)), 3)
    return make_data_set("folder:x", names, train, test, ("a remark",), reading)


def test_what_was_read_is_told_in_lines() -> None:
    assert lines_of(many(2)) == (
        "folder:x: 6 training and 2 test images, 2 classes, 6x6 pixels, grey",
        "classes (training+test): c000 3+1, c001 3+1",
        "image sizes met: 6x6 (10), 9x4 (7), 1x2 (1)",
        "a remark",
    )


@pytest.mark.parametrize("classes", [20, 21, 300])
def test_of_many_classes_the_ends_are_told(classes: int) -> None:
    line = lines_of(many(classes))[1]
    assert "c000 3+1" in line
    assert f"c{classes - 1:03} 3+1" in line
    assert ("c008" in line) == (classes == 20)
    assert (f"... {classes - 10} more with 3 to 3 training images ..." in line) == (classes > 20)


def test_what_was_read_is_plain_for_programs() -> None:
    found = json.loads(json.dumps(record(many(2))))
    assert found["classes"] == [
        {"name": "c000", "train": 3, "test": 1},
        {"name": "c001", "train": 3, "test": 1},
    ]
    assert (found["train"], found["test"], found["channels"], found["width"]) == (6, 2, 1, 6)
    assert found["sizes"][1] == {"width": 9, "height": 4, "images": 7}
    assert found["notes"] == ["a remark"]
    assert found["lines"] == list(lines_of(many(2)))


def test_every_source_says_its_sizes() -> None:
    data = load_data("digits", resolution=12)
    assert data.reading.sizes == (Size(8, 8, 1797),)
    assert lines_of(data)[2] == "image sizes met: 8x8 (1797)"
    assert lines_of(load_data("digits"))[2].startswith("no test split")
