"""`autospace init`."""

import tomllib
from pathlib import Path

import pytest

from autospace.evolution.settings import NEEDS_DATA, PRESETS, load_config, make_config, preset
from tests.cli.conftest import Run


@pytest.mark.parametrize("name", PRESETS)
def test_the_file_holds_every_setting_of_the_preset(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.toml"
    ran = run("init", path, "--preset", name)
    assert (ran.code, ran.err) == (0, "")
    assert f"autospace evolve --config {path}" in ran.out
    found, expected = load_config(path), make_config(preset(name))
    if name in NEEDS_DATA:
        assert found.data.source == NEEDS_DATA[name]
        assert found.data.model_copy(update={"source": "digits"}) == expected.data
        assert found.model_copy(update={"data": expected.data}) == expected
    else:
        assert found == expected


def test_a_dash_is_stdout(run: Run) -> None:
    ran = run("init", "-")
    assert ran.code == 0
    assert make_config(tomllib.loads(ran.out)) == make_config(preset("demo"))


def test_by_default_the_file_is_autospace_toml_here(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init").code == 0
    assert load_config(tmp_path / "autospace.toml") == make_config(preset("demo"))


def test_a_file_is_not_overwritten_unless_forced(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    ran = run("init", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {path}: already exists; --force overwrites it\n"
    assert path.read_text() == "precious"
    assert run("init", path, "--force").code == 0
    assert load_config(path) == make_config(preset("demo"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--preset", "big"], 'preset "big": unknown; allowed: demo'),
        (["/no/such/folder/a.toml"], "No such file or directory"),
        (["/"], "is a folder"),
    ],
)
def test_bad_input_is_one_line(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("init", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert problem in ran.err
    assert len(ran.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
