"""A file of one kind that is named as another: the error says which source reads it."""

import gzip
import lzma
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autospace.data.errors import DataError
from autospace.data.load import load_data

IMAGES, LABELS = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8), np.array([0, 1, 0, 1])
IDX = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (4, 8, 8)) + IMAGES.tobytes()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Files and folders of many kinds."""
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    np.save(tmp_path / "one.npy", IMAGES)
    for name in ("mnist", "packed", "cifar", "hundred", "alone", "classes/cat", "classes/dog"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "mnist/train-images-idx3-ubyte").write_bytes(IDX)
    (tmp_path / "packed/train-images-idx3-ubyte.gz").write_bytes(gzip.compress(IDX))
    (tmp_path / "cifar/data_batch_1").write_bytes(b"x")
    for name in ("meta", "train", "test"):
        (tmp_path / "hundred" / name).write_bytes(b"x")
    shutil.copy(tmp_path / "a.npz", tmp_path / "alone/b.npz")
    for name in ("cat", "dog"):
        Image.fromarray(IMAGES[0]).save(tmp_path / f"classes/{name}/0.png")
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        archive.add(tmp_path / "classes", "classes")
    shutil.make_archive(str(tmp_path / "c"), "zip", tmp_path / "classes")
    (tmp_path / "c.tar.gz").write_bytes(gzip.compress((tmp_path / "c.tar").read_bytes()))
    (tmp_path / "c.tar.xz").write_bytes(lzma.compress((tmp_path / "c.tar").read_bytes()))
    for name in ("cifar-10-python.tar.gz", "CIFAR-100-binary.zip", "tars/train-000.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c.rar").write_bytes(b"Rar!" + bytes(100))
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(100))
    (tmp_path / "t.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    return tmp_path


@pytest.mark.parametrize(
    ("named", "right"),
    [
        ("folder:a.npz", "npz:a.npz"),
        ("idx:a.npz", "npz:a.npz"),
        ("a.npz", "npz:a.npz"),
        ("folder:mnist", "idx:mnist"),
        ("npz:mnist/train-images-idx3-ubyte", "idx:mnist"),
        ("mnist", "idx:mnist"),
        ("cifar10:packed", "idx:packed"),
        ("folder:cifar", "cifar10:cifar"),
        ("folder:hundred", "cifar100:hundred"),
        ("folder:alone", "npz:alone/b.npz"),
        ("npz:alone", "npz:alone/b.npz"),
        ("npz:classes", "folder:classes"),
        ("classes", "folder:classes"),
        ("cifar-10-python.tar.gz", "cifar10:cifar-10-python.tar.gz"),
        ("folder:CIFAR-100-binary.zip", "cifar100:CIFAR-100-binary.zip"),
        ("tars", "shards:tars"),
        ("images:classes", None),
    ],
)
def test_the_right_source_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, named: str, right: str | None
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(DataError) as told:
        load_data(named)
    if right is None:
        assert "did you mean" not in str(told.value)
    else:
        assert f"; did you mean {right}?" in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("named", "advice"),
    [
        ("folder:c.zip", "; it is an archive (zip): unpack it, and name the folder"),
        ("idx:c.tar", "; it is an archive (tar): unpack it, and name the folder"),
        ("c.zip", "; it is an archive (zip): unpack it, and name the folder"),
        ("cifar10:c.tar.xz", "; it is packed by xz: unpack it, and name the folder"),
        ("npz:c.rar", "; it is packed by rar: unpack it, and name the folder"),
        ("npz:one.npy", "; it is one array of NumPy: save images and labels together by "),
        ("npz:t.h5", "; it is HDF5: save its images and labels by numpy.savez, as npz:PATH"),
        ("folder:t.parquet", "; it is Parquet: save its images as files in a folder per class"),
        ("shards:c.tar.gz", "; it is packed by gzip: unpack it to a .tar file"),
        ("sentences:t.parquet", "; it is Parquet: save its texts and labels as a .csv file"),
        ("sentences:c.zip", "; it is an archive (zip): unpack it, and name the file"),
        ("folder:classes/cat/0.png", "; it is one image: name the folder of all, as folder:PATH"),
    ],
)
def test_what_no_source_reads_gets_advice(
    place: Path, monkeypatch: pytest.MonkeyPatch, named: str, advice: str
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(DataError) as told:
        load_data(named)
    assert advice in str(told.value)


def test_an_error_of_the_right_source_stays_as_it_is(place: Path) -> None:
    np.savez(place / "bad.npz", a=IMAGES)
    with pytest.raises(DataError) as told:
        load_data(f"npz:{place / 'bad.npz'}")
    assert "did you mean" not in str(told.value)
    assert "; it is " not in str(told.value)


def test_a_shard_that_is_wrong_is_not_to_be_unpacked(place: Path) -> None:
    with pytest.raises(DataError) as told:
        load_data(f"shards:{place / 'c.tar'}")
    assert "; it is " not in str(told.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")
@pytest.mark.parametrize(
    "kind", ["folder", "npz", "idx", "cifar10", "cifar100", "shards", "sentences", "nothing"]
)
def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError) as told:
        load_data(f"{kind}:{tmp_path / 'pipe'}")
    assert "does not exist" not in str(told.value)


def test_texts_and_captions_are_among_the_sources_that_are_offered() -> None:
    with pytest.raises(DataError, match=r"captions\[:key=value,\.\.\.\]\[:PATH\]"):
        load_data("nothing")
    with pytest.raises(DataError, match="did you mean captions"):
        load_data("caption:x")
