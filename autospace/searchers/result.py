"""What a search has found, for Python programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospace.searchers.folder import BEST, SearchFolder
from autospace.searchers.search import Observer, Silent, run_search
from autospace.spaces import Architecture, Space, load_architecture


@dataclass(frozen=True, slots=True)
class Found:
    """A finished search.

    Attributes:
        best: the architecture that was best of the finalists.
        accuracy: its accuracy on validation images after a short training alone, from 0 to 1.
        result: all that `result.json` holds.
        folder: where the search lies.
    """

    best: Architecture
    accuracy: float
    result: dict[str, Any]
    folder: Path


def found_in(folder: SearchFolder, space: Space | None, observer: Observer | None) -> Found:
    """Runs, or goes on with, the search in a folder; see `run_search`."""
    result = run_search(folder, space, observer or Silent())
    best = load_architecture(folder.path / BEST)
    return Found(best, result["accuracy"], result, folder.path)
