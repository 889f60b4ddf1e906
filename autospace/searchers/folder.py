"""The folder of a search: settings, the space, checkpoint, results.

What a search has found, for Python programs.
"""

from pathlib import Path
from typing import ClassVar, Final

from autospace.runs.folder import Folder
from autospace.runs.settings import make_settings, read_config
from autospace.searchers.settings import SearchConfig
from autospace.spaces import Space
from autospace.spaces.files.codec import to_json
from autospace.spaces.files.library import load

SPACE: Final = "checkpoint/space.json"
STATE: Final = "search.safetensors"
BEST: Final = "best.json"
RESULT: Final = "result.json"


class SearchFolder(Folder[SearchConfig]):
    """A folder that holds one search; finished once `result.json` is there."""

    command: ClassVar[str] = "search"
    results: ClassVar[tuple[str, ...]] = (BEST, RESULT)

    @property
    def state_path(self) -> Path:
        """Where the state between two steps is kept."""
        return self.checkpoint / STATE

    @property
    def space(self) -> Space | None:
        """The space with which the search began; None before that.

        Raises:
            SpaceError: the copy is damaged.
        """
        path = self.path / SPACE
        return None if self.replacing or not path.is_file() else load(path)

    def settle(self, space: Space, data_digest: str) -> None:
        """Begins the search, or makes sure that it goes on with the data with which it began.

        Raises:
            RunError: the data is not the same.
        """
        self._begin({SPACE: to_json(space)}, data_digest)

    @staticmethod
    def _read_config(path: Path) -> SearchConfig:
        return make_settings(SearchConfig, read_config(path), path=path)
