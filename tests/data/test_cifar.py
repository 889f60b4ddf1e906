"""CIFAR archives, built here in all layouts, with pickles as Python 2 and Python 3 write them."""

import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from autospace.data.errors import DataError
from autospace.data.load import load_data
from autospace.data.readers.safe_pickle import read_pickle

NAMES = [f"class{index}" for index in range(10)]


def py2_string(text: bytes) -> bytes:
    return b"U" + bytes([len(text)]) + text


def py2_batch(pixels: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes of Python 2's cPickle, protocol 2, as in the archive that is for download."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01"
        + b"M" + struct.pack("<H", len(pixels)) + b"M" + struct.pack("<H", 3072) + b"\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        + b"K\x00tb\x89T" + struct.pack("<I", pixels.size) + pixels.tobytes() + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items = py2_string(b"data") + array + py2_string(b"labels") + numbers
    return b"\x80\x02}(" + items + py2_string(b"batch_label") + py2_string(b"one") + b"u."


def py2_meta() -> bytes:
    """Protocol 0, text."""
    names = b"".join(f"S'{name}'\na".encode() for name in NAMES)
    return b"(dp1\nS'num_vis'\np2\nI3072\nsS'label_names'\np3\n(lp4\n" + names + b"s."


class Content:
    """Random images, and the same in every layout."""

    def __init__(self, per_batch: int = 4) -> None:
        random = np.random.default_rng(0)
        names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
        self.batches = {
            name: (
                random.integers(0, 256, (per_batch, 3072), dtype=np.uint8),
                [int(label) for label in random.permutation(10)[:per_batch]],
            )
            for name in names
        }

    def py2(self) -> dict[str, bytes]:
        files = {name: py2_batch(*batch) for name, batch in self.batches.items()}
        return files | {"batches.meta": py2_meta()}

    def py3(self, protocol: int) -> dict[str, bytes]:
        files = {
            name: pickle.dumps({"data": pixels, "labels": labels}, protocol)
            for name, (pixels, labels) in self.batches.items()
        }
        return files | {"batches.meta": pickle.dumps({"label_names": NAMES}, protocol)}

    def binary(self) -> dict[str, bytes]:
        files = {
            f"{name}.bin": np.column_stack([np.array(labels, np.uint8), pixels]).tobytes()
            for name, (pixels, labels) in self.batches.items()
        }
        return files | {"batches.meta.txt": "\n".join([*NAMES, "", ""]).encode()}

    def check(self, source: str) -> None:
        data = load_data(source)
        assert data.classes == tuple(NAMES)
        pixels = np.concatenate([pixels for pixels, _ in self.batches.values()])
        labels = [label for _, labels in self.batches.values() for label in labels]
        images = torch.cat([data.train.images, data.test.images])
        assert torch.equal(images, torch.from_numpy(pixels.reshape(-1, 3, 32, 32)))
        assert [*data.train.labels.tolist(), *data.test.labels.tolist()] == labels


def save_archive(path: Path, files: Mapping[str, bytes], folder: str = "cifar-10/") -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(folder + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def save_zip(path: Path, files: Mapping[str, bytes], folder: str = "cifar-10/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(folder + name, content)
    return path


@pytest.fixture(scope="module")
def content() -> Content:
    return Content()


@pytest.mark.parametrize("layout", ["py2", "py3-2", "py3-3", "py3-4", "py3-5", "binary"])
@pytest.mark.parametrize("form", ["tar.gz", "tar", "zip", "folder", "above"])
def test_every_layout_gives_the_same(
    content: Content, layout: str, form: str, tmp_path: Path
) -> None:
    if layout.startswith("py3"):
        files = content.py3(int(layout[-1]))
    else:
        files = content.py2() if layout == "py2" else content.binary()
    if form in ("tar.gz", "tar"):
        path = save_archive(tmp_path / f"c.{form}", files)
    elif form == "zip":
        path = save_zip(tmp_path / "c.zip", files)
    else:
        path = tmp_path if form == "folder" else tmp_path / "below"
        path.mkdir(exist_ok=True)
        for name, data in files.items():
            (path / name).write_bytes(data)
    content.check(f"cifar10:{tmp_path if form == 'above' else path}")


def cifar100_files(layout: str, labels: list[int]) -> tuple[dict[str, bytes], np.ndarray]:
    pixels = np.random.default_rng(1).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    names = [f"fine{index}" for index in range(100)]
    if layout == "binary":
        columns = np.column_stack([np.zeros(len(labels)), labels, pixels]).astype(np.uint8)
        text = "\n".join(names).encode()
        files = {"train.bin": columns.tobytes(), "test.bin": columns.tobytes()}
        return files | {"fine_label_names.txt": text}, pixels
    batch = {"data": pixels, "fine_labels": labels, "coarse_labels": [0] * len(labels)}
    content = pickle.dumps(batch, 2)
    meta = pickle.dumps({"fine_label_names": names, "coarse_label_names": ["all"]}, 2)
    return {"train": content, "test": content, "meta": meta}, pixels


@pytest.mark.parametrize("layout", ["python", "binary"])
def test_cifar100_has_its_fine_labels(layout: str, tmp_path: Path) -> None:
    files, pixels = cifar100_files(layout, [99, 0, 42])
    data = load_data(f"cifar100:{save_archive(tmp_path / 'c.tar.gz', files)}")
    assert data.name == "cifar100"
    assert data.classes[42] == "fine42"
    assert data.train.labels.tolist() == [99, 0, 42]
    assert torch.equal(data.train.images.flatten(1), torch.from_numpy(pixels))


@pytest.mark.parametrize("layout", ["python", "binary"])
def test_the_other_cifar_is_recognised(content: Content, layout: str, tmp_path: Path) -> None:
    files = cifar100_files(layout, [99, 0, 42])[0]
    path = save_archive(tmp_path / "100.tar.gz", files)
    with pytest.raises(DataError, match=rf"this is CIFAR-100; write cifar100:{path}"):
        load_data(f"cifar10:{path}")
    other = save_zip(tmp_path / "10.zip", content.py2() if layout == "python" else content.binary())
    with pytest.raises(DataError, match=rf"this is CIFAR-10; write cifar10:{other}"):
        load_data(f"cifar100:{other}")
    empty = save_zip(tmp_path / "empty.zip", {"readme": b""})
    with pytest.raises(DataError, match=r"lacks data_batch_1, data_batch_2, .*the official"):
        load_data(f"cifar10:{empty}")


def test_a_numpy_array_of_protocol_5_is_checked_like_others() -> None:
    whole = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for array in (whole, np.asfortranarray(whole), whole[:, 1:]):
        found = read_pickle("file", pickle.dumps({"data": array}, 5))["data"]
        assert found.tolist() == array.tolist()
    for wrong in (whole.astype(np.int64), np.array([None, 1])):
        with pytest.raises(DataError, match="allowed"):
            read_pickle("file", pickle.dumps({"data": wrong}, 5))


def test_limit_resolution_and_channels(content: Content, tmp_path: Path) -> None:
    path = save_archive(tmp_path / "c.tar.gz", content.binary())
    with pytest.raises(DataError, match="limit 3 is below"):
        load_data(f"cifar10:{path}", limit=3)
    data = load_data(f"cifar10:{path}", limit=12, resolution=16, channels=1)
    assert data.train.images.shape == (12, 1, 16, 16)
    assert data.notes == ("resized 16 images to 16x16",)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("data_batch_3", None, "lacks data_batch_3"),
        ("data_batch_3", b"", "data_batch_3: is not a readable pickle"),
        ("data_batch_3", pickle.dumps([1]), "holds a list"),
        ("data_batch_3", pickle.dumps({"labels": [1]}, 2), "no array 'data'"),
        (
            "data_batch_3",
            py2_batch(np.zeros((2, 3072), np.uint8), [1]),
            "data_batch_3: 2 images but 1 labels",
        ),
        ("data_batch_3", py2_batch(np.zeros((1, 3072), np.uint8), [10]), "label 10 is out of"),
        ("data_batch_3", py2_batch(np.zeros((1, 3072), np.uint8), [1])[:-99], "not a readable"),
        (
            "batches.meta",
            pickle.dumps({"label_names": ["a", "b"]}, 2),
            "2 class names; allowed: 10",
        ),
        ("batches.meta", pickle.dumps({"label_names": 3}, 2), "no list 'label_names'"),
    ],
)
def test_damaged_python_files_are_named(
    content: Content, name: str, damage: bytes | None, message: str, tmp_path: Path
) -> None:
    files = content.py2()
    del files[name]
    if damage is not None:
        files[name] = damage
    with pytest.raises(DataError, match=message):
        load_data(f"cifar10:{save_archive(tmp_path / 'c.tar.gz', files)}")


def test_damaged_binary_files_are_named(content: Content, tmp_path: Path) -> None:
    files = content.binary()
    files["data_batch_2.bin"] = files["data_batch_2.bin"][:-1]
    with pytest.raises(
        DataError, match=r"data_batch_2.bin has 12291 bytes; allowed: a multiple of 3073"
    ):
        load_data(f"cifar10:{save_archive(tmp_path / 'c.tar', files)}")
    files["data_batch_2.bin"] = b"\x0b" + bytes(3072)
    with pytest.raises(DataError, match="label 11 is out of range"):
        load_data(f"cifar10:{save_archive(tmp_path / 'd.tar', files)}")
