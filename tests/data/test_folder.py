"""Folders of images: layouts, modes, sizes, damage."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autospace.data.errors import DataError
from autospace.data.load import load_data
from autospace.data.readers import image_folder
from autospace.data.readers.folder_layout import ImageFile, Listing

SaveImage = Callable[..., Path]
REMARK = (
    "{} not square or not as the others: their proportions are changed, and "
    "data.aspect=crop or pad keeps them"
)


def pixels_of(path: Path, mode: str = "RGB") -> torch.Tensor:
    with Image.open(path) as image:
        array = np.array(image.convert(mode))
    return torch.from_numpy(array.reshape(*array.shape[:2], -1)).permute(2, 0, 1)


def test_train_and_test_folders(pets: Path) -> None:
    data = load_data(f"folder:{pets}")
    assert (data.name, data.classes, data.notes) == ("folder:pets", ("cat", "dog"), ())
    assert data.train.images.shape == (12, 3, 8, 8)
    assert data.train.labels.tolist() == [0] * 6 + [1] * 6
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(data.train.images[7], pixels_of(pets / "train/dog/1.png"))
    assert torch.equal(data.test.images[1], pixels_of(pets / "test/cat/1.png"))
    assert load_data(f"folder:{pets}").digest == data.digest


@pytest.mark.parametrize("name", ["val", "validation"])
def test_a_validation_folder_serves_as_test(pets: Path, name: str) -> None:
    expected = load_data(f"folder:{pets}").digest
    (pets / "test").rename(pets / name)
    data = load_data(f"folder:{pets}")
    assert data.digest == expected
    assert data.notes == (f"{name}/ is the test split",)


@pytest.mark.parametrize("inner", ["train", "."])
def test_without_a_test_folder_a_fixed_fifth_is_held_out(pets: Path, inner: str) -> None:
    shutil.rmtree(pets / "test")
    root = pets if inner == "train" else pets / "train"
    data, other_seed = load_data(f"folder:{root}"), load_data(f"folder:{root}", seed=4)
    assert data.test.labels.tolist() == [0, 1]
    assert data.train.labels.tolist() == [0] * 5 + [1] * 5
    assert data.digest == other_seed.digest
    assert data.notes == ("no test folder: 2 of 12 images are held out",)


def test_hidden_other_and_linked_things_are_passed_over(pets: Path, save_image: SaveImage) -> None:
    expected = load_data(f"folder:{pets}").digest
    (pets / "train/cat/readme.txt").write_text("not an image")
    (pets / "train/notes.txt").write_text("not a class")
    save_image("pets/train/cat/.hidden.png")
    save_image("pets/train/.cache/0.png")
    (pets / "train/cat/loop").symlink_to(pets / "train")
    (pets / "train/cat/self.png").symlink_to(pets / "train/cat/self.png")
    (pets / "train/cat/gone.png").symlink_to(pets / "nowhere.png")
    (pets / "train/up").symlink_to(pets)
    (pets / "train/circle").symlink_to(pets / "train/circle")
    os.mkfifo(pets / "train/cat/pipe.png")
    assert load_data(f"folder:{pets}").digest == expected


def test_nested_folders_and_a_linked_class_are_read(pets: Path, save_image: SaveImage) -> None:
    save_image("pets/train/cat/deep/er/9.JPEG")
    (pets / "train/dog").rename(pets.parent / "dogs")
    (pets / "train/dog").symlink_to(pets.parent / "dogs")
    assert load_data(f"folder:{pets}").train.labels.tolist() == [0] * 7 + [1] * 6


def test_the_most_common_size_wins(pets: Path, save_image: SaveImage) -> None:
    big = save_image("pets/train/cat/big.png", size=(20, 12))
    data = load_data(f"folder:{pets}")
    assert data.train.images.shape == (13, 3, 8, 8)
    assert data.notes == ("resized 1 image to 8x8", REMARK.format("1 image"))
    expected = np.array(Image.open(big).resize((8, 8), Image.Resampling.BILINEAR))
    assert torch.equal(data.train.images[6], torch.from_numpy(expected).permute(2, 0, 1))


def test_sizes_need_not_be_square_unless_a_resolution_is_given(save_image: SaveImage) -> None:
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        root = save_image(f"set/{name}", size=(6, 4)).parents[1]
    assert load_data(f"folder:{root}").train.images.shape[1:] == (3, 4, 6)
    data = load_data(f"folder:{root}", resolution=5)
    assert data.train.images.shape[1:] == (3, 5, 5)
    assert data.notes[-2:] == ("resized 4 images to 5x5", REMARK.format("4 images"))


@pytest.mark.parametrize("mode", ["L", "1", "I;16", "LA"])
def test_grey_folders_have_one_channel(save_image: SaveImage, mode: str) -> None:
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        root = save_image(f"set/{name}", mode=mode).parents[1]
    assert load_data(f"folder:{root}").train.images.shape[1] == 1
    rgb = load_data(f"folder:{root}", channels=3).train.images
    assert torch.equal(rgb[:, 0], rgb[:, 2])


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("P", "gif"), ("CMYK", "jpg")])
def test_other_modes_become_rgb(save_image: SaveImage, mode: str, suffix: str) -> None:
    for name in ("a/0", "a/1", "b/0", "b/1"):
        path = save_image(f"set/{name}.{suffix}", mode=mode)
    data = load_data(f"folder:{path.parents[1]}")
    assert data.train.images.shape[1] == 3
    if mode != "CMYK":  # of which a JPEG is another encoding
        images = torch.cat([data.train.images, data.test.images])
        assert (images == pixels_of(path)).flatten(1).all(1).any()


def test_sixteen_bit_images_keep_their_range(save_image: SaveImage) -> None:
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        path = save_image(f"set/{name}")
        Image.fromarray(ramp).save(path)
    data = load_data(f"folder:{path.parents[1]}")
    assert torch.equal(data.train.images[0, 0], torch.from_numpy((ramp >> 8).astype(np.uint8)))


def test_a_limit_is_stratified_and_reads_only_its_files(pets: Path) -> None:
    chosen = load_data(f"folder:{pets}", limit=4, seed=3)
    assert chosen.train.labels.tolist() == [0, 0, 1, 1]
    assert len(chosen.test) == 4
    assert load_data(f"folder:{pets}", limit=4, seed=3).digest == chosen.digest
    kept = {tuple(image.flatten().tolist()) for image in chosen.train.images}
    for path in (pets / "train").rglob("*.png"):
        if tuple(pixels_of(path).flatten().tolist()) not in kept:
            path.write_bytes(b"broken")
    again = load_data(f"folder:{pets}", limit=4, seed=3)
    assert (again.digest, again.notes) == (chosen.digest, ())
    with pytest.raises(DataError, match="limit 1 is below the 2 classes"):
        load_data(f"folder:{pets}", limit=1)


def test_unreadable_images_are_skipped_and_named(pets: Path) -> None:
    whole = (pets / "train/cat/0.png").read_bytes()
    (pets / "train/cat/0.png").write_bytes(whole[: len(whole) // 2])
    (pets / "train/dog/1.png").write_bytes(b"")
    (pets / "test/dog/0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    data = load_data(f"folder:{pets}")
    assert data.notes == (
        "skipped 3 unreadable images: empty (1): train/dog/1.png; "
        "no image format that is known (1): test/dog/0.png; truncated (1): train/cat/0.png",
    )
    assert data.train.labels.tolist() == [0] * 5 + [1] * 5
    assert torch.equal(data.train.images[0], pixels_of(pets / "train/cat/1.png"))


def test_many_unreadable_images_are_an_error(pets: Path, save_image: SaveImage) -> None:
    for index in range(11):
        save_image(f"pets/train/cat/bad{index:02}.png").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"11 of 27 images.*bad00.png.*and 6 more.*at most 10"):
        load_data(f"folder:{pets}")


@pytest.mark.parametrize(("images", "most"), [(16, 10), (1000, 10), (1500, 15)])
def test_the_unreadable_may_be_a_hundredth_or_ten(images: int, most: int) -> None:
    files = (ImageFile("x/a.png", 0, 1, 1),) * images
    listing = Listing(Path("x"), ("a", "b"), files[5:], files[:5], ())
    bad = [("x/a.png", "empty")] * (most + 1)
    image_folder._check_unreadable(listing, bad[1:])
    with pytest.raises(DataError, match=f"{most + 1} of {images} images.*at most {most}"):
        image_folder._check_unreadable(listing, bad)


def test_a_class_without_a_readable_image_is_an_error(pets: Path) -> None:
    for path in (pets / "test/dog").iterdir():
        path.write_bytes(b"bad")
    with pytest.raises(DataError, match="no readable test image in class dog"):
        load_data(f"folder:{pets}")


def test_image_bombs_are_skipped_without_a_warning(
    pets: Path, save_image: SaveImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    save_image("pets/train/cat/bomb.png", size=(40, 30))
    save_image("pets/train/cat/mega.png", size=(90, 90))
    note = load_data(f"folder:{pets}").notes[0]
    names = "train/cat/bomb.png, train/cat/mega.png"
    assert note == f"skipped 2 unreadable images: more than 1,000 pixels (2): {names}"


def test_layout_errors_name_the_problem(pets: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load_data(f"folder:{pets / 'train/cat/0.png'}")
    with pytest.raises(DataError, match="has no class folders"):
        load_data(f"folder:{pets / 'train/cat'}")
    (pets / "test/dog").rename(pets / "test/wolf")
    with pytest.raises(DataError, match=r"only in train/: dog; only in test/: wolf"):
        load_data(f"folder:{pets}")
    (pets / "train/emu").mkdir()
    with pytest.raises(DataError, match="no images in class emu"):
        load_data(f"folder:{pets}")
    (tmp_path / "one/cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"one class folder \(cat\)"):
        load_data(f"folder:{tmp_path / 'one'}")


def test_too_much_data_is_refused_before_decoding(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(50):
        shutil.copy(pets / "train/cat/0.png", pets / f"train/cat/copy{index}.png")
    usage = shutil.disk_usage(pets)._replace(free=5 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"62x4096x4096x3 images take 2\.9 GiB, twice"):
        load_data(f"folder:{pets}", resolution=4096, channels=3)


def test_progress_reaches_the_end(pets: Path) -> None:
    calls: list[tuple[int, int]] = []
    load_data(f"folder:{pets}", tick=lambda *call: calls.append(call))
    assert (12, 12) in calls
    assert calls[-1] == (4, 4)
