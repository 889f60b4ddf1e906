"""The run folder: who may write what, and when."""

import errno
import inspect
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from autospace.comparison.folder import ComparisonFolder
from autospace.evolution.folder import RunError, RunFolder, round_out, state_to_json
from autospace.evolution.settings import make_config
from autospace.runs.errors import CheckpointError, ConfigError
from autospace.runs.folder import Folder
from autospace.runs.settings import to_toml
from autospace.searchers.folder import SearchFolder
from autospace.spaces import SpaceError
from autospace.spaces.files.library import load_builtin
from autospace.training.folder import TrainingFolder
from tests.tiny import SKELETON, finish, plan

CONFIG = make_config({"seed": 1})
OTHER = make_config({"seed": 2})
FINAL = finish(plan())


def _begun(path: Path) -> RunFolder:
    folder = RunFolder.create(path, CONFIG)
    folder.settle(SKELETON, "0" * 64)
    return folder


def _finished(path: Path) -> RunFolder:
    folder = _begun(path)
    folder.append_event({"round": 0})
    folder.save_state(FINAL)
    folder.save_space(load_builtin("reference@digits"))
    (path / "report.html").write_text("report")
    (path / "notes.txt").write_text("mine")
    return folder


def _content(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes()
        for each in sorted(path.rglob("*"))
        if each.is_file() and each.name != ".lock"
    }


def test_a_new_run_is_a_folder_with_its_configuration(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    folder = RunFolder.create(path, CONFIG)
    assert os.listdir(path) == ["config.toml"]
    assert (path / "config.toml").read_text() == f'command = "evolve"\n{to_toml(CONFIG)}'
    assert folder.config == CONFIG
    assert not folder.finished
    assert RunFolder.open(path).config == CONFIG


def test_an_empty_folder_and_what_a_killed_start_left_can_be_used(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".0123456789abcdef.part").touch()
    (tmp_path / "cache").mkdir()
    RunFolder.create(tmp_path, CONFIG).settle(SKELETON, "0")
    assert not list(tmp_path.glob(".*.part"))


def test_what_killed_processes_left_in_the_cache_goes_as_soon_as_the_run_is_locked(
    tmp_path: Path,
) -> None:
    folder = RunFolder.create(tmp_path, CONFIG)
    evaluations = tmp_path / "cache" / "evaluations"
    evaluations.mkdir(parents=True)
    (evaluations / "kept.json").touch()
    for place in (evaluations.parent, evaluations):
        (place / ".0123456789abcdef.part").touch()
    with folder.locked():
        found = [each.name for each in evaluations.parent.rglob("*")]
    assert sorted(found) == ["evaluations", "kept.json"]


@pytest.mark.parametrize("force", [False, True])
def test_somebody_elses_files_are_never_touched(tmp_path: Path, force: bool) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(
        RunError, match="is not empty and does not hold a run; choose another folder with --out"
    ):
        RunFolder.create(tmp_path, CONFIG, force=force)
    path = tmp_path / "thesis.tex"
    with pytest.raises(RunError, match="is a file; choose another folder with --out"):
        RunFolder.create(path, CONFIG, force=force)
    assert _content(tmp_path) == {"thesis.tex": b"precious"}


def test_a_run_is_not_overwritten_unless_forced(tmp_path: Path) -> None:
    _finished(tmp_path)
    before = _content(tmp_path)
    with pytest.raises(RunError) as caught:
        RunFolder.create(tmp_path, OTHER)
    assert str(caught.value) == (
        f"{tmp_path}: already holds a run; continue it with --resume {tmp_path} "
        "(resume= in Python), or replace it with --force (force=True in Python)"
    )
    assert _content(tmp_path) == before


def test_force_replaces_what_a_run_writes_and_nothing_else_once_it_begins(tmp_path: Path) -> None:
    _finished(tmp_path)
    before = _content(tmp_path)
    folder = RunFolder.create(tmp_path, OTHER, force=True)
    assert _content(tmp_path) == before
    assert (folder.config, folder.replacing, folder.finished) == (OTHER, True, False)
    assert folder.skeleton is None
    folder.settle(SKELETON, "1" * 64)
    after = _content(tmp_path)
    assert set(after) == {
        "config.toml",
        "notes.txt",
        "checkpoint/began.json",
        "checkpoint/data.sha256",
        "checkpoint/skeleton.json",
        "checkpoint/replaced",
    }
    assert after["config.toml"].decode() == f'command = "evolve"\n{to_toml(OTHER)}'
    assert not folder.replacing


def test_a_run_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "a" / "b", CONFIG)
    with folder.locked():
        folder.cache.mkdir()
        (folder.cache / "images").write_text("x")
        folder.abandon()
    assert os.listdir(tmp_path) == []


