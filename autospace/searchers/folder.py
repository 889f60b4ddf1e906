"""The folder of a search: settings, space, checkpoint and result."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from autospace.runs.folder import Document, Folder, WithOps
from autospace.searchers.settings import SearchConfig
from autospace.spaces import Space
from autospace.spaces.checks import MAX_COUNT
from autospace.spaces.files.codec import to_json
from autospace.spaces.files.library import load
from autospace.supernets.interference import InterferencePoint

SPACE: Final = "checkpoint/space.json"
STATE: Final = "search.safetensors"
BEST: Final = "best.json"
RESULT: Final = "result.json"
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Number = Annotated[float, Field(ge=-1e100, le=1e100)]
_Share = Annotated[float, Field(ge=0, le=1)]


class TrajectoryPoint(Document):
    """A new best: after how many steps, evaluations and seconds, with its predicted accuracy."""

    step: _Count
    evaluations: _Count
    seconds: _Number
    score: _Number
    accuracy: _Number | None


class RankedDocument(WithOps):
    """An architecture as the method ranks it.

    Attributes:
        architecture: id of the cell by layer.
        score: what the method ranks by; larger is better, units are the method's own.
        predicted_accuracy: a share; a predictor may exceed 0 to 1; None if the method makes none.
        accuracy: of a finalist, after a short training alone; None for others.
        ops: MAdds and a 64th of the binary operations, rounded up; None where none is binary.
    """

    architecture: dict[str, str]
    score: _Number
    predicted_accuracy: _Number | None
    accuracy: _Share | None
    madds: _Count
    params: _Count
    ops: _Count | None = None


class SearchResult(WithOps):
    """`result.json` of a search.

    Attributes:
        best: id of the cell by layer, of the best finalist.
        accuracy: of the best finalist, on validation images after a short training alone, or that
            of the table in `config`.
        interference: agreement of gradients, if the settings ask for it.
        details: what only this method knows, by name.
        config: the settings; of the images the name alone.
        ops: as of a ranked architecture.
    """

    format: Literal["autospace.search"] = "autospace.search"
    version: Literal[2] = 2
    method: str
    space: str
    best: dict[str, str]
    accuracy: _Share
    madds: _Count
    params: _Count
    evaluations: _Count
    seconds: _Number
    memory_mb: _Count
    trajectory: list[TrajectoryPoint]
    finalists: list[RankedDocument]
    ranked: list[RankedDocument]
    interference: list[InterferencePoint]
    details: dict[str, Any]
    config: SearchConfig
    versions: dict[str, str]
    ops: _Count | None = None


class SearchFolder(Folder[SearchConfig]):
    """A folder that holds one search; finished once `result.json` is there."""

    command: ClassVar[str] = "search"
    settings = SearchConfig
    results: ClassVar[tuple[str, ...]] = (BEST, RESULT)

    @property
    def state_path(self) -> Path:
        """Where the state between two steps is kept."""
        return self.checkpoint / STATE

    @property
    def trials(self) -> Path:
        """Where the evaluations that workers have made are kept until the search asks for them."""
        return self.checkpoint / "trials"

    @property
    def latency_table(self) -> Path:
        """Where the table behind a limit on latency is kept."""
        return self.checkpoint / "latency.json"

    @property
    def space(self) -> Space | None:
        """The space with which the search began, or with which it will; None if neither is there.

        Raises:
            SpaceError: the copy is damaged.
        """
        if self.replacing:
            return None
        kept = [path for path in (self.path / SPACE, self.given) if path.exists()]
        return load(kept[0]) if kept else None

    def settle(self, space: Space, data_digest: str) -> None:
        """Begins the search, or checks that it resumes with the data with which it began.

        Raises:
            RunError: the data is not the same.
        """
        self._begin({SPACE: to_json(space)}, data_digest)

    def load_result(self) -> SearchResult:
        """The result of a finished search.

        Raises:
            CheckpointError: its file is damaged, or of version 1, in which details had no name of
                their own; the message names key, value and what is allowed.
        """
        return self._load_result(SearchResult)
