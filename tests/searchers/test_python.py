"""The searches of Python programs: the same as those of the command line."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autospace.progress import Silent
from autospace.runs.errors import ConfigError, RunError
from autospace.searchers import resume, search
from autospace.spaces import to_json
from autospace.spaces.files.library import family_space
from tests.searchers.problems import SETTINGS, SKELETON

SPACE = family_space("mbconv", SKELETON)
SMALL: dict[str, Any] = {k: v for k, v in SETTINGS.items() if k != "data"}
DATA = SETTINGS["data"]["source"]


class Stopping(Silent):
    def tick(self, phase: str, done: int, total: int) -> None:
        if (phase, done) == ("search", 1):
            raise KeyboardInterrupt


def test_a_search_gives_its_best_and_can_be_gone_on_with(tmp_path: Path) -> None:
    whole = search(SPACE, DATA, tmp_path / "whole", **SMALL)
    assert whole.best.choices == whole.result.best
    assert whole.accuracy == whole.result.accuracy
    assert (whole.folder / "best.json").read_text() == to_json(whole.best)
    with pytest.raises(KeyboardInterrupt):
        search(SPACE, DATA, tmp_path / "parts", observer=Stopping(), **SMALL)
    assert resume(tmp_path / "parts").best == whole.best == resume(tmp_path / "whole").best


def test_a_space_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(to_json(SPACE))
    found = search(str(path), DATA, str(tmp_path / "run"), **SMALL)
    assert found.result.space == SPACE.name


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"supernet\.step: unknown setting"):
        search(SPACE, DATA, tmp_path / "run", supernet={"step": 3})
    search(SPACE, DATA, tmp_path / "run", **SMALL)
    with pytest.raises(RunError):
        search(SPACE, DATA, tmp_path / "run", **SMALL)
    again = search(SPACE, DATA, tmp_path / "run", force=True, **(SMALL | {"seed": 1}))
    assert again.result.config.seed == 1
    with pytest.raises(RunError):
        resume(tmp_path / "nowhere")


def test_naming_the_functions_loads_nothing_heavy() -> None:
    code = (
        "import sys; from autospace.searchers import resume, search; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"False"
