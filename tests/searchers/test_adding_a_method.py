"""The method of docs/develop/search-methods.md: it runs, resumes, and beats random search."""

from pathlib import Path

import pytest

from autospace.api import search
from autospace.searchers.make import METHODS
from autospace.spaces.files.families import family_space
from tests.docs.pages import ROOT, Page
from tests.searchers.planted import mean_share
from tests.searchers.problems import SETTINGS, SKELETON

PAGE = ROOT / "docs" / "develop" / "search-methods.md"


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> str:
    """The example, under a name."""
    (block,) = (each for each in Page.of(PAGE).blocks if each.language == "python")
    names: dict[str, type] = {"__name__": str}
    exec(block.text, names)
    monkeypatch.setitem(METHODS, "hill-climbing", names["HillClimbing"])
    return "hill-climbing"


def test_the_example_searches_and_resumes(method: str, tmp_path: Path) -> None:
    space, folder = family_space("mbconv", SKELETON), tmp_path / "run"
    found = search(space, method=method, settings=SETTINGS, out=folder)
    assert 2 <= found.result.evaluations <= 4
    assert search(resume=folder) == found


def test_the_example_beats_random_search(method: str) -> None:
    assert mean_share(method, 20, 16) > mean_share("random", 40, 16) + 0.05
