"""Images that a Python program passes: what is taken, what is refused, and the way to workers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.data.readers.arrays import images, save_images

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 3, 8, 8), dtype=np.uint8)
LABELS = np.arange(30) % 3
TEST = (PIXELS[:6], LABELS[:6])


class Pairs(Dataset[tuple[Any, Any]]):
    """A map-style dataset over a list."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Stream(IterableDataset[Any]):
    """A dataset without a length."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def _pairs(convert: Any) -> Pairs:
    return Pairs([(convert(x), int(y)) for x, y in zip(PIXELS, LABELS, strict=True)])


FORMS: dict[str, Any] = {
    "numpy": (PIXELS, LABELS),
    "channels last": (PIXELS.transpose(0, 2, 3, 1), LABELS),
    "torch": (torch.from_numpy(PIXELS), torch.from_numpy(LABELS)),
    "torch floats": (torch.from_numpy(PIXELS) / 255, torch.from_numpy(LABELS)),
    "float64": (PIXELS / 255, LABELS.astype(np.int32)),
    "labels in a column": (PIXELS, LABELS[:, None]),
    "lists": (PIXELS, LABELS.tolist()),
    "TensorDataset": TensorDataset(torch.from_numpy(PIXELS), torch.from_numpy(LABELS)),
    "Dataset of floats": _pairs(lambda image: torch.from_numpy(image) / 255),
    "Dataset of Pillow images": _pairs(lambda image: Image.fromarray(image.transpose(1, 2, 0))),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pixels(form: str) -> None:
    found = images(FORMS[form], TEST)
    assert np.array_equal(found.train.images.numpy(), PIXELS)
    assert found.train.labels.tolist() == LABELS.tolist()
    assert (found.name, found.classes, found.notes) == ("python", ("0", "1", "2"), ())
    assert len(found.test) == 6


@pytest.mark.parametrize("kind", ["int64", "int32", "uint16", "int16", "float32", "float64"])
def test_values_up_to_255_are_bytes_in_any_type(kind: str) -> None:
    wide = PIXELS.astype(kind)
    several = Pairs([(x, int(y)) for x, y in zip(wide, LABELS, strict=True)])
    for given in ((wide, LABELS), (torch.from_numpy(wide), LABELS), several):
        found = images(given, TEST)
        assert np.array_equal(found.train.images.numpy(), PIXELS)
    assert found.notes == (
        ("pixels have values from 0 to 255, rounded",) if kind.startswith("float") else ()
    )


def test_more_bits_lose_their_lower_ones_alike_in_both_splits() -> None:
    # 12 bits in all: the upper 8 of 12 are a sixteenth.
    deep = PIXELS.astype(np.uint16) * 16 + 7
    found = images((deep, LABELS), (deep[:6] // 2, LABELS[:6]))
    assert np.array_equal(found.train.images.numpy(), PIXELS)
    assert np.array_equal(found.test.images.numpy(), (deep[:6] // 2) >> 4)
    high = int(deep.max())
    assert found.notes == (f"pixels have values from 3 to {high:,}, divided by 16",)


@pytest.mark.parametrize("bits", [12, 16])
def test_bytes_stay_as_they_are_beside_a_deeper_split(bits: int) -> None:
    shift = bits - 8
    deep = (PIXELS.astype(np.uint16) << shift) + 7
    for train, test in ((PIXELS, deep), (deep, PIXELS)):
        found = images((train, LABELS), (test, LABELS))
        assert np.array_equal(found.train.images.numpy(), PIXELS)
        assert np.array_equal(found.test.images.numpy(), PIXELS)
        said = f"values from {deep.min()} to {deep.max():,}, divided by {2**shift}"
        assert found.notes == (f"pixels of the deeper split have {said}",)


def test_a_dark_image_of_a_dataset_is_scaled_as_the_others() -> None:
    items = [(np.full((1, 4, 4), value), label) for value, label in ((1.0, 0), (200.0, 1)) * 3]
    found = images(Pairs(items), Pairs(items[:2]))
    assert found.train.images[:2, 0, 0, 0].tolist() == [1, 200]


def _grey(values: list[int] | list[float], kind: str) -> Image.Image:
    """A Pillow image of one row."""
    return Image.fromarray(np.array([values], dtype=kind))


@pytest.mark.parametrize(
    ("kind", "mode", "rows", "wanted", "note"),
    [
        # Twelve bits: a sixteenth, without the remainder.
        (
            "uint16", "I;16", [[0, 15, 16, 255], [256, 257, 1000, 4095]],
            [[0, 0, 1, 15], [16, 16, 62, 255]],
            "pixels have values from 0 to 4,095, divided by 16",
        ),
        # As PNG files of 16 bits were opened by older versions of Pillow.
        (
            "int32", "I", [[0, 255, 256, 511], [512, 9, 40_000, 65_535]],
            [[0, 0, 1, 1], [2, 0, 156, 255]],
            "pixels have values from 0 to 65,535, divided by 256",
        ),
        ("int32", "I", [[0, 1, 2, 3], [4, 9, 200, 255]], [[0, 1, 2, 3], [4, 9, 200, 255]], None),
        # 255 times as much, rounded: 63.75, 127.5 (to even), 191.25; 31.875, 0.255, 254.745.
        (
            "float32", "F", [[0, 0.25, 0.5, 0.75], [0.125, 0.001, 0.999, 1]],
            [[0, 64, 128, 191], [32, 0, 255, 255]], None,
        ),
    ],
)  # fmt: skip
def test_deep_pillow_images_become_bytes_by_the_rule_for_files(
    kind: str, mode: str, rows: list[list[Any]], wanted: list[list[int]], note: str | None
) -> None:
    deep = [_grey(row, kind) for row in rows]
    assert [image.mode for image in deep] == [mode, mode]
    found = images(Pairs([(deep[0], 0), (deep[1], 1)]), Pairs([(deep[1], 1), (deep[0], 0)]))
    assert found.train.images.tolist() == [[[row]] for row in wanted]
    assert found.test.images.tolist() == [[[row]] for row in wanted[::-1]]
    assert found.notes == (() if note is None else (note,))


def test_big_endian_pillow_images_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    # Hand-made: one row of the values 256 and 4095, high byte first.
    deep = Image.frombytes("I;16B", (2, 1), bytes([1, 0, 15, 255]))
    deep.save(path)
    with Image.open(path) as opened:
        for image in (deep, opened):
            found = images(Pairs([(image, 0), (image, 1)]), Pairs([(image, 0), (image, 1)]))
            assert found.train.images[0].tolist() == [[[16, 255]]]


def _palette(transparency: bytes | None) -> Image.Image:
    """Pixels of two colours, 10 and 200, through a palette."""
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([10, 10, 10, 200, 200, 200])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def _clear(mode: str, alpha: list[int]) -> Image.Image:
    """Two pixels of the value 10, with this alpha."""
    image = Image.new("RGB" if mode == "RGBA" else "L", (2, 1), 10 if mode != "RGBA" else (10,) * 3)
    image.putalpha(Image.fromarray(np.array([alpha], np.uint8)))
    return image.convert(mode)


# On white, a pixel of 10 with alpha 51 (a fifth) is 10 / 5 + 255 * 4 / 5 = 206.
TRANSPARENT: dict[str, tuple[Image.Image, list[int]]] = {
    "RGBA": (_clear("RGBA", [0, 51]), [255, 206]),
    "LA": (_clear("LA", [0, 51]), [255, 206]),
    "La": (_clear("LA", [0, 255]).convert("La"), [255, 10]),
    "opaque": (_clear("RGBA", [255, 255]), [10, 10]),
    "opaque La": (_clear("LA", [255, 255]).convert("La"), [10, 10]),
    "PA": (_palette(bytes([0, 255])).convert("PA"), [255, 200]),
    "P": (_palette(bytes([0, 255])), [255, 200]),
    "opaque P": (_palette(None), [10, 200]),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_pillow_images_are_laid_on_white_as_files_are(name: str) -> None:
    image, wanted = TRANSPARENT[name]
    items = Pairs([(image, 0), (image, 1)])
    found = images(items, items)
    assert found.train.images.tolist() == [[[wanted]] * 3] * 2


def test_a_colour_that_stands_for_transparency_is_laid_on_white() -> None:
    grey = _grey([7, 9], "uint8")
    grey.info["transparency"] = 7
    items = Pairs([(grey, 0), (grey, 1)])
    assert images(items, items).train.images[0].tolist() == [[[255, 9]]]


def test_pillow_images_of_several_depths_are_refused() -> None:
    shallow, deep, real = (_grey([0, 1], kind) for kind in ("uint8", "uint16", "float32"))
    complaint = (
        r"train images\[1\]: is a Pillow image of the mode I;16, and the first image is uint8"
    )
    with pytest.raises(DataError, match=complaint):
        images(Pairs([(shallow, 0), (deep, 1)]))
    with pytest.raises(DataError, match=r"of the mode F, and the first image is uint16; allowed"):
        images(Pairs([(deep, 0), (real, 1)]))


def test_bfloat16_and_grey_images_are_taken() -> None:
    grey = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]] * 4).bfloat16()
    found = images((grey, [0, 1, 0, 1]), (grey, [0, 1, 0, 1]))
    assert found.train.images[0].tolist() == [[[0, 255], [255, 0]]]


def test_a_fifth_becomes_the_test_split_whatever_the_seed() -> None:
    found = images((PIXELS, LABELS))
    assert (len(found.train), len(found.test)) == (24, 6)
    assert "held out" in found.notes[0]
    again = load_data(found, seed=7)
    assert torch.equal(again.test.images, found.test.images)


def test_images_are_copied() -> None:
    mine = PIXELS.copy()
    found = images((mine, LABELS), TEST)
    mine[:] = 0
    assert np.array_equal(found.train.images.numpy(), PIXELS)


def test_names_of_classes_and_labels() -> None:
    found = images((PIXELS, LABELS), TEST, classes=["ant", "bee", "cat"], name="mine")
    assert (found.name, found.classes) == ("mine", ("ant", "bee", "cat"))
    numbered = images((PIXELS, LABELS * 10), (PIXELS[:6], LABELS[:6] * 10))
    assert numbered.classes == ("0", "10", "20")
    assert numbered.train.labels.tolist() == LABELS.tolist()


def test_the_digest_is_that_of_the_content() -> None:
    one, same = images((PIXELS, LABELS), TEST), images(FORMS["torch floats"], TEST)
    other = images((255 - PIXELS, LABELS), TEST)
    assert one.digest == same.digest != other.digest


def test_resolution_and_limit_hold_as_for_files() -> None:
    found = load_data(images((PIXELS, LABELS), TEST), resolution=4, limit=9, seed=1)
    assert found.train.images.shape == (9, 3, 4, 4)
    assert sorted(found.train.labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


REFUSED: list[tuple[Any, str]] = [
    (PIXELS, r"train images: have no labels; allowed: a tuple \(images, labels\)"),
    ((PIXELS[:, :2], LABELS), r"shape \[30, 2, 8, 8\]; .*with 1 or 3 channels"),
    ((PIXELS[0, 0], LABELS), r"shape \[8, 8\]"),
    ((PIXELS.astype(np.complex64), LABELS), "type complex64; allowed: uint8, whole"),
    ((PIXELS.astype(np.int64) - 300, LABELS), "whole numbers from -300 to -45; allowed: 0 to 1"),
    ((PIXELS / 100.0, LABELS), r"floats from 0 to 2.\d*; allowed: 0 to 1"),
    ((PIXELS * 300.0, LABELS), r"floats from 0 to 76\d*; allowed: 0 to 1"),
    ((PIXELS / 255 * np.nan, LABELS), "floats from nan to nan; allowed: 0 to 1"),
    ((PIXELS, LABELS / 1.0), r"labels are float64 \[30\]; allowed: whole numbers \[N\]"),
    ((PIXELS, ["a"] * 30), r"labels are <U1 \[30\]; allowed: whole numbers"),
    ((PIXELS, LABELS[:29]), "30 images but 29 labels"),
    ((PIXELS, LABELS - 1), "label -1 is out of range; allowed: 0 or more"),
    ((PIXELS, LABELS * 0), "the number of classes is 1; allowed: 2 or more"),
    ((PIXELS[:0], LABELS[:0]), "holds no images; allowed: at least one"),
    ((PIXELS, [[1], [2, 3]]), "cannot be an array"),
    (Pairs([]), "the dataset is empty"),
    (Pairs([PIXELS[0]]), r"train images\[0\]: a ndarray; allowed: a pair \(image, label\)"),
    (Pairs([(PIXELS[0], 0), (PIXELS[0, :, :4], 1)]), r"\[1\]: has the shape \[3, 4, 8\].*resize"),
    (
        Pairs([(PIXELS[0] / -1.0, 0)]),
        r"train images\[0\]: floats from -249 to -0; allowed: 0 to 1",
    ),
    (Pairs([(PIXELS[0], 0.5)]), r"\[0\]: labels are float64"),
    (Pairs([(PIXELS, 0)]), r"\[0\]: has the shape \[30, 3, 8, 8\]; allowed: \[C, H, W\]"),
    (Stream(), "a Stream has no length; allowed: .* or a map-style Dataset"),
    (7, "an int has no length"),
]


@pytest.mark.parametrize(("given", "complaint"), REFUSED)
def test_what_is_refused_is_named(given: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        images(given)
    assert "\n" not in str(caught.value)


def test_wrong_names_and_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"train label 2 is out of range; allowed: 0\.\.1"):
        images((PIXELS, LABELS), TEST, classes=["a", "b"])
    with pytest.raises(DataError, match='classes: "ab"; allowed: a list of names'):
        images((PIXELS, LABELS), TEST, classes="ab")
    for name in ("", "a\nb", "a" * 101):
        with pytest.raises(DataError, match="allowed: 1 to 100"):
            images((PIXELS, LABELS), TEST, name=name)
    with pytest.raises(DataError, match="test labels that the training images do not have: 7"):
        images((PIXELS, LABELS), (PIXELS[:6], [7] * 6))


def _equal(one: DataSet, two: DataSet) -> bool:
    return (one.name, one.classes, one.digest, one.notes) == (
        two.name,
        two.classes,
        two.digest,
        two.notes,
    )


def test_workers_read_the_same_data_set(tmp_path: Path) -> None:
    data = images((PIXELS, LABELS), classes=["ant", "bee", "cat"], name="mine")
    save_images(tmp_path / "images", data)
    assert _equal(load_data(f"python:{tmp_path / 'images'}"), data)


def test_images_of_python_that_are_not_there_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"passed from Python.*resume=FOLDER and data=the same"):
        load_data("python")
    (tmp_path / "images").write_bytes(b"no tensors")
    for name in ("images", "nowhere"):
        with pytest.raises(DataError, match="does not hold the images of a run"):
            load_data(f"python:{tmp_path / name}")
