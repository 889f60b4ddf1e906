"""Many images lie in a mapped file; whatever is made of them equals what is made in memory."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autospace.data import storage
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.errors import DataError
from autospace.data.examples import DataSet, Examples
from autospace.data.load import load_data
from autospace.data.splits import divide
from tests.data.conftest import SaveImage


@pytest.fixture
def pets(save_image: SaveImage) -> Path:
    """Three classes, one image of which is unreadable."""
    for name in ("cat", "dog", "fox"):
        for split, count in (("train", 9), ("test", 4)):
            for index in range(count):
                image = save_image(f"pets/{split}/{name}/{index}.png")
    root = image.parents[2]
    (root / "train/cat/3.png").write_bytes(b"no image")
    return root


def _read(pets: Path, cache: Path | None) -> DataSet:
    return load_data(f"folder:{pets}", cache=cache)


@pytest.fixture
def both(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DataSet, DataSet]:
    """The images in memory, and in a file."""
    small = _read(pets, None)
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    return small, _read(pets, tmp_path / "cache")


def _equal(first: Examples, second: Examples) -> bool:
    return torch.equal(first.images, second.images) and torch.equal(first.labels, second.labels)


def test_what_was_read_is_the_same(both: tuple[DataSet, DataSet]) -> None:
    small, large = both
    assert small.digest == large.digest
    assert small.notes == large.notes
    assert _equal(small.train, large.train)
    assert _equal(small.test, large.test)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_a_second_reading_decodes_nothing_and_maps_the_file(
    both: tuple[DataSet, DataSet], pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded again")

    # The first reading, too: otherwise there would be two copies as long as it runs.
    (file,) = (tmp_path / "cache").glob("*.safetensors")
    assert str(file) in Path("/proc/self/maps").read_text()
    monkeypatch.setattr("autospace.data.readers.image_folder.decode", never)
    again = _read(pets, tmp_path / "cache")
    assert again.digest == both[0].digest
    assert str(file) in Path("/proc/self/maps").read_text()


def test_without_a_cache_nothing_is_left(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert len(_read(pets, None).train) == 26
    assert not list(place.iterdir())


def test_parts_share_the_images(both: tuple[DataSet, DataSet]) -> None:
    small, large = both
    for seed in range(3):
        pairs = [divide(each.train, 0.4, seed) for each in (small, large)]
        for alone, shared in zip(*pairs, strict=True):
            assert _equal(alone, shared)
            assert shared.store is large.train.store
            # Of all that lies in memory: `take` itself makes parts of either.
            taken = shared.take([3, 0, 0])
            assert torch.equal(taken.images, alone.images[[3, 0, 0]])
            assert taken.labels.tolist() == alone.labels[[3, 0, 0]].tolist()
            assert torch.equal(taken.take([1, 0]).images, alone.images[[0, 3]])


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_of_parts_are_the_same(
    both: tuple[DataSet, DataSet], *, channels_last: bool
) -> None:
    made = []
    for each in both:
        part, _ = divide(each.train, 0.4, 1)
        norm = Normaliser.from_examples(part)
        made.append(Batches(part, 4, 5, "cpu", norm, Augment(crop=2), channels_last))
    assert len(made[0]) == len(made[1])
    assert made[0].size == made[1].size
    packed = []
    for batches in made:
        tensors, plain = batches.packed()
        if plain["mapped"]:
            file, entry = plain["mapped"]
            tensors["pixels"] = storage.Mapped(Path(file), entry).pixels
        packed.append(Batches.unpacked(tensors, plain))
    for step in range(9):
        one, *others = (each.batch(step) for each in (*made, *packed))
        for other in others:
            assert all(map(torch.equal, one, other))
    for one, other in zip(*(each.evaluation_batches() for each in made), strict=True):
        assert all(map(torch.equal, one, other))


def test_batches_of_all_parts_share_one_copy_of_the_pixels(
    both: tuple[DataSet, DataSet], tmp_path: Path
) -> None:
    parts = divide(both[1].train, 0.4, 1)
    norm = Normaliser.from_examples(parts[0])
    first, second = (Batches(part, 4, 5, "cpu", norm) for part in parts)
    assert first._pixels.data_ptr() == second._pixels.data_ptr()
    # Workers map the file, too.
    (file,) = (tmp_path / "cache").glob("*.safetensors")
    assert (
        first.packed()[1]["mapped"] == second.packed()[1]["mapped"] == [str(file), "train.images"]
    )
    assert "pixels" not in first.packed()[0]


def test_other_channels_than_those_of_the_file_are_packed(both: tuple[DataSet, DataSet]) -> None:
    train = both[1].train
    norm = Normaliser.from_examples(train)
    found, plain = Batches(train, 4, 5, "cpu", norm, channels_last=False).packed()
    assert plain["mapped"] is None
    assert torch.equal(found["pixels"], train.images)


def test_statistics_are_exact_however_the_images_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = torch.randint(256, (50, 3, 5, 7), generator=torch.Generator().manual_seed(1))
    split = Examples(images.byte(), torch.zeros(50, dtype=torch.int64))
    whole = Normaliser.from_examples(split)
    monkeypatch.setattr("autospace.data.examples._PART_BYTES", 300)
    assert Normaliser.from_examples(split) == whole
    exact = images.double().transpose(0, 1).reshape(3, -1)
    torch.testing.assert_close(torch.tensor(whole.mean).double(), exact.mean(1), rtol=1e-6, atol=0)


def test_a_place_that_cannot_be_written_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    file = tmp_path / "file"
    file.touch()
    found = storage.zeros("images", (4, 2, 2, 3), file)
    assert found.shape == (4, 2, 2, 3)
    assert not found.any()
    found[1] = 7
    assert found.sum() == 7 * 12


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs POSIX")
def test_a_disk_that_is_full_is_an_error_before_images_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written to a mapped file, a byte without room would end the process by a signal.
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    taken: list[int] = []

    def full(file: int, start: int, size: int) -> None:
        taken.append(start + size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="images cannot be kept there: no space left"):
        storage.zeros("images", (4, 2, 2, 3), None)
    assert taken == [48]


def test_there_has_to_be_room_for_two_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    usage = shutil.disk_usage(tmp_path)
    for free, enough in ((96, True), (95, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        if enough:
            assert storage.zeros("images", (4, 2, 2, 3), tmp_path).nbytes == 48
            continue
        with pytest.raises(DataError, match=r"4x2x2x3 images take .* twice in all"):
            storage.zeros("images", (4, 2, 2, 3), tmp_path)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs POSIX")
def test_room_is_taken_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "IN_MEMORY", 0)

    def unable(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", unable)
    assert storage.zeros("images", (4, 2, 2, 3), tmp_path).sum() == 0


_WORK = """
import threading
from pathlib import Path

import torch

from autospace.data import storage
from autospace.data.batches import Batches, Normaliser
from autospace.data.doubts import doubts
from autospace.data.examples import Examples, content_digest
from autospace.data.splits import divide


def own() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("RssAnon")) * 1024


before = most = own()
done = threading.Event()


def watch() -> None:
    global most
    while not done.wait(0.01):
        most = max(most, own())


threading.Thread(target=watch).start()
count = 15_000
pixels = torch.from_numpy(storage.zeros("images", (count, 224, 224, 3), None))
labels = torch.arange(count) % 2
train = Examples(pixels.permute(0, 3, 1, 2), labels)
content_digest(("a", "b"), train, train.take(range(4)))
doubts(("a", "b"), train, train.take(range(4)))
first, second = divide(train, 0.5, 0)
norm = Normaliser.from_examples(first)
for part in (first, second):
    batches = Batches(part, 32, 0, "cpu", norm)
    for step in range(9):
        batches.batch(step)
done.set()
print(pixels.nbytes, most - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_images() -> None:
    done = subprocess.run([sys.executable, "-c", _WORK], capture_output=True, check=True, text=True)
    images, memory = map(int, done.stdout.split())
    assert images > 2 * 2**30
    assert memory < images / 3
