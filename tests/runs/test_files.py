"""Atomic writes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autospace.runs.files import remove_parts, write_atomically


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.text() | st.binary())
def test_what_is_written_is_read(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "file"
    try:
        raw = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError:
        return
    write_atomically(path, content)
    assert path.read_bytes() == raw
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: BaseException
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(type(error)):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_write_into_no_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", "text")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_is_as_readable_as_the_user_wants(tmp_path: Path, mask: int, mode: int) -> None:
    path = tmp_path / "file"
    before = os.umask(mask)
    try:
        write_atomically(path, "text")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = {"a" * 200_000, "b" * 100_000}
    write_atomically(path, "a" * 200_000)
    code = (
        "import sys; from pathlib import Path; from autospace.runs.files import write_atomically\n"
        "for _ in range(30):\n"
        "    for text in ('a' * 200_000, 'b' * 100_000):\n"
        "        write_atomically(Path(sys.argv[1]), text)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)]) as writer:
        while writer.poll() is None:
            assert path.read_text() in texts
    assert writer.returncode == 0


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from autospace.runs import files\n"
        "files.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(Path(sys.argv[1]), 'new')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    assert len(os.listdir(tmp_path)) == 2
    remove_parts(tmp_path)
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_a_read_only_file_system_is_an_error_of_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **more: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    # It refuses to remove what is not there, too.
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="Read-only") as found:
        write_atomically(tmp_path / "file", "text")
    assert found.value.filename == str(tmp_path / "file")


needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")


@needs_pipes
@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, linked: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    named = tmp_path / "pipe"
    if linked:
        named = tmp_path / "link"
        named.symlink_to("pipe")
    with pytest.raises(OSError, match=f"Not a regular file: '{named}'"):
        write_atomically(named, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert named.is_symlink() == linked
    assert not list(tmp_path.glob(".*"))


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, "text")


@pytest.mark.parametrize("there", [False, True])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path, there: bool) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "file", tmp_path / "link"
    if there:
        target.write_text("old")
    link.symlink_to(Path("far") / "file")
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["far", "link"]
    assert os.listdir(tmp_path / "far") == ["file"]