def test_a_run_that_cannot_start_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    RunFolder.create(tmp_path / "empty", CONFIG).abandon()
    assert os.listdir(tmp_path / "empty") == []
    _finished(tmp_path / "run")
    before = _content(tmp_path)
    RunFolder.create(tmp_path / "run", OTHER, force=True).abandon()
    RunFolder.open(tmp_path / "run").abandon()
    begun = RunFolder.create(tmp_path / "new", CONFIG)
    (tmp_path / "new" / "notes.txt").write_text("written meanwhile")
    begun.abandon()
    assert _content(tmp_path) == {**before, "new/notes.txt": b"written meanwhile"}


def test_a_run_that_cannot_start_leaves_a_cache_that_was_there(tmp_path: Path) -> None:
    kept = tmp_path / "run" / "cache" / "evaluations"
    kept.mkdir(parents=True)
    (kept / "one.json").write_text("{}")
    before = _content(tmp_path)
    folder = RunFolder.create(tmp_path / "run", CONFIG, given="{}")
    folder.abandon()
    assert _content(tmp_path) == before
    assert not folder.checkpoint.exists()


def test_a_run_that_has_begun_is_not_abandoned(tmp_path: Path) -> None:
    folder = _begun(tmp_path / "run")
    before = _content(tmp_path)
    folder.abandon()
    assert _content(tmp_path) == before


def test_there_is_nothing_to_resume_without_a_configuration(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RunError, match=r"no run to resume, because config.toml is missing"):
            RunFolder.open(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"seed = ", "not TOML"),
        (b"\xff", "not UTF-8"),
        (b"seed = -1", "seed: -1"),
        (b"sneed = 1", "unknown setting"),
    ],
)
def test_a_damaged_configuration_is_one_line_that_names_the_file(
    tmp_path: Path, text: bytes, problem: str
) -> None:
    folder = _begun(tmp_path)
    (tmp_path / "config.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=problem) as caught:
        _ = folder.config
    assert "config.toml" in str(caught.value)
    assert str(caught.value).isprintable()


OTHER_FOLDERS: list[type[Folder[Any]]] = [SearchFolder, ComparisonFolder, TrainingFolder]


@pytest.mark.parametrize("kind", OTHER_FOLDERS)
def test_a_run_belongs_to_the_command_that_its_file_names(
    tmp_path: Path, kind: type[Folder[Any]]
) -> None:
    folder = _begun(tmp_path)
    text = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(text.replace("evolve", kind.command, 1))
    expected = f"holds a run of autospace {kind.command}; resume it with that command"
    with pytest.raises(RunError, match=expected):
        RunFolder.open(tmp_path)
    with pytest.raises(RunError, match="choose another folder with --out"):
        RunFolder.create(tmp_path, CONFIG, force=True)
    with pytest.raises(
        ConfigError, match=f'settings of autospace "{kind.command}"; allowed: those of e'
    ):
        _ = folder.config
    assert kind.open(tmp_path).path == tmp_path


@pytest.mark.parametrize("kind", [RunFolder, *OTHER_FOLDERS])
@pytest.mark.parametrize("text", ["", "seed = 0\n[evolution]\nkeep = 2\n", "{", "command = 1"])
def test_a_folder_without_a_command_is_of_no_version_that_can_resume_it(
    tmp_path: Path, kind: type[Folder[Any]], text: str
) -> None:
    (tmp_path / "config.toml").write_text(text)
    for use in (kind.open, lambda path: kind.create(path, CONFIG, force=True)):
        with pytest.raises(RunError, match=r"written before autospace 0\.1\.0, so that the run"):
            use(tmp_path)
    assert os.listdir(tmp_path) == ["config.toml"]


def test_two_processes_do_not_work_on_one_run(tmp_path: Path) -> None:
    folder = _begun(tmp_path)
    code = (
        "import sys; from pathlib import Path; from autospace.evolution.folder import *\n"
        "try:\n"
        "    with RunFolder(Path(sys.argv[1])).locked(): print('mine')\n"
        "except RunError as error: print(error)"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with folder.locked():
        problem = "another process is working on this run; wait for it or stop it"
        assert other() == f"{tmp_path}: {problem}"
    assert other() == "mine"


def test_the_lock_of_a_killed_process_does_not_stay(tmp_path: Path) -> None:
    folder = _begun(tmp_path)
    code = (
        "import os, sys; from pathlib import Path; from autospace.evolution.folder import *\n"
        "with RunFolder(Path(sys.argv[1])).locked(): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with folder.locked():
        pass


@pytest.mark.skipif(
    "fallback_to_soft" not in inspect.signature(FileLock.__init__).parameters,
    reason="so old a filelock takes every error for a lock that is held",
)
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_can_hold_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    folder = _begun(tmp_path)
    monkeypatch.setattr("fcntl.flock", refuse)
    broken = code == errno.EIO  # a problem of the disk, and no lack of locks
    expected = pytest.raises(OSError, match=os.strerror(code)) if broken else nullcontext()
    with expected, folder.locked():
        pass


def test_one_process_does_not_work_on_a_run_twice_and_the_lock_leaves_the_run_alone(
    tmp_path: Path,
) -> None:
    folder = _begun(tmp_path)
    before = _content(tmp_path)
    with folder.locked():
        again = RunFolder.open(tmp_path).locked()
        with pytest.raises(RunError, match="another process is working on this run"):
            again.__enter__()
    assert _content(tmp_path) == before
    with folder.locked():
        pass


def test_a_run_goes_on_only_with_the_data_with_which_it_began(tmp_path: Path) -> None:
    _begun(tmp_path)
    RunFolder.open(tmp_path).settle(SKELETON, "0" * 64)
    with pytest.raises(RunError) as caught:
        RunFolder.open(tmp_path).settle(SKELETON, "1" * 64)
    problem = (
        "the data has changed since this run began; start a new run with --out (out= in Python)"
    )
    assert str(caught.value) == f"{tmp_path}: {problem}"


def test_the_skeleton_is_kept_whatever_becomes_of_its_file(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path, CONFIG).skeleton is None
    folder = RunFolder.open(tmp_path)
    folder.settle(SKELETON, "0")
    assert RunFolder.open(tmp_path).skeleton == SKELETON
    (folder.checkpoint / "skeleton.json").write_text("{}")
    with pytest.raises(SpaceError, match=r"skeleton\.json"):
        _ = folder.skeleton


def test_a_state_is_saved_and_loaded(tmp_path: Path) -> None:
    folder = _begun(tmp_path)
    assert folder.load_state(SKELETON) is None
    folder.save_state(FINAL)
    assert folder.load_state(SKELETON) == FINAL


def test_an_edited_state_is_refused(tmp_path: Path) -> None:
    folder = _begun(tmp_path)
    folder.save_state(FINAL)
    path = folder.checkpoint / "state.json"
    sound = path.read_text()
    assert '"scored":2' in sound
    for edited in (sound.replace('"scored":2', '"scored":3', 1), state_to_json(FINAL)):
        path.write_text(edited)
        with pytest.raises(CheckpointError, match=r"state\.json: damaged: (is not|has no SHA)"):
            folder.load_state(SKELETON)


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"{}", b"null", b"\x00" * 10])
def test_a_damaged_state_is_one_line_that_names_the_file(tmp_path: Path, raw: bytes) -> None:
    folder = _begun(tmp_path)
    path = folder.checkpoint / "state.json"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError) as caught:
        folder.load_state(SKELETON)
    assert str(caught.value).startswith(f"{path}: damaged: ")
    assert "\n" not in str(caught.value)


