"""The command line in a fixed terminal, and files for it to read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autospace.cli.main import app
from autospace.spaces import to_json
from tests.cli.samples import drawn_architecture, learned_space


class Ran:
    """What a command left: its exit code and both streams."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*arguments: object, columns: int = 80) -> Ran:
        monkeypatch.setenv("COLUMNS", str(columns))
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return call


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "space.json"
    path.write_text(to_json(learned_space()), encoding="utf-8")
    return path


@pytest.fixture
def architecture_file(tmp_path: Path) -> Path:
    path = tmp_path / "net.json"
    path.write_text(to_json(drawn_architecture()), encoding="utf-8")
    return path
