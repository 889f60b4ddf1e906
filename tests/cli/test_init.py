"""`autospace init`."""

import json
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from autospace.evolution.settings import (
    NEEDS_DATA,
    PRESETS,
    Config,
    make_config,
    preset,
)
from autospace.runs.settings import read_config
from tests.cli.conftest import Run
from tests.docs.settings_table import meanings, settings


def test_the_next_command_can_be_pasted_whatever_the_name_of_the_file(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "my settings.toml"
    words = shlex.split(run("init", path).out.partition("then: ")[2])
    assert words[:4] == ["autospace", "evolve", "--config", str(path)]


@pytest.mark.parametrize("name", PRESETS)
def test_the_file_holds_every_setting_of_the_preset(run: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine.toml"
    ran = run("init", path, "--preset", name)
    assert (ran.code, ran.err) == (0, "")
    assert f"autospace evolve --config {path}" in ran.out
    found, expected = make_config(read_config(path, "evolve")), make_config(preset(name))
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
    found = read_config(tmp_path / "autospace.toml", "evolve")
    assert make_config(found) == make_config(preset("demo"))


def test_a_file_is_not_overwritten_unless_forced(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    ran = run("init", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"error: {path}: already exists; --force overwrites it\n"
    assert path.read_text() == "precious"
    assert run("init", path, "--force").code == 0
    assert make_config(read_config(path, "evolve")) == make_config(preset("demo"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--preset", "big"], 'preset "big": unknown; allowed: demo'),
        (["/no/such/folder/a.toml"], "there is no folder /no/such/folder"),
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


Golden = Callable[[str, str], None]
MEANINGS = Path(__file__).parents[2] / "autospace" / "evolution" / "meanings.json"
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def _plain(text: str) -> str:
    """A meaning of the page without links and marks."""
    return re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text).replace("`", "")


def test_meanings_are_those_of_the_reference(golden: Golden) -> None:
    found = {
        name: _plain(text) for name, text in meanings(PAGE.read_text("utf-8"), "evolve").items()
    }
    names = {name for name, *_ in settings(Config)}
    assert set(found) == names
    golden(str(MEANINGS), json.dumps(found, indent=1) + "\n")


@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_has_its_meaning_before_it(run: Run, name: str) -> None:
    lines = run("init", "-", "--preset", name).out.splitlines()
    assert max(len(line) for line in lines if line.startswith("# ")) <= 80
    said = json.loads(MEANINGS.read_text("utf-8"))
    text = "\n".join(lines)
    for section in ("evolution", "scoring", "data"):
        part = text.split(f"\n[{section}]\n")[1].split("\n[")[0]
        for dotted, meaning in said.items():
            if dotted.startswith(f"{section}."):
                key = dotted.partition(".")[2]
                before = re.split(rf"(?m)^(?:# )?{key} =", part)[0]
                words = " ".join(before.replace("\n# ", " ").split())
                assert words.endswith(meaning), dotted


def test_what_is_absent_is_a_comment(run: Run) -> None:
    text = run("init", "-").out
    assert "\n# resolution =\n" in text
    assert "\n# latency_table =\n" in text