def test_the_log_has_one_line_for_every_round_that_the_checkpoint_knows(tmp_path: Path) -> None:
    folder = _begun(tmp_path)
    log = tmp_path / "events.jsonl"
    for index in range(5):
        folder.append_event({"round": index, "seconds": 0.5})
    with log.open("ab") as stream:
        stream.write(
            b'[]\n\xff\n{"round": true}\n{"round": "2"}\n' + b"[" * 9999 + b'\n{"round": 4'
        )
    said: list[str] = []
    folder.mend_events(FINAL.history[:3], said.append)
    assert said == []
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines == [{"round": index, "seconds": 0.5} for index in range(3)]


def test_lost_events_are_written_again_from_the_history(tmp_path: Path) -> None:
    folder = _begun(tmp_path)
    folder.append_event({"round": 1, "seconds": 0.5})
    said: list[str] = []
    folder.mend_events(FINAL.history[:2], said.append)
    repair = "written again with what the checkpoint knows"
    log = tmp_path / "events.jsonl"
    assert said == [f"warning: {log}: lost or damaged: 1 round (0); {repair}"]
    first, second = map(json.loads, log.read_text().splitlines())
    assert first == round_out(FINAL.history[0])
    assert second == {"round": 1, "seconds": 0.5}
    log.unlink()
    folder.mend_events((), said.append)
    assert not log.exists()
    assert len(said) == 1
    folder.mend_events(FINAL.history, said.append)
    rounds = len(FINAL.history)
    assert f": lost or damaged: {rounds} rounds (0, 1, 2, 3, 4, 5, ...); " in said[1]


def test_a_run_is_finished_when_its_space_is_there(tmp_path: Path) -> None:
    folder = _begun(tmp_path)
    space = load_builtin("reference@digits")
    folder.save_space(space)
    assert folder.finished
    assert RunFolder.open(tmp_path).load_space() == space
    (tmp_path / "space.json").write_text("{")
    with pytest.raises(SpaceError, match=r"space\.json: not JSON"):
        folder.load_space()
