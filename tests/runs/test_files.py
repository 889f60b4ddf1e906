"""Atomic writes."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autospace.runs.errors import RoomError
from autospace.runs.files import (
    check_room_for,
    is_stream,
    remove_parts,
    write_atomically,
    write_output,
)


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
    (tmp_path / ".mine.part").mkdir()
    remove_parts(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".mine.part", "file"]
    remove_parts(tmp_path, folders=True)
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_text() == "old"


def test_a_read_only_file_system_is_an_error_of_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *_: object, **more: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    # It refuses to remove what is not there, too.
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match="Read-only") as found:
        write_atomically(tmp_path / "file", "text")
    assert found.value.filename == str(tmp_path / "file")


class TestOutput:
    """Files that the user named: what a link leads to, devices and pipes."""

    def test_a_device_is_written_into_and_stays(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Not the real one: a run as root could replace it, to the harm of the whole machine.
        replaced: list[object] = []
        monkeypatch.setattr(os, "replace", lambda *given: replaced.append(given))
        link = tmp_path / "null"
        link.symlink_to(os.devnull)
        for path in (Path(os.devnull), link):
            assert is_stream(path)
            write_output(path, "text")
        assert replaced == []
        assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
        assert link.is_symlink()

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
    def test_a_pipe_gets_the_text(self, tmp_path: Path) -> None:
        pipe, read = tmp_path / "pipe", []
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
        reader.start()
        write_output(pipe, "text")
        reader.join(timeout=10)
        assert read == ["text"]
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    def test_a_link_stays_and_its_target_is_written(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        link, target = tmp_path / "latest", tmp_path / "store" / "file"
        link.symlink_to(target)
        for text in ("new", "newer"):  # the link leads nowhere at first
            write_output(link, text)
            assert (link.is_symlink(), target.read_text()) == (True, text)
        assert os.listdir(tmp_path / "store") == ["file"]

    def test_a_file_keeps_its_permissions(self, tmp_path: Path) -> None:
        path = tmp_path / "private"
        path.write_text("old")
        path.chmod(0o600)
        write_output(path, "new")
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)

    def test_a_private_file_is_never_open_to_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, modes = tmp_path / "private", []
        path.write_text("old")
        path.chmod(0o600)
        sync = os.fsync

        def synced(number: int) -> None:
            modes.append(os.fstat(number).st_mode & 0o777)
            sync(number)

        monkeypatch.setattr(os, "fsync", synced)
        write_output(path, "new")
        assert modes[0] == 0o600

    def test_an_error_has_the_name_that_the_user_gave(self, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "missing" / "file")
        with pytest.raises(OSError, match="No such file") as found:
            write_output(link, "text")
        assert found.value.filename == str(link)


def test_a_link_in_a_run_folder_is_replaced_and_never_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("precious")
    link.symlink_to(victim)
    write_atomically(link, "text")
    assert (victim.read_text(), link.read_text()) == ("precious", "text")
    assert not link.is_symlink()


def test_there_has_to_be_room_for_what_workers_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**30))
    check_room_for(2**30, tmp_path)
    with pytest.raises(
        RoomError, match=r"takes 1\.5 GiB, and 1\.0 GiB are free; allowed: less data, more room"
    ):
        check_room_for(3 * 2**29, tmp_path)


def test_no_room_is_one_line_whatever_the_place_is_called() -> None:
    assert str(RoomError("/tmp/a\nb: full")) == "/tmp/a\\nb: full"
