"""Channels and sizes of arrays against Pillow; digits; the real CIFAR-10 where there is one."""

import gzip
import hashlib
import os
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autospace.data.batches import Batches, Normaliser
from autospace.data.errors import DataError
from autospace.data.load import load_data
from autospace.data.readers.convert import resize, to_channels
from autospace.data.readers.folder_layout import ImageFile
from autospace.data.readers.image_decoding import Shape, decode
from autospace.data.splits import divide
from autospace.progress import no_tick


def test_grey_is_what_pillow_makes_of_it() -> None:
    images = torch.randint(0, 256, (5, 3, 40, 40), dtype=torch.uint8)
    for image, grey in zip(images, to_channels(images, 1), strict=True):
        expected = np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L"))
        assert np.array_equal(grey[0].numpy(), expected)


def test_grey_to_rgb_repeats_and_back_is_the_same() -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    rgb = to_channels(grey, 3)
    assert torch.equal(rgb, grey.repeat(1, 3, 1, 1))
    assert torch.equal(to_channels(rgb, 1), grey)
    assert to_channels(grey, 1) is grey


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (16, 16), (24, 20)])
def test_resizing_agrees_with_pillow_to_one_level(size: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    for image, resized in zip(images, resize(images, *size), strict=True):
        small = Image.fromarray(image[0].numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
        assert np.abs(np.array(small).astype(int) - resized[0].numpy()).max() <= 1


def test_a_large_jpeg_shrinks_to_nearly_the_same_with_and_without_draft(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:512, :512]
    pixels = (127 + 100 * np.sin(rows / 60) * np.cos(columns / 45)).astype(np.uint8)
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).save(path, quality=95)
    found = decode([ImageFile(str(path), 0, 0, 0)], Shape(1, 32, 32), no_tick)
    exact = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(found.images[0, 0].astype(int) - np.array(exact).astype(int)).max() <= 4


def test_digits_are_embedded_and_fixed() -> None:
    data = load_data("digits")
    assert data.classes == tuple("0123456789")
    assert data.train.images.shape == (1438, 1, 8, 8)
    assert data.test.images.shape == (359, 1, 8, 8)
    assert int(data.train.images.max()) == 255
    assert len(torch.unique(data.train.images)) == 17
    counts = torch.bincount(data.test.labels)
    assert int(counts.min()) >= 34
    assert int(counts.max()) <= 37
    assert load_data("digits", seed=5).digest == data.digest


def test_digits_are_those_of_scikit_learn() -> None:
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    ours = load_data("digits")
    images = torch.cat([ours.train.images, ours.test.images])[:, 0].double() / (255 / 16)
    labels = torch.cat([ours.train.labels, ours.test.labels])

    def rows(images: object, labels: object) -> list[tuple[int, ...]]:
        pixels = np.rint(np.asarray(images)).astype(int).reshape(-1, 64)
        return sorted(map(tuple, np.column_stack([pixels, np.asarray(labels)]).tolist()))

    assert rows(images, labels) == rows(theirs.images, theirs.target)


def test_digits_never_change() -> None:
    # Recorded when scikit-learn still read them: runs of that time can be resumed.
    digest = "373e5111724d4b5fad2bbf09eda1c36b98976a8ff7765d8eaedcf16232e30858"
    assert load_data("digits").digest == digest


def test_digits_need_no_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert len(load_data("digits").train) == 1438


def test_the_licence_of_the_digits_names_their_file_and_its_checksum() -> None:
    folder = resources.files("autospace.data.readers") / "data"
    found = hashlib.sha256((folder / "digits.csv.gz").read_bytes()).hexdigest()
    text = (folder / "digits-license.txt").read_text("utf-8")
    for fact in (found, "Creative Commons Attribution 4.0", "BSD 3-Clause License", "C. Kaynak"):
        assert fact in text


@pytest.mark.parametrize("content", [None, b"", b"not gzip", gzip.compress(b"1,2,3\n", mtime=0)])
def test_a_damaged_installation_is_one_line(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "digits.csv.gz").write_bytes(content)
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    with pytest.raises(DataError, match=r"digits: .*digits\.csv\.gz.*install autospace again"):
        load_data("digits")


def test_digits_can_be_limited_resized_and_coloured() -> None:
    data = load_data("digits", limit=100, resolution=16, channels=3)
    assert data.train.images.shape == data.test.images.shape == (100, 3, 16, 16)
    assert torch.bincount(data.train.labels).tolist() == [10] * 10
    assert data.notes[-1] == "resized 200 images to 16x16"
    assert load_data("digits", limit=100, seed=1).digest != load_data("digits", limit=100).digest


@pytest.mark.slow
def test_the_real_cifar10_folder(tmp_path: Path) -> None:
    folder = os.environ.get("AUTOSPACE_CIFAR10_FOLDER")
    if folder is None:
        pytest.skip("AUTOSPACE_CIFAR10_FOLDER is not set")
    data = load_data(f"folder:{folder}", cache=tmp_path)
    assert data.train.images.shape == (50000, 3, 32, 32)
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    assert load_data(f"folder:{folder}", cache=tmp_path).digest == data.digest
    train, validation = divide(data.train, 0.2, 0)
    normaliser = Normaliser.from_examples(train)
    batches = Batches(validation, 1000, 0, "cpu", normaliser)
    means = [images.mean() for images, _ in batches.evaluation_batches()]
    assert abs(float(torch.stack(means).mean())) < 0.05
    assert data.notes == ()
