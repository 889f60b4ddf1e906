"""The folder of a comparison: settings, spaces, evaluations, and finally the result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autospace.comparison.settings import CompareConfig
from autospace.runs.folder import CHECKPOINT, Folder
from autospace.spaces.files.codec import to_json
from autospace.spaces.files.library import load
from autospace.spaces.space import Space

RESULT: Final = "comparison.json"
REPORT: Final = "report.html"
EVALUATIONS: Final = "evaluations"


class ComparisonFolder(Folder[CompareConfig]):
    """A folder that holds one comparison; finished once `comparison.json` is there.

    Evaluations outlive a replacement: what they were made of decides whether they count.
    """

    command = "compare"
    settings = CompareConfig
    results = (REPORT, RESULT)

    @property
    def store(self) -> Path:
        """Where evaluations, decoded images and the weights of a supernet are kept.

        Other comparisons may use the same: it is never removed.
        """
        chosen = self.config.cache
        return Path(chosen) if chosen else self.cache

    @property
    def evaluations(self) -> Path:
        """Where evaluations are kept."""
        return self.store / EVALUATIONS

    @property
    def result(self) -> Path:
        """Where the result is, or will be."""
        return self.path / RESULT

    def settle(self, spaces: Sequence[Space], data_digest: str) -> None:
        """Begins the comparison, or checks that it resumes with the images with which it began.

        Raises:
            RunError: the data is not the same.
        """
        files = {_copy(place): to_json(space) for place, space in enumerate(spaces)}
        self._begin(files, data_digest)

    def spaces(self) -> list[Space] | None:
        """The spaces as they were when the comparison began, even if their files changed since.

        Returns:
            None before it began.

        Raises:
            SpaceError: a copy is damaged.
        """
        paths = [self.path / _copy(place) for place in range(len(self.config.spaces))]
        if self.replacing or not all(path.exists() for path in paths):
            return None
        return [load(path) for path in paths]


def _copy(place: int) -> str:
    return f"{CHECKPOINT}/space_{place:02d}.json"
