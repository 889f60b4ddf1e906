"""What other programs, file systems and people do to a run folder."""

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace import api
from autospace.runs.errors import CheckpointError, RunError
from autospace.runs.files import append_line, is_sealed, sealed, write_atomically
from autospace.runs.folder import BEGAN, CONFIG, LOCK
from autospace.runs.state import load_sealed, save_sealed
from autospace.searchers.folder import SearchFolder
from autospace.searchers.settings import SearchConfig
from autospace.spaces import load, load_architecture, to_json
from autospace.spaces.files.reading import parse_json
from autospace.training.folder import TrainingFolder
from autospace.training.settings import TrainConfig
from tests.fuzz.mutations import unsealed
from tests.slow import slowly

AUTOSPACE = [sys.executable, "-c", "from autospace.cli.main import app; app()"]
SPACE = load("mbconv@digits")
QUICK = {"method": "random", "finalists": 1, "evaluations": 1, "trial": {"steps": 1}}


def _searching(path: Path) -> SearchFolder:
    """A search that was created and then killed: it has read no image."""
    config = SearchConfig.model_validate({**QUICK, "data": {"source": "digits", "limit": 200}})
    return SearchFolder.create(path, config, given=to_json(SPACE))


def test_a_search_killed_before_it_began_is_resumed(tmp_path: Path) -> None:
    _searching(tmp_path / "run")
    found = api.search(resume=tmp_path / "run")
    assert found.result.evaluations == 1


def test_a_training_killed_before_it_began_is_resumed(tmp_path: Path) -> None:
    chosen = {
        "data": {"source": "digits", "limit": 200},
        "training": {"epochs": 1},
        "augment": {"crop": 0},
    }
    config = TrainConfig.model_validate(chosen)
    network = load_architecture("reference@digits")
    folder = TrainingFolder.create(tmp_path / "run", config, given=to_json(network))
    assert not folder.begun
    assert api.train(resume=tmp_path / "run").result.epochs == 1


def test_a_process_killed_before_it_wrote_its_settings_leaves_the_place_free(
    tmp_path: Path,
) -> None:
    _searching(tmp_path / "run")
    (tmp_path / "run" / CONFIG).unlink()
    assert _searching(tmp_path / "run").space is not None


def test_a_run_whose_settings_are_gone_is_not_taken_for_free(tmp_path: Path) -> None:
    folder = _searching(tmp_path / "run")
    folder.settle(SPACE, "digest")
    (folder.path / CONFIG).unlink()
    with pytest.raises(RunError, match="is not empty and does not hold a run"):
        _searching(tmp_path / "run")


def test_abandoned_runs_leave_nothing(tmp_path: Path) -> None:
    _searching(tmp_path / "new" / "run").abandon()
    assert os.listdir(tmp_path) == []


def test_a_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim.txt"
    victim.write_text("precious")
    folder = _searching(tmp_path / "run")
    (folder.path / LOCK).symlink_to(victim)
    with pytest.raises(RunError, match=r"\.lock: is a symbolic link"), folder.locked():
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EBADF, errno.ENOTSUP])
def test_folders_that_cannot_be_flushed_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refused.append(descriptor)
            raise OSError(code, os.strerror(code))
        flush(descriptor)

    refused: list[int] = []
    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(tmp_path / "file", "text")
    assert len(refused) == 1
    assert (tmp_path / "file").read_text() == "text"


def test_a_line_that_cannot_be_written_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        append_line(tmp_path / "missing" / "log", "line\n")
    assert caught.value.filename == str(tmp_path / "missing" / "log")


class TestUnchanged:
    """A resumed run has the settings and versions with which it began."""

    @pytest.fixture
    def begun(self, tmp_path: Path) -> SearchFolder:
        folder = _searching(tmp_path / "run")
        folder.settle(SPACE, "digest")
        return folder

    def test_nothing_changed(self, begun: SearchFolder) -> None:
        SearchFolder.open(begun.path).settle(SPACE, "digest")

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ("seed = 0", "seed = 7", "seed is 7, but was 0 when this run began"),
            ("steps = 1\n", "steps = 2\n", "trial.steps is 2, but was 1"),
        ],
    )
    def test_a_changed_setting_is_named(
        self, begun: SearchFolder, old: str, new: str, problem: str
    ) -> None:
        path = begun.path / CONFIG
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(RunError, match=problem):
            SearchFolder.open(begun.path).settle(SPACE, "digest")
        path.write_text(text)
        SearchFolder.open(begun.path).settle(SPACE, "digest")

    def test_another_place_of_the_same_images_is_no_change(self, begun: SearchFolder) -> None:
        path = begun.path / CONFIG
        path.write_text(path.read_text().replace('"digits"', '"npz:elsewhere.npz"'))
        SearchFolder.open(begun.path).settle(SPACE, "digest")

    def test_another_version_is_named(self, begun: SearchFolder) -> None:
        path = begun.checkpoint / BEGAN
        text = path.read_text().replace(torch.__version__.partition("+")[0], "1.0.0")
        path.write_text(sealed(unsealed(text)))
        with pytest.raises(RunError, match=r"began with torch 1\.0\.0\S*, but this is torch"):
            SearchFolder.open(begun.path).settle(SPACE, "digest")

    def test_an_edited_record_is_refused(self, begun: SearchFolder) -> None:
        path = begun.checkpoint / BEGAN
        path.write_text(path.read_text().replace('"seed": 0', '"seed": 7'))
        with pytest.raises(CheckpointError, match=r"began\.json: damaged: is not what was written"):
            SearchFolder.open(begun.path).settle(SPACE, "digest")

    @pytest.mark.parametrize("name", ["space.json", "given.json"])
    def test_a_changed_file_is_named(self, begun: SearchFolder, name: str) -> None:
        path = begun.checkpoint / name
        sound = path.read_text()
        path.write_text(sound.replace("mbconv@digits", "mbconv@digit5", 1))
        with pytest.raises(RunError, match=rf"{name}: is not the file with which this run began"):
            SearchFolder.open(begun.path).settle(SPACE, "digest")
        path.write_text(sound)
        SearchFolder.open(begun.path).settle(SPACE, "digest")

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"versions": 3}', "\xff"])
    def test_a_damaged_record_is_one_line(self, begun: SearchFolder, text: str) -> None:
        (begun.checkpoint / BEGAN).write_text(text)
        with pytest.raises(CheckpointError, match=r"began\.json: "):
            SearchFolder.open(begun.path).settle(SPACE, "digest")


