"""Scripts of benchmarks/ as modules."""

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.evolution.runs import ROOT

SCRIPTS = ROOT / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports a script as it is run: with its siblings beside it."""
    monkeypatch.syspath_prepend(SCRIPTS)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if name.startswith("results"):
            del sys.modules[name]
