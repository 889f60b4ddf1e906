"""The run folder: the whole state of a run on disk, and the rules for touching it."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from autospace.checkpoint import state_from_json, state_to_json
from autospace.config import make_config, read_config, to_toml
from autospace.files import write_atomically
from autospace.population import State
from autospace.settings import Config
from autospace.spaces.codec import to_json
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

CONFIG: Final = "config.toml"
SPACE: Final = "space.json"
EVENTS: Final = "events.jsonl"
CHECKPOINT: Final = "checkpoint"
STATE: Final = "state.json"
CACHE: Final = "cache"
LOCK: Final = ".lock"


class RunError(ValueError):
    """A run folder that cannot be started, overwritten or resumed; the message says what to do."""


class RunFolder:
    """A folder that holds one run: `config.toml`, events, checkpoint and, at the end, the space."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, config: Config, *, force: bool = False) -> "RunFolder":
        """A fresh run; an earlier one at the same place is only removed with `force`.

        Raises:
            RunError: the path is taken.
        """
        folder = cls(path)
        if path.exists() and not path.is_dir():
            raise RunError(f"{path}: is a file; choose another folder with --out")
        if path.is_dir() and any(path.iterdir()):
            if not (path / CONFIG).is_file():
                raise RunError(f"{path}: not empty and no run; choose another folder with --out")
            if not force:
                raise RunError(
                    f"{path}: holds a run already; continue it with --resume {path}, "
                    "or replace it with --force"
                )
            with folder.locked():
                folder._remove_run()
        path.mkdir(parents=True, exist_ok=True)
        (path / CHECKPOINT).mkdir(exist_ok=True)
        write_atomically(path / CONFIG, to_toml(config))
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An earlier run.

        Raises:
            RunError: there is none.
        """
        if not (path / CONFIG).is_file():
            raise RunError(f"{path}: no run to resume (no {CONFIG} in it)")
        (path / CHECKPOINT).mkdir(exist_ok=True)
        return cls(path)

    @property
    def config(self) -> Config:
        """The configuration that the run was started with."""
        return make_config(read_config(self.path / CONFIG))

    @property
    def cache(self) -> Path:
        """Where decoded images are kept."""
        return self.path / CACHE

    @property
    def checkpoint(self) -> Path:
        """Where weights and state are kept."""
        return self.path / CHECKPOINT

    @property
    def finished(self) -> bool:
        """Whether the learned space has been written."""
        return (self.path / SPACE).is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from working on the same run.

        Raises:
            RunError: another process is.
        """
        try:
            import fcntl
        except ImportError:  # no such locks on Windows
            yield
            return
        with (self.path / LOCK).open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                problem = "another process is working on this run"
                raise RunError(f"{self.path}: {problem}; wait for it or stop it") from None
            yield

    def save_state(self, state: State) -> None:
        """Replaces the checkpoint of evolution."""
        write_atomically(self.checkpoint / STATE, state_to_json(state))

    def load_state(self, skeleton: Skeleton) -> State | None:
        """The checkpoint of evolution, or None before the first round is done.

        Raises:
            CheckpointError: it is damaged.
        """
        path = self.checkpoint / STATE
        return state_from_json(path.read_text("utf-8"), skeleton) if path.is_file() else None

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Adds a line to the event log."""
        with (self.path / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event, sort_keys=True) + "\n")

    def trim_events(self, rounds: int) -> None:
        """Drops the events of rounds that the checkpoint does not know, and half-written lines."""
        path = self.path / EVENTS
        if not path.is_file():
            return
        kept = [line for line in path.read_text("utf-8").splitlines() if _earlier(line, rounds)]
        write_atomically(path, "".join(line + "\n" for line in kept))

    def save_space(self, space: Space) -> Path:
        """Writes the learned space; with it, the run is finished."""
        write_atomically(self.path / SPACE, to_json(space))
        return self.path / SPACE

    def _remove_run(self) -> None:
        # Only what a run writes: the folder may hold notes of its owner.
        for name in (SPACE, EVENTS, CONFIG):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoint, ignore_errors=True)


def _earlier(line: str, rounds: int) -> bool:
    try:
        event = json.loads(line)
        return bool(event["round"] < rounds)
    except (ValueError, KeyError, TypeError):
        return False
