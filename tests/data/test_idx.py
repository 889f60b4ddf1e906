"""idx files: names, headers, truncation."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autospace.data.errors import DataError
from autospace.data.load import load_data
from autospace.data.readers.idx import read_idx_file


def encode(array: np.ndarray, kind: int = 8) -> bytes:
    header = struct.pack(">BBBB", 0, 0, kind, array.ndim)
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def arrays(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, 5, 4), dtype=np.uint8)
    return images, (np.arange(count) % 3).astype(np.uint8)


def save(folder: Path, prefix: str = "", style: str = "-", packed: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    pack, suffix = (gzip.compress, ".gz") if packed else (bytes, "")
    for split, count in (("train", 9), ("test" if prefix else "t10k", 6)):
        images, labels = arrays(count)
        start = f"{prefix}{split}"
        for name, array in (("images", images), ("labels", labels)):
            path = folder / f"{start}-{name}{style}idx{array.ndim}-ubyte{suffix}"
            path.write_bytes(pack(encode(array)))
    return folder


@pytest.mark.parametrize("style", ["-", "."])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("prefix", ["", "emnist-balanced-"])
def test_all_spellings_are_found(style: str, packed: bool, prefix: str, tmp_path: Path) -> None:
    data = load_data(f"idx:{save(tmp_path / 'mnist', prefix, style, packed)}")
    images, labels = arrays(9)
    assert data.name == "idx:mnist"
    assert data.classes == ("0", "1", "2")
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(images))
    assert data.train.labels.tolist() == labels.tolist()
    assert len(data.test) == 6


def test_one_of_several_variants_is_named_by_its_prefix(tmp_path: Path) -> None:
    save(tmp_path / "e", "emnist-letters-")
    folder = save(tmp_path / "e", "emnist-digits-")
    with pytest.raises(DataError, match=r"several data sets \(emnist-digits, emnist-letters\)"):
        load_data(f"idx:{folder}")
    assert load_data(f"idx:{folder}/emnist-letters").name == "idx:emnist-letters"
    with pytest.raises(DataError, match="neither a folder of idx files nor one of"):
        load_data(f"idx:{folder}/emnist-mnist")


def test_labels_may_start_anywhere_but_must_be_known(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    for name, count in (("train", 9), ("t10k", 6)):
        shifted = arrays(count)[1] + 5
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(encode(shifted))
    data = load_data(f"idx:{folder}")
    assert data.classes == ("5", "6", "7")
    assert data.train.labels[:4].tolist() == [0, 1, 2, 0]
    (folder / "t10k-labels-idx1-ubyte").write_bytes(encode(np.full(6, 9, np.uint8)))
    with pytest.raises(
        DataError, match=r"test labels that the training images do not have: 9; allowed: 5, 6, 7"
    ):
        load_data(f"idx:{folder}")


def test_missing_and_mismatched_files_are_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    (folder / "train-labels-idx1-ubyte").write_bytes(encode(np.zeros(8, np.uint8)))
    with pytest.raises(DataError, match="9 images but 8 labels"):
        load_data(f"idx:{folder}")
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match="lacks test images"):
        load_data(f"idx:{folder}")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing; allowed: 00000803"),
        (b"\x00\x00\x08\x01" + bytes(40), "starts with 00000801"),
        (encode(np.zeros((1, 2, 2), np.int32), 12), "starts with 00000c03"),
        (b"\x00\x00\x08\x03\x00\x00", "header ends after 6 bytes"),
        (encode(np.zeros((2, 3, 3), np.uint8))[:-1], r"promises 18 bytes \(2x3x3\).*has 17"),
        (encode(np.zeros((2, 3, 3), np.uint8)) + b"x", "the file has more"),
        (struct.pack(">4I", 0x803, 2**32 - 1, 28, 28), "GiB"),
        (struct.pack(">4I", 0x803, 10**7, 28, 28), "has 0; it is damaged"),
        (struct.pack(">4I", 0x803, 1, 2**31, 2), "2x2147483648 is out of bounds"),
        (struct.pack(">4I", 0x803, 1, 0, 2), "2x0 is out of bounds"),
    ],
)
def test_bad_files_are_explained(
    content: bytes, message: str, packed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=message):
        read_idx_file(path, 3)


def test_a_broken_gzip_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(encode(arrays(9)[0]))[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        read_idx_file(path, 3)


def into_folders_of_their_name(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(folder / "moved")
        path.mkdir()
        (folder / "moved").rename(path / path.name)


@pytest.mark.parametrize("packed", [True, False])
def test_files_in_folders_of_their_name_are_found(packed: bool, tmp_path: Path) -> None:
    folder = save(tmp_path / "m", packed=packed)
    expected = load_data(f"idx:{folder}").digest
    into_folders_of_their_name(folder)
    assert load_data(f"idx:{folder}").digest == expected


@pytest.mark.parametrize("below", ["raw", "MNIST/raw", "archive/data/set"])
def test_files_below_other_folders_are_found(below: str, tmp_path: Path) -> None:
    expected = load_data(f"idx:{save(tmp_path / 'm')}").digest
    inner = tmp_path / "root" / below
    inner.parent.mkdir(parents=True)
    (tmp_path / "m").rename(inner)
    (tmp_path / "root/processed").mkdir()
    assert load_data(f"idx:{tmp_path / 'root'}").digest == expected


def test_names_may_have_any_case_and_separator(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    expected = load_data(f"idx:{folder}").digest
    for path in list(folder.iterdir()):
        path.rename(folder / path.name.replace("-", "_").upper())
    assert load_data(f"idx:{folder}").digest == expected


def test_labels_of_other_kinds_are_named(tmp_path: Path) -> None:
    folder = save(tmp_path / "q", "qmnist-")
    for split in ("train", "test"):
        (folder / f"qmnist-{split}-labels-idx1-ubyte").unlink()
        path = folder / f"qmnist-{split}-labels-idx2-int.gz"
        path.write_bytes(gzip.compress(encode(np.zeros((9, 8), ">i4"), 12)))
    with pytest.raises(
        DataError, match=r"qmnist-train-labels-idx2-int.gz: labels of 8 columns, .*not supported"
    ):
        load_data(f"idx:{folder}")


def test_a_note_says_that_emnist_lies_on_its_side(tmp_path: Path) -> None:
    data = load_data(f"idx:{save(tmp_path / 'e', 'emnist-letters-')}")
    assert "lying on their side" in data.notes[0]
    assert torch.equal(data.train.images[:, 0], torch.from_numpy(arrays(9)[0]))


@given(st.binary(max_size=60), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_an_array_or_a_data_error(
    tmp_path: Path, content: bytes, magic: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes((b"\x00\x00\x08\x03" if magic else b"") + content)
    try:
        array = read_idx_file(path, 3)
    except DataError:
        return
    assert encode(array) == path.read_bytes()