def test_what_was_given_may_not_change_before_the_run_begins(tmp_path: Path) -> None:
    folder = _searching(tmp_path / "run")
    text = folder.given.read_text()
    folder.given.write_text(text.replace("mbconv@digits", "mbconv@digit5", 1))
    with pytest.raises(RunError, match=r"given\.json: is not the file with which this run began"):
        SearchFolder.open(folder.path).settle(SPACE, "digest")


@given(
    value=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), min_size=1),
    place=st.integers(0, 10_000),
    new=st.integers(0, 255),
)
@settings(max_examples=300)
def test_any_changed_byte_of_a_sealed_text_is_noticed(
    value: dict[str, object], place: int, new: int
) -> None:
    text = sealed(json.dumps(value))
    assert is_sealed(text)
    assert json.loads(text) == {**value, "sha256": text[-67:-3]}
    raw = bytearray(text.encode())
    place %= len(raw)
    raw[place] = new
    changed = raw.decode("utf-8", "replace")
    assert is_sealed(changed) == (changed == text)


def test_any_changed_bit_of_a_sealed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state"
    tensors = {"a": torch.arange(3.0), "b": torch.tensor(7), "c": torch.ones(2).bfloat16()}
    save_sealed(path, tensors, {"text": "1"})
    sound = path.read_bytes()
    kept, texts = load_sealed(path, torch.device("cpu"))
    assert {name: value.tolist() for name, value in kept.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }
    assert texts == {"text": "1"}
    save_sealed(tmp_path / "again", tensors, {"text": "1"})
    assert (tmp_path / "again").read_bytes() == sound
    for place in range(len(sound)):
        for bit in (0, 5):
            raw = bytearray(sound)
            raw[place] ^= 1 << bit
            path.write_bytes(raw)
            try:
                found, said = load_sealed(path, torch.device("cpu"))
            except CheckpointError:
                continue
            # White space of the header is all that may differ.
            assert said == texts
            assert all(torch.equal(found[name], kept[name]) for name in kept)


@pytest.mark.skipif(os.name != "posix", reason="there is no shell")
class TestStreams:
    """The program, started with streams closed, or with a limit on the size of files."""

    def shell(self, redirect: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", f"{redirect.format(command=chr(34) + '$@' + chr(34))}", "bash"]
        return subprocess.run(
            [*command, *AUTOSPACE, *arguments], capture_output=True, text=True, check=False
        )

    def test_a_closed_stdout(self) -> None:
        done = self.shell("{command} >&-", "show", "reference@digits")
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_closed_stderr(self) -> None:
        assert self.shell("{command} 2>&-", "show", "nothere").returncode == 2

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
    def test_messages_that_cannot_be_written_change_nothing(self) -> None:
        assert self.shell("{command} 2>/dev/full", "show", "nothere").returncode == 2
        assert self.shell("{command} -v 2>/dev/full", "validate", "mbconv@digits").returncode == 0

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
    @pytest.mark.parametrize(
        "full", ["2>/dev/full", *slowly("2> >(exec true)", "--progress json 2>/dev/full")]
    )
    def test_a_file_is_written_all_the_same(self, full: str, tmp_path: Path) -> None:
        sheet = tmp_path / "sheet.png"  # writes progress, what was read, and the name of the file
        done = self.shell(f"{{command}} {full}", "data", "digits", "--sheet", str(sheet))
        assert (done.returncode, sheet.exists()) == (0, True)

    def test_a_current_folder_that_was_removed(self, tmp_path: Path) -> None:
        gone = tmp_path / "gone"
        gone.mkdir()
        done = self.shell(f"cd {gone}; rmdir {gone}; {{command}}", "train", "reference@digits")
        problem = "the current folder was removed; change into a folder that exists"
        assert (done.returncode, done.stderr) == (2, f"error: {problem}\n")

    def test_a_terminal_without_a_size_is_shown_everything(self) -> None:
        shown = self.shell("COLUMNS=0 {command}", "show", "mbconv@digits").stdout
        assert shown == self.shell("COLUMNS=80 {command}", "show", "mbconv@digits").stdout
        assert "layer_00" in shown

    def test_a_file_that_may_not_grow(self, tmp_path: Path) -> None:
        out = tmp_path / "space.json"
        done = self.shell(
            "ulimit -f 1; {command}", "export", "mbconv@mobile", "--to", "optuna", "--out", str(out)
        )
        assert (done.returncode, out.exists()) == (2, False)
        assert done.stderr.startswith("error: ")
        assert "file too large" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_record_of_a_run_has_names_as_messages_have_them(tmp_path: Path) -> None:
    folder = _searching(tmp_path / "run")
    folder.settle(SPACE, "digest")
    record = parse_json((folder.checkpoint / BEGAN).read_text())
    assert record["settings"]["trial.steps"] == 1
    assert set(record["versions"]) == {"autospace", "torch"}
