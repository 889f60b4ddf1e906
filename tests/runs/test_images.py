"""The images of an earlier run."""

from pathlib import Path

import pytest

from autospace.runs.errors import ConfigError
from autospace.runs.images import images_of_runs


def _run(path: Path, source: str, extra: str = "") -> Path:
    path.mkdir()
    (path / "config.toml").write_text(
        f'command = "evolve"\nseed = 3\n[data]\nsource = "{source}"\nlimit = 50\n{extra}'
    )
    return path


def test_a_run_is_found_by_its_folder_a_file_in_it_and_a_name_on_it(tmp_path: Path) -> None:
    run = _run(tmp_path / "a", "folder:/images", "resolution = 12\n")
    (run / "space.json").touch()
    expected = ({"source": "folder:/images", "resolution": 12}, str(run))
    for source in (run, str(run), run / "space.json", f"mbconv@{run}", f"mbconv@{run}/space.json"):
        assert images_of_runs([source]) == expected
    assert images_of_runs(["mbconv@digits", run]) == expected


def test_what_is_no_run_has_no_images(tmp_path: Path) -> None:
    (tmp_path / "space.json").touch()
    sources: list[str | Path] = [tmp_path, tmp_path / "space.json", tmp_path / "gone", "x@y", "@"]
    assert images_of_runs(sources) == ({}, "")
    (tmp_path / "config.toml").write_text("not toml")
    assert images_of_runs(sources) == ({}, "")


def test_images_of_a_python_program_are_gone_and_a_table_has_none(tmp_path: Path) -> None:
    for place, source in (("a", "python:0"), ("b", "none")):
        assert images_of_runs([_run(tmp_path / place, source)]) == ({}, "")


def test_two_runs_with_different_images_are_ambiguous(tmp_path: Path) -> None:
    one, two = _run(tmp_path / "a", "digits"), _run(tmp_path / "b", "folder:/x")
    with pytest.raises(ConfigError, match=r"made with digits, .* with folder:/x .* --data"):
        images_of_runs([one, two])
    same = _run(tmp_path / "c", "digits")
    assert images_of_runs([one, same]) == ({"source": "digits"}, str(one))
