"""The cache of decoded folders: hit, miss, damage, and full disks."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from autospace.data.examples import DataSet, Examples, make_data_set
from autospace.data.load import load_data
from autospace.data.readers import image_folder, image_opening
from autospace.data.readers.image_folder import cache_key, read_cache, write_cache
from autospace.training.folder import TrainingFolder
from autospace.training.settings import TrainConfig


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "new" / "cache"


def the_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def tiny() -> DataSet:
    train, test = (
        Examples(torch.arange(4, dtype=torch.uint8).view(2, 1, 1, 2), torch.tensor([0, 1]))
        for _ in range(2)
    )
    return make_data_set("folder:x", ("a", "b"), train, test, ("note",))


def same(one: DataSet, other: DataSet) -> bool:
    pairs = ((one.train, other.train), (one.test, other.test))
    return (one.name, one.classes, one.digest, one.notes) == (
        (other.name, other.classes, other.digest, other.notes)
    ) and all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in pairs)


def test_a_hit_is_equal_and_reads_no_image(pets: Path, cache: Path) -> None:
    plain = load_data(f"folder:{pets}", resolution=6)
    fresh = load_data(f"folder:{pets}", resolution=6, cache=cache)
    assert same(fresh, plain)
    # Same size and time, other content: only a reader of the cache does not notice.
    for path in pets.rglob("*.png"):
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    calls: list[tuple[int, int]] = []
    hit = load_data(
        f"folder:{pets}", resolution=6, cache=cache, tick=lambda *call: calls.append(call)
    )
    assert same(hit, plain)
    assert calls == [(0, 1), (1, 1)]


def test_changed_files_and_requests_miss(pets: Path, cache: Path) -> None:
    load_data(f"folder:{pets}", cache=cache)
    load_data(f"folder:{pets}", cache=cache, resolution=4)
    load_data(f"folder:{pets}", cache=cache, channels=1)
    load_data(f"folder:{pets}", cache=cache, limit=4)
    load_data(f"folder:{pets}", cache=cache, limit=4, seed=1)
    load_data(f"folder:{pets}", cache=cache, aspect="crop")
    load_data(f"folder:{pets}", cache=cache, ground="black")
    assert len(list(cache.iterdir())) == 7
    os.utime(pets / "train/cat/0.png", ns=(1, 1))
    load_data(f"folder:{pets}", cache=cache)
    (pets / "train/cat/0.png").unlink()
    assert len(load_data(f"folder:{pets}", cache=cache).train) == 11
    assert len(list(cache.iterdir())) == 9


def test_a_damaged_file_is_rebuilt(pets: Path, cache: Path) -> None:
    expected = load_data(f"folder:{pets}", cache=cache)
    path = the_file(cache)
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"\xff" * 100):
        path.write_bytes(damaged)
        assert same(load_data(f"folder:{pets}", cache=cache), expected)
        assert path.read_bytes() == whole


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_flipped_bit_is_believed(tmp_path: Path, position: float, bit: int) -> None:
    write_cache(tmp_path, "k", tiny())
    path = tmp_path / "k.safetensors"
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 1 << bit
    path.write_bytes(content)
    found = read_cache(tmp_path, "k", "folder:x")
    # Notes are not part of the digest; everything that training sees is.
    assert found is None or (found.digest == tiny().digest and found.classes == ("a", "b"))


def test_what_cannot_be_written_is_a_note(pets: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    data = load_data(f"folder:{pets}", cache=blocked)
    assert len(data.train) == 12
    assert "the cache cannot be written" in data.notes[-1]


def test_no_temporary_file_is_left(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    data = load_data(f"folder:{pets}", cache=cache)
    assert "disk full" in data.notes[-1]
    assert list(cache.iterdir()) == []


def test_a_killed_writer_leaves_what_a_later_run_removes(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from autospace.data.readers import "
        "image_folder; from tests.data.test_cache import tiny\n"
        "image_folder._sync = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "image_folder.write_cache(Path(sys.argv[1]), 'k', tiny())"
    )
    run = tmp_path / "run"
    folder = TrainingFolder.create(run, TrainConfig(), force=False)
    (run / "cache").mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", code, str(run / "cache")], check=False)
    assert done.returncode == -9
    assert len(list((run / "cache").iterdir())) == 1
    with folder.locked():
        assert list((run / "cache").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="needs permissions of POSIX")
def test_it_is_as_readable_as_any_file(pets: Path, cache: Path) -> None:
    load_data(f"folder:{pets}", cache=cache)
    like = cache.parent / "like"
    like.touch()
    assert the_file(cache).stat().st_mode == like.stat().st_mode


@pytest.mark.parametrize("name", ["image_folder._LAYOUT", "image_folder.PIL.__version__"])
def test_what_other_versions_decoded_is_not_read(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    load_data(f"folder:{pets}", cache=cache)
    monkeypatch.setattr(f"autospace.data.readers.{name}", "other")
    load_data(f"folder:{pets}", cache=cache)
    assert len(list(cache.iterdir())) == 2


def test_a_change_of_the_heic_reader_costs_a_reading_and_no_run(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed run compares digests: images that are decoded again have the same."""
    known = []
    for version in ("", "pi_heif 1.3.0", "pi_heif 1.4.0"):
        monkeypatch.setattr(image_folder, "heif_reader", lambda version=version: version)
        known.append(load_data(f"folder:{pets}", cache=cache))
    assert len(list(cache.iterdir())) == 3
    assert same(known[0], known[1])
    assert same(known[1], known[2])


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(8)
NOT_KEPT = "not kept in the cache, because unreadable images may become readable"


