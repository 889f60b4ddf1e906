"""Hostile archives and pickles: nothing is written, run, or allocated beyond bounds."""

import gzip
import io
import os
import pickle
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.data.errors import DataError
from autospace.data.readers import cifar
from autospace.data.readers.cifar import read_members
from autospace.data.readers.safe_pickle import read_pickle
from tests.slow import slowly


class Evil:
    """Runs a command when an ordinary unpickler reads it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


def add(
    target: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes | None = None
) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    if kind is not None:
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0
    target.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_commands_runs_nothing(protocol: int, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    content = pickle.dumps({"data": Evil(f"touch {proof}")}, protocol)
    with pytest.raises(DataError, match=r"system|not allowed"):
        read_pickle("file", content)
    assert not proof.exists()
    pickle.loads(content)
    assert proof.exists()  # so the attack is a real one


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n.",
        b"c_codecs\ndecode\n(S'x'\ntR.",
        b"(S'x'\nios\nsystem\n.",  # INST
        b"\x80\x02cnumpy\ndtype\n)\x81.",  # NEWOBJ
        b"\x80\x02P1\n.",  # PERSID
        b"\x80\x02\x82\x01.",  # EXT1
    ],
)
def test_every_other_name_and_opcode_is_refused(content: bytes) -> None:
    with pytest.raises(DataError, match="not allowed"):
        read_pickle("file", content)


def test_callables_cannot_be_changed_from_inside_a_pickle() -> None:
    change = b"\x80\x02cnumpy\ndtype\n(N}U\x04nameK\x01stb."
    with pytest.raises(DataError, match="not a readable pickle"):
        read_pickle("file", change)
    assert read_pickle("file", pickle.dumps({"a": np.zeros(2, np.uint8)}, 2))["a"].tolist() == [
        0,
        0,
    ]


def test_a_huge_memo_is_refused_before_it_is_allocated() -> None:
    with pytest.raises(DataError, match="steps"):
        read_pickle("file", b"\x80\x02}r\xff\xff\xff\x7f.")


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3),
        np.array([None]),
        np.array(["a"]),
        np.zeros(2, np.int64),
        np.zeros((1,) * 5, "u1"),
    ],
)
def test_arrays_of_other_types_are_refused(value: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"allowed: uint8|shape"):
        read_pickle("file", pickle.dumps({"data": value}, 2))


def test_shapes_must_fit_the_bytes() -> None:
    content = pickle.dumps({"data": np.zeros((5, 7), np.uint8)}, 2)
    assert content.count(b"K\x05K\x07") == 1
    for shape in (b"K\x05K\x08", b"K\x63K\x07"):
        with pytest.raises(DataError, match="shape"):
            read_pickle("file", content.replace(b"K\x05K\x07", shape))
    fortran = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    read = read_pickle("file", pickle.dumps({"data": fortran}, 2))["data"]
    assert read.tolist() == fortran.tolist()


@given(st.binary(max_size=40), st.integers(0, 200))
def test_damaged_pickles_only_raise_data_errors(noise: bytes, position: int) -> None:
    whole = pickle.dumps({"data": np.arange(20, dtype=np.uint8), "labels": [1, 2]}, 2)
    damaged = whole[:position] + noise + whole[position + len(noise) :]
    try:
        read_pickle("file", damaged)
    except DataError as error:
        message = str(error)
    else:
        message = "fine"
    assert message.isprintable()


def test_names_that_climb_out_write_nothing(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    with tarfile.open(inside / "c.tar.gz", "w:gz") as target:
        for name in ("../../escaped", "/tmp/../escaped", "../../wanted"):
            add(target, name, b"content")
        add(target, "link", kind=tarfile.SYMTYPE)
        add(target, "other", kind=tarfile.LNKTYPE)
    before = sorted(tmp_path.rglob("*"))
    found = read_members(inside / "c.tar.gz", ["wanted", "link", "other"])
    assert found == {"wanted": b"content"}
    assert sorted(tmp_path.rglob("*")) == before


def test_large_members_and_endless_archives_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as target:
        add(target, "unwanted", bytes(50_000))
    monkeypatch.setattr(cifar, "LARGEST_MEMBER", 40_000)
    with pytest.raises(DataError, match="unwanted has 50000 bytes; allowed: at most 40000"):
        read_members(tmp_path / "c.tar.gz", ["wanted"])
    monkeypatch.setattr(cifar, "LARGEST_MEMBER", 60_000)
    monkeypatch.setattr(cifar, "LARGEST_ARCHIVE", 40_000)
    with pytest.raises(DataError, match="unpacks to more than the 40000"):
        read_members(tmp_path / "c.tar.gz", ["wanted"])
    (tmp_path / "big").write_bytes(bytes(60_001))
    with pytest.raises(DataError, match="big has 60001 bytes"):
        read_members(tmp_path, ["big"])


@pytest.mark.skipif(os.name != "posix", reason="the peak of memory is measured by resource")
@pytest.mark.parametrize("kind", ["cifar10", *slowly("cifar100")])
def test_a_small_archive_of_zeros_takes_little_memory(kind: str, tmp_path: Path) -> None:
    path, size = tmp_path / "c.tar.gz", 255 * 2**20
    names = [f"data_batch_{number}" for number in range(1, 5)] if kind == "cifar10" else ["train"]
    with gzip.open(path, "wb", compresslevel=1) as packed:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = size
            packed.write(member.tobuf())
            for _ in range(255):
                packed.write(bytes(2**20))
    script = (
        "import resource, sys\n"
        "from autospace.data.errors import DataError\n"
        "from autospace.data.load import load_data\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    load_data(sys.argv[1])\nexcept DataError as error:\n    print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    command = [sys.executable, "-c", script, f"{kind}:{path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    message, mebibytes = done.stdout.splitlines()
    assert f"{names[0]} has {size} bytes; allowed: at most" in message
    assert int(mebibytes) < 100


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", gzip.compress(b"hello"), gzip.compress(bytes(5000))[:-20]],
    ids=["empty", "text", "packed text", "cut off"],
)
def test_files_that_are_no_archive_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.tar.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"c.tar.gz: cannot be read"):
        read_members(path, ["wanted"])


@given(st.integers(0, 400), st.binary(min_size=1, max_size=30))
def test_damaged_zip_archives_only_raise_data_errors(position: int, noise: bytes) -> None:
    import tempfile
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("folder/wanted", b"content" * 20)
        target.writestr("other", b"x")
    whole = buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c.zip")
        path.write_bytes(whole[:position] + noise + whole[position + len(noise) :])
        try:
            found = read_members(path, ["wanted"])
        except DataError:
            found = {}
    assert set(found) <= {"wanted"}


def test_large_members_of_zip_archives_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("wanted", bytes(50_000))
    monkeypatch.setattr(cifar, "LARGEST_MEMBER", 40_000)
    with pytest.raises(DataError, match="wanted has 50000 bytes; allowed: at most 40000"):
        read_members(tmp_path / "c.zip", ["wanted"])


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=30))
def test_damaged_archives_only_raise_data_errors(position: int, noise: bytes) -> None:
    import tempfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
        add(target, "ü" * 120, b"content")
        add(target, "wanted", b"content")
    whole = buffer.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "c.tar")
        path.write_bytes(whole[:position] + noise + whole[position + len(noise) :])
        try:
            found = read_members(path, ["wanted"])
        except DataError:
            found = {}
    assert set(found) <= {"wanted"}
