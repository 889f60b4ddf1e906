"""Comparisons of about a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.settings import CompareConfig
from autospace.progress import Silent
from autospace.runs.settings import make_settings
from autospace.spaces import mbconv, to_json
from tests.comparison.setups import CHEAP, space

DATA = "synthetic:classes=3,train=60,test=40"

Start = Callable[..., ComparisonFolder]


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Two files of overlapping spaces."""
    paths = []
    for name, cells in (("one", CHEAP), ("two", [*CHEAP[2:], mbconv(3, 1, se=True)])):
        path = tmp_path / f"{name}.json"
        path.write_text(to_json(space(cells, name)))
        paths.append(str(path))
    return paths


@pytest.fixture
def start(tmp_path: Path, sources: list[str]) -> Start:
    """Creates a comparison; settings override those of a short one."""

    def create(name: str = "out", force: bool = False, **changes: Any) -> ComparisonFolder:
        settings: dict[str, Any] = {
            "device": "cpu",
            "spaces": sources,
            "sampling": {"samples": 4},
            "data": {"source": DATA},
            "evaluator": {"steps": 2, "batch": 8},
        }
        config = make_settings(CompareConfig, settings, changes)
        return ComparisonFolder.create(tmp_path / name, config, force=force)

    return create


class Listener(Silent):
    """An observer that remembers, and stops at a given tick."""

    def __init__(self, stop: int | None = None) -> None:
        self.messages: list[str] = []
        self.ticks: list[tuple[str, int, int]] = []
        self._stop = stop

    def message(self, text: str) -> None:
        self.messages.append(text)

    def tick(self, phase: str, done: int, total: int) -> None:
        self.ticks.append((phase, done, total))
        if len(self.ticks) == self._stop:
            raise KeyboardInterrupt