def test_a_heic_image_is_read_once_its_reader_is_there(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A telephone's image with the suffix of another format, as servers rename them."""
    path = pets / "train/cat/0.jpg"
    path.write_bytes(HEIC)
    monkeypatch.setattr(image_opening, "_formats", lambda: ("PNG",))
    monkeypatch.setattr(image_folder, "heif_reader", lambda: "")
    before = load_data(f"folder:{pets}", cache=cache)
    assert len(before.train) == 12
    assert NOT_KEPT not in before.notes
    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "decode", None)  # no image is decoded again meanwhile
        assert same(load_data(f"folder:{pets}", cache=cache), before)
    # The reader arrives: its version, and any decoder of the same bytes.
    monkeypatch.setattr(image_folder, "heif_reader", lambda: "pi_heif 1.3.0")
    opened = Image.open

    def open_all(file: str, **options: Any) -> Image.Image:
        return Image.new("RGB", (8, 8), "grey") if file == str(path) else opened(file, **options)

    monkeypatch.setattr(Image, "open", open_all)
    after = load_data(f"folder:{pets}", cache=cache)
    assert len(after.train) == 13
    assert NOT_KEPT not in after.notes
    assert same(load_data(f"folder:{pets}", cache=cache), after)
    assert len(list(cache.iterdir())) == 2


PASSING: dict[str, Exception] = {
    "permission": PermissionError(errno.EACCES, "Permission denied"),
    "disk": OSError(errno.EIO, "Input/output error"),
    "away": FileNotFoundError(errno.ENOENT, "No such file or directory"),
    "files": OSError(errno.EMFILE, "Too many open files"),
    "memory": MemoryError(),
    "memory of a decoder": OSError("out of memory error when reading image file"),
    "decoder": OSError("decoder jpeg2k not available"),
    "module": ImportError("no module"),
}
LASTING: dict[str, Exception] = {
    "truncated": OSError("image file is truncated (3 bytes not processed)"),
    "stream": OSError("broken data stream when reading image file"),
    "place": OSError(errno.EINVAL, "Invalid argument"),
    "value": ValueError("bad marker"),
    "syntax": SyntaxError("not a PNG file"),
}


@pytest.mark.parametrize("name", [*PASSING, *LASTING])
def test_only_what_a_file_itself_causes_is_remembered(
    pets: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    broken, opened = str(pets / "train/cat/0.png"), Image.open

    def fail(file: str, **options: Any) -> Image.Image:
        if file == broken:
            raise (PASSING | LASTING)[name]
        return opened(file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", fail)
        while_it_fails = load_data(f"folder:{pets}", cache=cache)
    later = load_data(f"folder:{pets}", cache=cache)
    assert len(while_it_fails.train) == 11
    assert (NOT_KEPT in while_it_fails.notes) == (name in PASSING)
    assert len(later.train) == (12 if name in PASSING else 11)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user with less rights")
def test_a_file_is_read_once_it_may_be(pets: Path, cache: Path) -> None:
    path = pets / "train/cat/0.png"
    path.chmod(0)
    assert len(load_data(f"folder:{pets}", cache=cache).train) == 11
    path.chmod(0o600)
    assert len(load_data(f"folder:{pets}", cache=cache).train) == 12


def test_a_damaged_file_does_not_cost_the_cache(pets: Path, cache: Path) -> None:
    path = pets / "train/cat/0.png"
    path.write_bytes(path.read_bytes()[:-40])
    found = load_data(f"folder:{pets}", cache=cache)
    assert (len(found.train), len(list(cache.iterdir()))) == (11, 1)
    assert NOT_KEPT not in found.notes


def test_keys_are_digests_of_everything() -> None:
    assert cache_key("a") == cache_key("a") != cache_key("b")
    assert len(cache_key("a")) == 64
