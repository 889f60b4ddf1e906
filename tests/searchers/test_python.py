"""The searches of Python programs: the same as those of the command line."""

from pathlib import Path
from typing import Any

import pytest

from autospace.api import RunInterrupted, search
from autospace.progress import Silent
from autospace.runs.errors import ConfigError, RunError
from autospace.spaces import to_json
from autospace.spaces.files.families import family_space
from tests.searchers.problems import SETTINGS, SKELETON

SPACE = family_space("mbconv", SKELETON)
SMALL: dict[str, Any] = {k: v for k, v in SETTINGS.items() if k != "data"}
DATA: str = SETTINGS["data"]["source"]


class Stopping(Silent):
    def tick(self, phase: str, done: int, total: int) -> None:
        if (phase, done) == ("search", 1):
            raise KeyboardInterrupt


def test_a_search_gives_its_best_and_can_be_resumed(tmp_path: Path) -> None:
    whole = search(SPACE, DATA, settings=SMALL, out=tmp_path / "whole")
    assert whole.best.choices == whole.result.best
    assert whole.accuracy == whole.result.accuracy
    assert (whole.folder / "best.json").read_text() == to_json(whole.best)
    parts = tmp_path / "parts"
    with pytest.raises(RunInterrupted) as caught:
        search(SPACE, DATA, settings=SMALL, out=parts, observer=Stopping())
    assert (caught.value.folder, caught.value.resumable) == (parts, True)
    assert search(resume=parts).best == whole.best == search(resume=whole.folder).best


def test_a_space_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(to_json(SPACE))
    found = search(str(path), DATA, settings=SMALL, out=str(tmp_path / "run"))
    assert found.result.space == SPACE.name


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"supernet\.step: unknown setting"):
        search(SPACE, DATA, settings={"supernet": {"step": 3}}, out=run)
    with pytest.raises(ConfigError, match="space: name a space"):
        search(data=DATA, out=run)
    with pytest.raises(ConfigError, match="data: name the images"):
        search(SPACE, settings=SMALL, out=run)
    for options in ({"population size": 3}, {"mutatio": 1}, {"mutation": {"a": 1}}):
        with pytest.raises(ConfigError, match=r"options\."):
            search(SPACE, DATA, method="spos", settings={"options": options}, out=run)
    assert not run.exists()
    search(SPACE, DATA, settings=SMALL, out=run)
    with pytest.raises(RunError, match="already holds a run"):
        search(SPACE, DATA, settings=SMALL, out=run)
    again = search(SPACE, DATA, settings=SMALL, seed=1, out=run, force=True)
    assert again.result.config.seed == 1
    with pytest.raises(ConfigError, match="resume: goes on with the settings of the run"):
        search(resume=run, method="random")
    with pytest.raises(ConfigError, match=r"has its images from synthetic.*allowed: no data"):
        search(resume=run, data=DATA)
    with pytest.raises(RunError, match="no run to resume"):
        search(resume=tmp_path / "nowhere")


def test_a_search_that_is_stopped_while_it_reads_leaves_nothing(tmp_path: Path) -> None:
    class AtOnce(Silent):
        def tick(self, phase: str, done: int, total: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as caught:
        search(SPACE, DATA, settings=SMALL, out=tmp_path / "run", observer=AtOnce())
    assert not caught.value.resumable
    assert not (tmp_path / "run").exists()
