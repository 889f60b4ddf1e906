"""The run folder: the whole state of a run on disk, and the rules for touching it."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from autospace.checkpoint import CheckpointError, round_out, state_from_json, state_to_json
from autospace.config import load_config, to_toml
from autospace.files import remove_parts, write_atomically
from autospace.population import Round, State
from autospace.settings import Config
from autospace.spaces.builtin import load
from autospace.spaces.codec import read, to_json
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

CONFIG: Final = "config.toml"
SPACE: Final = "space.json"
EVENTS: Final = "events.jsonl"
REPORT: Final = "report.html"
CHECKPOINT: Final = "checkpoint"
STATE: Final = "state.json"
SKELETON: Final = "skeleton.json"
DIGEST: Final = "data.sha256"
CACHE: Final = "cache"
LOCK: Final = ".lock"


class RunError(ValueError):
    """A run folder that cannot be started, overwritten or resumed; the message says what to do."""


class RunFolder:
    """A folder that holds one run: `config.toml`, events, checkpoint and, at the end, the space.

    A new run takes its place in two steps, so that one that cannot even start leaves things as
    they were: `create` looks whether the place is free, `settle` or `abandon` follow once it is
    known whether the configuration can be run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replacing: Config | None = None
        self._new = False
        self._made: list[Path] = []

    @classmethod
    def create(cls, path: Path, config: Config, *, force: bool = False) -> "RunFolder":
        """A fresh run; with `force`, one that will replace the earlier run at the same place.

        Raises:
            RunError: the path is taken.
        """
        folder = cls(path)
        if path.exists() and not path.is_dir():
            raise RunError(f"{path}: is a file; choose another folder with --out")
        if folder._in_use():
            if not (path / CONFIG).is_file():
                raise RunError(f"{path}: not empty and no run; choose another folder with --out")
            if not force:
                raise RunError(
                    f"{path}: holds a run already; continue it with --resume {path}, "
                    "or replace it with --force"
                )
            folder._replacing = config
            return folder
        folder._made = [each for each in (path, *path.parents) if not each.exists()]
        folder._new = True
        path.mkdir(parents=True, exist_ok=True)
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
        return cls(path)

    @property
    def config(self) -> Config:
        """The configuration of the run.

        Raises:
            ConfigError: its file is damaged.
        """
        return self._replacing or load_config(self.path / CONFIG)

    @property
    def cache(self) -> Path:
        """Where decoded images are kept."""
        return self.path / CACHE

    @property
    def checkpoint(self) -> Path:
        """Where weights and state are kept."""
        return self.path / CHECKPOINT

    @property
    def replacing(self) -> bool:
        """Whether an earlier run is still in the folder, to be replaced by this one."""
        return self._replacing is not None

    @property
    def finished(self) -> bool:
        """Whether the learned space has been written."""
        return not self.replacing and (self.path / SPACE).is_file()

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
            except BlockingIOError:
                problem = "another process is working on this run"
                raise RunError(f"{self.path}: {problem}; wait for it or stop it") from None
            except OSError:  # a file system without locks
                pass
            yield

    def settle(self, skeleton: Skeleton, data_digest: str) -> None:
        """Begins the run, or makes sure that it goes on with the data with which it began.

        Raises:
            RunError: the data is not the same.
        """
        if self._replacing is not None:
            self._remove_run()
            write_atomically(self.path / CONFIG, to_toml(self._replacing))
            self._replacing = None
        self._new = False
        self.checkpoint.mkdir(exist_ok=True)
        for folder in (self.path, self.checkpoint):
            remove_parts(folder)
        digest = self.checkpoint / DIGEST
        if not (self.checkpoint / SKELETON).is_file():
            write_atomically(self.checkpoint / SKELETON, to_json(skeleton))
        if not digest.is_file():
            write_atomically(digest, f"{data_digest}\n")
        elif digest.read_bytes().strip() != data_digest.encode():
            raise RunError(
                f"{self.path}: the data changed since this run began; start a new run with --out"
            )

    def abandon(self) -> None:
        """Removes what `create` made, if the run has not begun; an earlier run stays."""
        if not self._new:
            return
        (self.path / CONFIG).unlink(missing_ok=True)
        (self.path / LOCK).unlink(missing_ok=True)
        shutil.rmtree(self.cache, ignore_errors=True)
        with suppress(OSError):  # somebody else put something there
            for each in self._made:
                each.rmdir()

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

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Adds a line to the event log."""
        with (self.path / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(_line(event))

    def mend_events(self, history: Sequence[Round]) -> None:
        """Makes the log hold one line for every round that the checkpoint knows, and no other."""
        path = self.path / EVENTS
        if not path.is_file() and not history:
            return
        logged = _events(path.read_bytes()) if path.is_file() else {}
        lines = [logged.get(each.index) or _line(round_out(each)) for each in history]
        write_atomically(path, "".join(lines))

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

    def _in_use(self) -> bool:
        # A process that was killed before it had written its configuration leaves an empty run.
        kept = (LOCK, CACHE)
        names = [each.name for each in self.path.iterdir()] if self.path.is_dir() else []
        return any(name not in kept and not name.endswith(".part") for name in names)

    def _remove_run(self) -> None:
        # Only what a run writes: the folder may hold notes of its owner.
        for name in (SPACE, EVENTS, REPORT):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoint, ignore_errors=True)


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, sort_keys=True) + "\n"


def _events(raw: bytes) -> dict[int, str]:
    """The whole lines of a log by round; the last of several counts."""
    found = {}
    for line in raw.split(b"\n"):
        try:
            event = json.loads(line)
            if isinstance(event, dict) and type(event.get("round")) is int:
                found[event["round"]] = _line(event)
        except (ValueError, RecursionError):
            continue
    return found
