"""npz files: layouts, types, lies about sizes."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autospace.data.errors import DataError
from autospace.data.load import load_data

LABELS = np.array([0, 1, 0, 1, 0, 1])


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)


def save(folder: Path, **arrays: np.ndarray) -> str:
    np.savez(folder / "set.npz", allow_pickle=True, **arrays)
    return f"npz:{folder / 'set.npz'}"


def save_keras(folder: Path, x: np.ndarray, y: np.ndarray = LABELS) -> str:
    return save(folder, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])


@pytest.mark.parametrize(
    ("shape", "order"),
    [((5, 4), None), ((5, 4, 3), (2, 0, 1)), ((3, 5, 4), (0, 1, 2)), ((1, 5, 4), (0, 1, 2))],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "float16"])
def test_layouts_and_types(
    shape: tuple[int, ...], order: tuple[int, ...] | None, dtype: str, tmp_path: Path
) -> None:
    x = images(*shape)
    stored = x if dtype == "uint8" else (x / 255).astype(dtype)
    data = load_data(save_keras(tmp_path, stored))
    expected = x[:, None] if order is None else x.transpose(0, *(axis + 1 for axis in order))
    assert torch.equal(data.train.images, torch.from_numpy(expected.copy()))
    assert data.train.labels.tolist() == LABELS.tolist()
    assert (data.name, data.classes, len(data.test)) == ("npz:set.npz", ("0", "1"), 2)


def test_images_and_labels_are_split(tmp_path: Path) -> None:
    source = save(tmp_path, images=images(4, 4), labels=LABELS)
    data = load_data(source)
    assert (len(data.train), len(data.test)) == (4, 2)
    assert data.notes == ("no test split: 2 of 6 examples are held out",)
    assert load_data(source, seed=7).digest == data.digest


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64", ">i4"])
def test_labels_may_be_columns_of_any_whole_type(dtype: str, tmp_path: Path) -> None:
    data = load_data(save_keras(tmp_path, images(4, 4), (LABELS[:, None] + 3).astype(dtype)))
    assert data.classes == ("3", "4")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (images(4, 4).astype(int) - 300, LABELS, "whole numbers from -300 to .*; allowed: "),
        (images(4, 4) / 200, LABELS, "allowed: 0 to 1"),
        (np.full((6, 4, 4), np.nan), LABELS, "not finite; allowed: finite ones"),
        (images(4, 4, 4), LABELS, r"\[6, 4, 4, 4\].*1 or 3 channels"),
        (images(4), LABELS, r"\[6, 4\]"),
        (images(4, 4), LABELS / 2, "whole numbers"),
        (images(4, 4), LABELS + np.inf, "whole numbers"),
        (images(4, 4), np.ones((6, 2), int), r"\[6, 2\]; allowed: whole numbers"),
        (images(4, 4), LABELS[:4], "6 images but 4 labels"),
        (images(4, 4), LABELS - 1, "label -1 is out of range"),
        (images(4, 4), LABELS * 0, "the number of classes is 1; allowed: 2 or more"),
        (images(4, 4), np.full(6, 2**64 - 1, np.uint64), "allowed: int64"),
        (images(0, 4), LABELS, "4x0 is out of bounds"),
        (images(4, 4)[:0], LABELS[:0], "holds no images"),
        (np.array([None] * 6), LABELS, r"has the type object; .*allowed: array\.astype"),
        (
            images(4, 4),
            np.array(["a", "b"] * 3, object),
            r"y_train: .*allowed: array\.astype\(str\)",
        ),
        (np.array(["a"] * 6), LABELS, r"has the shape \[6\]"),
        (np.array([["a"] * 4] * 6)[:, None], LABELS, "has the type <U1"),
        (np.zeros((6, 2, 2), np.complex64), LABELS, "has the type complex64"),
    ],
)
def test_other_arrays_are_refused(
    x: np.ndarray, y: np.ndarray, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        load_data(save_keras(tmp_path, x, y))


def test_other_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the keys a, labels; allowed: x_train, y_train"):
        load_data(save(tmp_path, a=LABELS, labels=LABELS))


KEYS = {
    "X_train y_train X_test y_test": "",
    "train_images train_labels test_images test_labels": "",
    "train_images train_labels val_images val_labels": "val_images is the test split",
    "trainX trainy testX testy": "",
    "xtrain ytrain xtest ytest": "",
    "x_tr y_tr x_te y_te": "",
    "train_data train_targets test_data test_targets": "",
    "training_imgs training_label testing_imgs testing_label": "",
    "images_train labels_train images_test labels_test": "",
    "trainimages trainlabels testimages testlabels": "",
}


@pytest.mark.parametrize("keys", KEYS)
def test_keys_as_people_write_them(keys: str, tmp_path: Path) -> None:
    x = images(4, 4)
    names = keys.split()
    arrays = dict(zip(names, (x, LABELS, x[:2], LABELS[:2]), strict=True))
    data = load_data(save(tmp_path, **arrays))
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(x))
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(x[:2]))
    assert KEYS[keys] in data.notes[0] if KEYS[keys] else "training images, too" in data.notes[0]


@pytest.mark.parametrize("keys", ["x y", "X y", "images labels", "data target", "arr_0 arr_1"])
def test_keys_without_a_split(keys: str, tmp_path: Path) -> None:
    x, y = keys.split()
    data = load_data(save(tmp_path, **{x: images(4, 4), y: LABELS}))
    assert data.notes == ("no test split: 2 of 6 examples are held out",)


def test_arrays_that_are_not_read_are_said(tmp_path: Path) -> None:
    x = images(4, 4)
    parts = {f"{split}_{what}": array for split in ("train", "val", "test")
             for what, array in (("images", x), ("labels", LABELS))}  # fmt: skip
    data = load_data(save(tmp_path, mean=x[0] / 1, **parts))
    assert data.notes[0] == "not read: arrays (3): mean, val_images, val_labels"


def test_two_keys_of_one_meaning_are_ambiguous(tmp_path: Path) -> None:
    arrays = {"x_train": images(4, 4), "X_train": images(4, 4), "y_train": LABELS}
    with pytest.raises(DataError, match="keys X_train and x_train mean the same"):
        load_data(save(tmp_path, **arrays))


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64", "float32", "float16", ">i4", "bool"])
def test_bytes_in_any_type_are_what_they_are(dtype: str, tmp_path: Path) -> None:
    x = images(4, 4) // 2
    stored = (x > 60) if dtype == "bool" else x.astype(dtype)
    expected = (x > 60) * np.uint8(255) if dtype == "bool" else x
    data = load_data(save_keras(tmp_path, stored))
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(expected))


def test_deep_arrays_are_scaled_from_the_range_of_all_splits(tmp_path: Path) -> None:
    x = images(4, 4).astype(np.uint16)
    test = x[:2] * 16
    test[0, 0, 0] = 4000
    source = save(tmp_path, x_train=x, y_train=LABELS, x_test=test, y_test=LABELS[:2])
    data = load_data(source)
    assert torch.equal(data.train.images[:, 0], torch.from_numpy((x >> 4).astype(np.uint8)))
    assert data.notes[0] == f"pixels have values from {x.min()} to 4,000, divided by 16"


def test_bytes_stay_as_they_are_beside_a_deeper_split(tmp_path: Path) -> None:
    x = images(4, 4)
    deep = x.astype(np.uint16) * 256
    for train, test in ((x, deep), (deep, x)):
        data = load_data(save(tmp_path, x_train=train, y_train=LABELS, x_test=test, y_test=LABELS))
        assert torch.equal(data.train.images[:, 0], torch.from_numpy(x))
        assert torch.equal(data.test.images[:, 0], torch.from_numpy(x))
        assert data.notes[0].startswith("pixels of the deeper split have values from ")
    source = save(tmp_path, x_train=x, y_train=LABELS, x_test=x - deep.astype(int), y_test=LABELS)
    with pytest.raises(DataError, match=r"x_test: whole numbers from -.*; allowed: "):
        load_data(source)


def test_labels_may_be_floats_names_or_one_hot(tmp_path: Path) -> None:
    x = images(4, 4)
    names = np.array(["dog", "cat"])[LABELS]
    forms = [LABELS.astype(np.float32), LABELS.astype(bool), np.eye(2)[LABELS],
             np.eye(2, dtype=bool)[LABELS], LABELS[:, None] / 1]  # fmt: skip
    for labels in forms:
        data = load_data(save_keras(tmp_path, x, labels))
        assert data.train.labels.tolist() == LABELS.tolist()
        assert data.classes == ("0", "1")
    for labels in (names, names.astype("S3"), names[:, None]):
        data = load_data(save_keras(tmp_path, x, labels))
        assert data.classes == ("cat", "dog")
        assert data.train.labels.tolist() == [1, 0, 1, 0, 1, 0]
    source = save(tmp_path, x_train=x, y_train=names, x_test=x, y_test=np.array(["emu"] * 6))
    with pytest.raises(DataError, match="do not have: emu; allowed: cat, dog"):
        load_data(source)


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters="/\\\0"), max_size=12),
                unique=True, max_size=6))  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_keys_are_read_or_refused(tmp_path: Path, keys: list[str]) -> None:
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for index, key in enumerate(keys):
            buffer = io.BytesIO()
            np.save(buffer, images(4, 4) if index % 2 else LABELS)
            archive.writestr(f"{key}.npy", buffer.getvalue())
    try:
        message = load_data(f"npz:{path}").name
    except DataError as error:
        message = str(error)
    assert message.isprintable()


def npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(2**40, 4, 4), (6, 4, 5), (6, 4, 3), (-6, -4, 4)])
def test_a_header_that_promises_another_size_is_refused(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", npy_header(shape) + bytes(96))
        archive.writestr("labels.npy", npy_header((6,)) + bytes(6))
    with pytest.raises(DataError, match=r"the header promises|cannot be read"):
        load_data(f"npz:{path}")


def test_a_member_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autospace.data.readers.npz.LARGEST_BYTES", 1000)
    with pytest.raises(DataError, match=r"x_train unpacks to \d+ bytes; allowed: at most 1000"):
        load_data(save_keras(tmp_path, images(20, 20)))


@pytest.mark.parametrize("content", [b"", b"PK", b"hello" * 9, b"PK\x05\x06" + bytes(18)])
def test_files_that_are_no_npz_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"set.npz: (is not a valid|cannot be read|has the keys)"):
        load_data(f"npz:{path}")


@given(position=st.integers(0, 1500), noise=st.binary(min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_is_a_data_error_or_harmless(tmp_path: Path, position: int, noise: bytes) -> None:
    source = save_keras(tmp_path, images(3, 3))
    path = tmp_path / "set.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:position] + noise + whole[position + len(noise) :])
    try:
        data = load_data(source)
    except DataError as error:
        message = str(error)
    else:
        message = data.name
    assert message.isprintable()


@given(
    hnp.arrays(
        np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5).map(lambda s: (6, *s[1:]))
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_survive_the_round_trip(tmp_path: Path, x: np.ndarray) -> None:
    data = load_data(save_keras(tmp_path, x))
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(x))


def test_names_in_bytes_that_are_no_text_stay_apart(tmp_path: Path) -> None:
    names = np.array([b"\xff", b"\xfe"] * 3)
    assert load_data(save_keras(tmp_path, images(4, 4), names)).classes == (r"\xfe", r"\xff")


def test_what_is_no_file_is_not_called_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder; allowed: an \.npz file"):
        load_data(f"npz:{tmp_path}")
    with pytest.raises(DataError, match=r"does not exist; allowed: an \.npz file"):
        load_data(f"npz:{tmp_path / 'x.npz'}")
