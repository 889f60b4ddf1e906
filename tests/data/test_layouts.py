"""Folders as people have them: names of splits, system folders, archives, files of any name."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.data.errors import DataError
from autospace.data.load import load_data
from autospace.data.splits import role_of

SaveImage = Callable[..., Path]

ROLES = {
    "train": "train Train TRAIN training Training_set training-data seg_train trainset TrainImages "
    "train2017 01_train asl_alphabet_train trn trainval train_val",
    "test": "test Test TESTING test_set testset seg_test t10k test-images TestData holdout",
    "validation": "val valid Validation VALID dev validation_set seg_val valset evaluation val2017",
    None: "cat valley deviation contest latest trainer bus Original Images test_train "
    "invalid devices 2020 training_test x validity",
}


@pytest.mark.parametrize(
    ("name", "role"), [(name, role) for role, names in ROLES.items() for name in names.split()]
)
def test_names_of_splits(name: str, role: str | None) -> None:
    assert role_of(name) == role


@given(
    st.sampled_from(["train", "test", "val"]),
    st.sampled_from(["{}", "{}_set", "my {}", "{}-images", "{}2017", "data_{}", "{}ing"]),
    st.randoms(use_true_random=False),
)
def test_any_case_of_a_name_is_the_same_split(word: str, form: str, random: object) -> None:
    if form == "{}ing" and word == "val":
        return
    name = form.format(word)
    wanted = {"train": "train", "test": "test", "val": "validation"}[word]
    assert role_of(name) == role_of(name.upper()) == role_of(name.title()) == wanted


@given(st.text(max_size=30))
def test_every_name_has_one_role_or_none(name: str) -> None:
    assert role_of(name) in ("train", "test", "validation", None)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("Training", "Testing"),
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train", "Test"),
        ("TRAIN", "valid"),
        ("train", "dev"),
        ("train_images", "val_images"),
        ("train2017", "val2017"),
    ],
)
def test_splits_of_any_common_name(pets: Path, train: str, test: str) -> None:
    expected = load_data(f"folder:{pets}").digest
    (pets / "train").rename(pets / "a")
    (pets / "test").rename(pets / "b")
    (pets / "a").rename(pets / train)
    (pets / "b").rename(pets / test)
    data = load_data(f"folder:{pets}")
    assert (data.classes, data.digest) == (("cat", "dog"), expected)
    served = () if "est" in test else (f"{test}/ is the test split",)
    assert data.notes == served


def test_a_split_that_is_not_used_is_said(pets: Path, save_image: SaveImage) -> None:
    shutil.copytree(pets / "test", pets / "valid")
    shutil.copytree(pets / "test", pets / "augmented")
    save_image("pets/unlabelled/0.png")
    save_image("pets/train/stray.png")
    data = load_data(f"folder:{pets}")
    assert data.train.labels.tolist() == [0] * 6 + [1] * 6
    assert data.notes == (
        "augmented/ is not read (4 images)",
        "unlabelled/ is not read (without class folders, 1 images)",
        "valid/ is not read (4 images)",
        "not read: images outside of the class folders (1): train/stray.png",
    )


def test_a_test_folder_without_classes_is_said(pets: Path, save_image: SaveImage) -> None:
    shutil.rmtree(pets / "test")
    save_image("pets/test/0.png")
    data = load_data(f"folder:{pets}")
    assert data.notes == (
        "test/ is not read (without class folders, 1 images)",
        "no test folder: 2 of 12 images are held out",
    )


@pytest.mark.parametrize("names", [("Original", "Augmented"), ("fold1", "fold2"), ("a", "test")])
def test_folders_of_the_same_folders_are_no_classes(pets: Path, names: tuple[str, str]) -> None:
    (pets / "train").rename(pets / "one")
    (pets / "test").rename(pets / "two")
    (pets / "one").rename(pets / names[0])
    (pets / "two").rename(pets / names[1])
    first, second = sorted(names)
    with pytest.raises(DataError, match=rf"{first}/ and {second}/ hold the same folders \(cat, d"):
        load_data(f"folder:{pets}")


def test_splits_in_classes_are_read_as_classes_in_splits(save_image: SaveImage) -> None:
    for name in ("cat", "dog"):
        for split, count in (("Train", 3), ("val", 1), ("test", 2)):
            for index in range(count):
                inside = save_image(f"turned/{name}/{split}/{index}.png")
    root = inside.parents[2]
    (root / "dog" / "Train").rename(root / "dog" / "training")
    (root / "dog" / "notes.txt").write_text("hello")
    data = load_data(f"folder:{root}")
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0] * 3 + [1] * 3
    assert data.test.labels.tolist() == [0] * 2 + [1] * 2
    assert data.notes == (
        "val/ is not read (2 images)",
        "not read: .txt files (1): dog/notes.txt",
    )


@pytest.mark.parametrize(
    "more",
    [
        "dog/fold1/0.png",  # a split by no name
        "dog/Training/0.png",  # two training splits
        "dog/train/persian/0.png",  # folders within a split
        "dog/0.png",  # an image beside the splits
    ],
)
def test_splits_in_classes_that_are_not_plain_are_no_classes(
    save_image: SaveImage, more: str
) -> None:
    for place in ("cat/train", "cat/test", "dog/train", "dog/test", "fox/train", "fox/test"):
        save_image(f"turned/{place}/1.png")
    root = save_image("turned/" + more).parents[more.count("/")]
    with pytest.raises(DataError, match=r"hold the same folders \(test, train\)"):
        load_data(f"folder:{root}")


@pytest.mark.parametrize(
    "places",
    [
        ("cat/train", "cat/test", "dog/train"),
        ("cat/train", "cat/test", "dog/test"),
        ("cat/train", "cat/test", "dog/train", "dog/test", "dog"),
        ("cat/train", "cat/test", "dog/train", "dog/test", "dog/more"),
        ("cat/train", "cat/val", "dog"),
    ],
)
def test_splits_in_classes_are_never_mixed(save_image: SaveImage, places: tuple[str, ...]) -> None:
    for place in places:
        for index in range(5):
            root = save_image(f"turned/{place}/{index}.png").parents[len(place.split("/"))]
    with pytest.raises(DataError, match=r"classes hold folders of splits|hold the same folders"):
        load_data(f"folder:{root}")


def test_an_empty_class_beside_classes_of_splits_is_named(save_image: SaveImage) -> None:
    for place in ("cat/train", "cat/test", "dog/train", "dog/test"):
        root = save_image(f"turned/{place}/1.png").parents[2]
    (root / "bird" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="no images in class bird"):
        load_data(f"folder:{root}")


@pytest.mark.parametrize("name", ["train", "test", "images"])
def test_one_folder_in_a_class_may_have_any_name(save_image: SaveImage, name: str) -> None:
    for label in ("cat", "dog"):
        for index in range(5):
            root = save_image(f"deep/{label}/{name}/{index}.png").parents[2]
    assert load_data(f"folder:{root}").classes == ("cat", "dog")


def test_a_class_that_lacks_a_split_is_an_error(save_image: SaveImage) -> None:
    for name in ("cat", "dog", "fox"):
        save_image(f"turned/{name}/train/1.png")
        root = save_image(f"turned/{name}/{'val' if name == 'dog' else 'test'}/1.png").parents[2]
    with pytest.raises(
        DataError, match=r"different classes; only in train/: dog; only in test/: n"
    ):
        load_data(f"folder:{root}")


@pytest.mark.parametrize(
    ("more", "what"), [("Train", "training"), ("TESTING", "test"), ("train_2", "training")]
)
def test_several_splits_of_a_kind_are_ambiguous(pets: Path, more: str, what: str) -> None:
    shutil.copytree(pets / "test", pets / more)
    with pytest.raises(DataError, match=rf"has 2 {what} folders \(.*{more}/.*allowed: one of each"):
        load_data(f"folder:{pets}")


def test_splits_that_hold_images_are_no_classes(save_image: SaveImage) -> None:
    for name in ("train", "test"):
        for index in range(4):
            root = save_image(f"flat/{name}/cat.{index}.png").parents[1]
    with pytest.raises(DataError, match="train/ hold images, and no class folders"):
        load_data(f"folder:{root}")


def test_a_train_may_be_a_vehicle(save_image: SaveImage) -> None:
    for name in ("bus", "train"):
        for index in range(3):
            root = save_image(f"vehicles/{name}/{index}.png").parents[1]
    assert load_data(f"folder:{root}").classes == ("bus", "train")


def test_one_folder_named_alike_in_every_class_is_fine(save_image: SaveImage) -> None:
    for name in ("n01", "n02"):
        for index in range(3):
            root = save_image(f"tiny/train/{name}/images/{index}.png").parents[3]
    assert load_data(f"folder:{root}").classes == ("n01", "n02")


@pytest.mark.parametrize("above", ["dataset", "archive/dataset"])
def test_one_folder_too_many_is_found_through(pets: Path, tmp_path: Path, above: str) -> None:
    expected = load_data(f"folder:{pets}").digest
    outer = tmp_path / "outer"
    (outer / above).parent.mkdir(parents=True)
    pets.rename(outer / above)
    (outer / "readme.md").write_text("text")
    data = load_data(f"folder:{outer}")
    assert data.digest == expected
    assert data.notes == (f"read from {above}/", "not read: .md files (1): readme.md")


def test_splits_may_hold_a_folder_of_their_name(pets: Path) -> None:
    expected = load_data(f"folder:{pets}").digest
    for name in ("train", "test"):
        (pets / name).rename(pets / "inner")
        (pets / f"seg_{name}").mkdir()
        (pets / "inner").rename(pets / f"seg_{name}" / f"seg_{name}")
    assert load_data(f"folder:{pets}").digest == expected


@pytest.mark.parametrize(
    "name", ["@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "lost+found", ".thumbnails"]
)
@pytest.mark.parametrize("place", [".", "train", "train/cat"])
def test_folders_of_systems_hold_no_images(
    pets: Path, save_image: SaveImage, name: str, place: str
) -> None:
    expected = load_data(f"folder:{pets}").digest
    save_image(f"pets/{place}/{name}/0.png")
    save_image(f"pets/{place}/{name}/cat/0.png")
    data = load_data(f"folder:{pets}")
    assert data.digest == expected
    assert name in data.reading.skipped[0].examples[0]
    assert name in data.notes[0]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("0.jfif", "JPEG"),
        ("0", "PNG"),
        ("0.pgm", "PPM"),
        ("0.PNG.part", "PNG"),
        ("0.jpg", "PNG"),
        ("0.dat", "WEBP"),
        ("0.jpe", "JPEG"),
        ("0.avif", "AVIF"),
        ("0.tga", "TGA"),
        ("image", "TIFF"),
        ("0.qoi", "QOI"),
        ("x.jp2", "JPEG2000"),
    ],
)
def test_what_pillow_opens_is_read(pets: Path, save_image: SaveImage, name: str, form: str) -> None:
    from PIL import Image

    with Image.open(save_image("plain.png")) as image:
        image.save(pets / "train/cat" / name, format=form)
    data = load_data(f"folder:{pets}")
    assert len(data.train) == 13
    assert data.notes == ()


def test_what_is_no_image_is_counted_by_kind(pets: Path) -> None:
    for name in ("a.txt", "b.txt", "c.json", "Thumbs.db", ".DS_Store", "list"):
        (pets / "train/cat" / name).write_text("Pixels: 3")
    os.mkfifo(pets / "train/dog/pipe")
    (pets / "train/dog/gone").symlink_to(pets / "nowhere")
    (pets / "train/dog/loop").symlink_to(pets)
    data = load_data(f"folder:{pets}")
    assert {each.reason: each.count for each in data.reading.skipped} == {
        ".txt files": 2,
        ".json files": 1,
        "files of the system": 1,
        "hidden files": 1,
        "files without a suffix": 1,
        "special files": 1,
        "links to nowhere": 1,
        "links to folders": 1,
    }
    assert "not read: .txt files (2): train/cat/a.txt, train/cat/b.txt" in data.notes


def test_heic_images_are_counted_with_advice(pets: Path) -> None:
    for index in range(4):
        path = pets / f"train/cat/IMG_{index}.HEIC"
        path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(8))
    data = load_data(f"folder:{pets}")
    names = ", ".join(f"train/cat/IMG_{index}.HEIC" for index in range(3))
    kind = "HEIC images, which need pip install 'autospace[heif]'"
    assert data.notes == (f"not read: {kind} (4): {names} and 1 more",)


def test_an_empty_class_says_what_it_holds(pets: Path) -> None:
    for path in (pets / "train/dog").iterdir():
        path.rename(path.with_suffix(".txt")).write_text("text")
    with pytest.raises(DataError, match=r"no images in class dog \(which holds 6 .txt files\)"):
        load_data(f"folder:{pets}")


def test_links_that_lead_in_circles_end(pets: Path) -> None:
    expected = load_data(f"folder:{pets}").digest
    (pets / "train/a").mkdir()
    (pets / "train/b").mkdir()
    (pets / "train/a/in").symlink_to(pets / "train/b")
    (pets / "train/b/in").symlink_to(pets / "train/a")
    shutil.copytree(pets / "test", pets / "valid")
    (pets / "valid/self").symlink_to(pets / "valid")
    with pytest.raises(DataError, match="no images in class a, b"):
        load_data(f"folder:{pets}")
    shutil.rmtree(pets / "train/a")
    shutil.rmtree(pets / "train/b")
    assert load_data(f"folder:{pets}").digest == expected


@pytest.mark.parametrize("test", ["test/test", "test/images", "test/unknown/deep"])
def test_a_test_folder_without_classes_is_said_and_not_read(
    save_image: SaveImage, tmp_path: Path, test: str
) -> None:
    for name in ("cat", "dog"):
        for index in range(3):
            save_image(f"set/train/train/{name}/{index}.png")
    for index in range(3):
        save_image(f"set/{test}/{index}.png")
    data = load_data(f"folder:{tmp_path / 'set'}")
    assert data.classes == ("cat", "dog")
    assert data.notes[:2] == (
        "test/ is not read (without class folders, 3 images)",
        "no test folder: 2 of 6 images are held out",
    )


@pytest.mark.parametrize("name", ["bird", "Cat"])
def test_one_folder_of_another_name_in_the_test_folder_is_an_error(
    save_image: SaveImage, tmp_path: Path, name: str
) -> None:
    for folder in ("train/cat", "train/dog", f"test/{name}"):
        for index in range(3):
            save_image(f"set/{folder}/{index}.png")
    with pytest.raises(DataError, match=rf"test: .*{name}"):
        load_data(f"folder:{tmp_path / 'set'}")


def test_one_class_in_the_test_folder_is_still_an_error(
    save_image: SaveImage, tmp_path: Path
) -> None:
    for name in ("train/cat", "train/dog", "test/cat"):
        save_image(f"set/{name}/0.png")
    with pytest.raises(DataError, match=r"test: has one class folder \(cat\)"):
        load_data(f"folder:{tmp_path / 'set'}")


def test_folders_of_images_and_of_what_belongs_to_them_are_doubted(
    save_image: SaveImage, tmp_path: Path
) -> None:
    for name in ("Images/cat", "Images/dog", "annotations/trimaps"):
        for index in range(3):
            save_image(f"set/{name}/{index}.png")
    data = load_data(f"folder:{tmp_path / 'set'}")
    remark = "classes Images, annotations are named like parts of one data set, not like classes"
    assert any(note.startswith(remark) for note in data.notes)
