"""The run folder: the whole state of a run of evolution on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from autospace.evolution.checkpoint import (
    CheckpointError,
    round_out,
    state_from_json,
    state_to_json,
)
from autospace.evolution.population import Round, State
from autospace.evolution.settings import Config
from autospace.runs.files import write_atomically
from autospace.runs.folder import CHECKPOINT, Folder, RunError
from autospace.runs.settings import load_config
from autospace.spaces.files.codec import read, to_json
from autospace.spaces.files.library import load
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

SPACE: Final = "space.json"
REPORT: Final = "report.html"
STATE: Final = "state.json"
SKELETON: Final = "skeleton.json"

__all__ = ["REPORT", "SPACE", "RunError", "RunFolder"]


class RunFolder(Folder[Config]):
    """A folder that holds one run: `config.toml`, events, checkpoint and, at the end, the space."""

    command = "evolve"
    results = (REPORT, SPACE)

    def settle(self, skeleton: Skeleton, data_digest: str) -> None:
        """Begins the run, or makes sure that it goes on with the data with which it began.

        Raises:
            RunError: the data is not the same.
        """
        self._begin({f"{CHECKPOINT}/{SKELETON}": to_json(skeleton)}, data_digest)

    @property
    def skeleton(self) -> Skeleton | None:
        """The skeleton with which the run began, whatever became of its file since.

        Raises:
            SpaceError: the copy is damaged.
        """
        path = self.checkpoint / SKELETON
        if self.replacing or not path.is_file():
            return None
        found = read(path)
        if not isinstance(found, Skeleton):
            raise CheckpointError(f"{path}: damaged: holds no skeleton")
        return found

    def save_state(self, state: State) -> None:
        """Replaces the checkpoint of evolution."""
        write_atomically(self.checkpoint / STATE, state_to_json(state))

    def load_state(self, skeleton: Skeleton) -> State | None:
        """The checkpoint of evolution, or None before the first round is done.

        Raises:
            CheckpointError: it is damaged.
        """
        path = self.checkpoint / STATE
        if not path.is_file():
            return None
        try:
            return state_from_json(path.read_text("utf-8"), skeleton)
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path}: damaged: not UTF-8 at byte {error.start}") from None
        except CheckpointError as error:
            raise CheckpointError(str(error).replace("checkpoint", str(path), 1)) from None

    def mend_events(self, history: Sequence[Round]) -> None:
        """Makes the log hold one line for every round that the checkpoint knows, and no other."""
        self._mend_events("round", {each.index: round_out(each) for each in history})

    def save_space(self, space: Space) -> Path:
        """Writes the learned space; with it, the run is finished."""
        write_atomically(self.path / SPACE, to_json(space))
        return self.path / SPACE

    def load_space(self) -> Space:
        """The learned space of a finished run.

        Raises:
            SpaceError: its file is damaged.
        """
        return load(self.path / SPACE)

    @staticmethod
    def _read_config(path: Path) -> Config:
        return load_config(path)
