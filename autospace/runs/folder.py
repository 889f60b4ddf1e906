"""The folder of a run, whatever it computes: its files, its lock and its states."""

import errno
import hashlib
import inspect
import json
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from autospace.progress import Message
from autospace.runs.errors import FORCE, OUT, CheckpointError, RunError
from autospace.runs.files import (
    PART,
    append_line,
    is_sealed,
    remove_parts,
    sealed,
    unlike_sealed,
    write_atomically,
)
from autospace.runs.settings import make_settings, read_config, to_toml
from autospace.spaces.checks import MAX_CLASSES
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.files.reading import parse_json, read_text, validated
from autospace.spaces.text import json_text, plural, visible

CONFIG: Final = "config.toml"
EVENTS: Final = "events.jsonl"
DATA: Final = "data.json"
CHECKPOINT: Final = "checkpoint"
DIGEST: Final = "data.sha256"
REPLACED: Final = "replaced"
"""How many runs were replaced in the folder before this one; not there for the first run."""
GIVEN: Final = "given.json"
BEGAN: Final = "began.json"
CACHE: Final = "cache"
LOCK: Final = ".lock"
_NO_LOCKS: Final = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
_SHOWN: Final = 6
SINCE: Final = "autospace 0.1.0"
"""The first version whose `config.toml` names its command."""
# Found in the text, not in the parsed file: a damaged setting must not hide whose run it is.
_COMMAND: Final = re.compile(r'^\s*command\s*=\s*"([a-z]{1,20})"\s*$', re.MULTILINE)


class Document(BaseModel):
    """A result file, or a part of one. Accuracies are shares (0 to 1).

    Later versions may say more: a key that is not known is ignored.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


class WithOps(Document):
    """A part of a result that may have OPs; where it has none, the key `ops` is left out."""

    @model_serializer(mode="wrap")
    def _plain(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = plain(self)
        if found["ops"] is None:
            del found["ops"]
        return found


Settings = TypeVar("Settings", bound=BaseModel)
Result = TypeVar("Result", bound=Document)


class Folder(Generic[Settings]):
    """A folder that holds one run: configuration, event log, checkpoint and results.

    A new run takes its place in two steps, so that a run that cannot start changes nothing:
    `create` checks that the place is free; `_begin` or `abandon` follows when it is known whether
    the configuration can be run.

    Attributes:
        command: the command that makes such runs; `config.toml` names it.
        settings: the type of the settings in `config.toml`.
        harmless: settings that may change between a stop and its resumption: what is computed
            does not depend on them, or is what a run that had them from the start computes.
        results: the files that a run writes in addition to its configuration, log and checkpoint.
            The last of them is written last: a run is finished when it exists.
    """

    command: ClassVar[str]
    settings: type[Settings]
    results: ClassVar[tuple[str, ...]]
    harmless: ClassVar[frozenset[str]] = frozenset({"device", "data.source"})

    def __init__(self, path: Path) -> None:
        self.path = path
        self._replacing: Settings | None = None
        self._new = False
        self._made: list[Path] = []

    @classmethod
    def create(
        cls, path: Path, config: Settings, *, force: bool = False, given: str | None = None
    ) -> Self:
        """A new run; with `force`, one that will replace the earlier run at the same place.

        Args:
            path: of the folder.
            config: its settings.
            force: whether an earlier run may be replaced.
            given: the text of what the run works on, if the settings do not name it. A run that
                is stopped before it begins can then be resumed.

        Raises:
            RunError: the path is taken.
        """
        folder = cls(path)
        elsewhere = f"choose another folder with {OUT}"
        if path.exists() and not path.is_dir():
            raise RunError(f"{path}: is a file; {elsewhere}")
        if folder._in_use():
            if not (path / CONFIG).is_file():
                raise RunError(f"{path}: is not empty and does not hold a run; {elsewhere}")
            folder._check_command(elsewhere)
            if not force:
                here = shlex.quote(str(path))
                raise RunError(
                    f"{path}: already holds a run; continue it with --resume {here} "
                    f"(resume= in Python), or replace it with {FORCE}"
                )
            folder._replacing = config
            return folder
        inside = (folder.cache, folder.checkpoint)
        folder._made = [each for each in (*inside, path, *path.parents) if not each.exists()]
        folder._new = True
        path.mkdir(parents=True, exist_ok=True)
        if given is not None:
            # Before the settings: a folder that has these can be resumed.
            folder.checkpoint.mkdir(exist_ok=True)
            write_atomically(folder.given, given)
            folder._save_record(config, [f"{CHECKPOINT}/{GIVEN}"])
        folder._write_config(config)
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """An earlier run.

        Raises:
            RunError: there is no run, or it has another command or an earlier format.
        """
        folder = cls(path)
        folder._check_command("resume it with that command")
        return folder

    @property
    def config(self) -> Settings:
        """The configuration of the run.

        Raises:
            ConfigError: its file is damaged.
        """
        if self._replacing is not None:
            return self._replacing
        path = self.path / CONFIG
        return make_settings(self.settings, read_config(path, self.command), path=path)

    @property
    def cache(self) -> Path:
        """Where decoded images are kept."""
        return self.path / CACHE

    @property
    def checkpoint(self) -> Path:
        """Where weights and state are kept."""
        return self.path / CHECKPOINT

    @property
    def given(self) -> Path:
        """What the run works on, as it was given; there only if `create` got it."""
        return self.checkpoint / GIVEN

    @property
    def replacing(self) -> bool:
        """Whether an earlier run is still in the folder, to be replaced by this one."""
        return self._replacing is not None

    @property
    def reopened(self) -> bool:
        """Whether the run was started earlier: this process opened it, and did not create it."""
        return not (self._new or self.replacing)

    @property
    def finished(self) -> bool:
        """Whether the last of the results has been written."""
        return not self.replacing and (self.path / self.results[-1]).exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from working on the same run.

        Raises:
            RunError: another process is.
        """
        # Not at the top of the file: every start of the program would wait for it.
        from filelock import FileLock, Timeout

        # The soft lock, which filelock falls back to, would outlive a process that is killed. Old
        # versions, which nni requires, do not fall back and do not know the option.
        known = inspect.signature(FileLock.__init__).parameters
        options: dict[str, Any] = {"fallback_to_soft": False} if "fallback_to_soft" in known else {}
        place = self.path / LOCK
        if place.is_symlink():
            # It would be followed, and the file that it leads to emptied.
            raise RunError(f"{place}: is a symbolic link; allowed: a file, so remove the link")
        lock = FileLock(place, timeout=0, **options)
        try:
            lock.acquire()
            # Before the images are read: they may find no room beside what is left of them.
            with suppress(OSError):
                remove_parts(self.cache, folders=True)
                for kept in self.cache.glob("*/"):  # such as the evaluations
                    remove_parts(kept)
        except Timeout:
            problem = "another process is working on this run"
            raise RunError(f"{self.path}: {problem}; wait for it or stop it") from None
        except NotImplementedError:
            pass  # the file system has no locks, but can hold runs
        except OSError as error:
            if error.errno not in _NO_LOCKS:  # likewise
                raise
        try:
            yield
        finally:
            lock.release()

    def not_begun(self, value: str) -> RunError:
        """The error for a run that was stopped before it had saved a value that it needs."""
        problem = f"was stopped before it had saved its {value}"
        return RunError(f"{self.path}: {problem}; start it again with {FORCE}")

    def abandon(self) -> None:
        """Removes what `create` made, if the run has not begun; an earlier run stays."""
        if not self._new:
            return
        (self.path / CONFIG).unlink(missing_ok=True)
        for left in (self.cache, self.checkpoint):
            if left in self._made:
                shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):  # someone else put something there; Windows keeps files in use
            (self.path / LOCK).unlink(missing_ok=True)
            for each in self._made:
                if each.exists():
                    each.rmdir()

    def save_data(self, record: Mapping[str, Any]) -> None:
        """Writes what was read of the images, for people and programs; the run does not need it."""
        write_atomically(self.path / DATA, json_text(record))

    def append_event(self, event: Mapping[str, Any], *, durable: bool = False) -> None:
        """Adds a line to the event log; a durable one outlasts a power cut."""
        append_line(self.path / EVENTS, _line(event), durable=durable)

    def save_result(self, result: Document) -> None:
        """Writes the last of the results; with it, the run is finished."""
        write_atomically(self.path / self.results[-1], json_text(result.model_dump(mode="json")))

    def _load_result(self, kind: type[Result]) -> Result:
        path = self.path / self.results[-1]
        text = read_text(path)
        try:
            return validated(kind, parse_json(text, MAX_CLASSES))  # names each class of its images
        except SpaceError as error:
            raise CheckpointError(f"{path}: {error}") from None

    def _begin(self, files: Mapping[str, str], data_digest: str) -> None:
        """Begins the run, or checks that a resumed run uses the data with which it began.

        Args:
            files: below the folder, what is written unless it is there.
            data_digest: of the images.

        Raises:
            RunError: the data is not the same.
        """
        before = ""
        if self._replacing is not None:
            before = f"{replaced(self.path) + 1}\n"
            self._remove_run()
            self._write_config(self._replacing)
            self._replacing = None
        self._new = False
        self.checkpoint.mkdir(exist_ok=True)
        if before:
            write_atomically(self.checkpoint / REPLACED, before)
        for folder in (self.path, self.checkpoint):
            remove_parts(folder)
        begun = (self.checkpoint / DIGEST).is_file()
        for name, text in files.items():
            if not (begun and (self.path / name).is_file()):
                write_atomically(self.path / name, text)
        self.check_unchanged(complete=True)
        if begun:
            self._check_digest(data_digest)
        else:
            given = [f"{CHECKPOINT}/{GIVEN}"] if self.given.is_file() else []
            self._save_record(self.config, [*files, *given])
            write_atomically(self.checkpoint / DIGEST, f"{data_digest}\n")

    def _check_digest(self, data_digest: str) -> None:
        if (self.checkpoint / DIGEST).read_bytes().strip() != data_digest.encode():
            raise RunError(
                f"{self.path}: the data has changed since this run began; "
                f"start a new run with {OUT}"
            )

    def _save_record(self, config: Settings, files: Iterable[str]) -> None:
        """Writes what may not change before a resumption: settings, versions, and given files.

        Args:
            config: the settings.
            files: below the folder.
        """
        record = {
            "settings": _flat(config.model_dump(mode="json")),
            "versions": _versions(),
            "files": {name: _sha256(self.path / name) for name in files},
        }
        write_atomically(self.checkpoint / BEGAN, sealed(json_text(record)))

    def check_unchanged(self, *, complete: bool = False) -> None:
        """Compares settings, versions and files with those of the start of the run, if it began.

        Args:
            complete: whether files may not be missing; the start of a resumed run restores some.

        Raises:
            RunError: something has changed that would mix two runs in one result.
            CheckpointError: the record of the start is damaged.
        """
        path, begun = self.checkpoint / BEGAN, (self.checkpoint / DIGEST).is_file()
        if self.replacing or not (begun or path.is_file()):
            return
        try:
            text = read_text(path)
            if not is_sealed(text):
                raise SpaceError("", unlike_sealed(text))
            then = parse_json(text)
            self._check_versions(then["versions"])
            self._check_settings(then["settings"])
            names = then["files"] if begun else {f"{CHECKPOINT}/{GIVEN}"} & {*then["files"]}
            for name in names:
                self._check_file(name, then["files"][name], complete)
        except SpaceError as error:
            problem = f"damaged: {error.problem}; start again with {FORCE}"
            raise CheckpointError(f"{path}: {problem}") from None
        except (TypeError, LookupError, AttributeError):
            raise CheckpointError(f"{path}: damaged; start again with {FORCE}") from None

    def _check_file(self, name: str, digest: str, complete: bool) -> None:
        path = self.path / name
        if (_sha256(path) != digest) if path.is_file() else complete:
            problem = "is not the file with which this run began; put it back"
            place = self.path / visible(name[:60])
            raise RunError(f"{place}: {problem}, or start again with {FORCE}")

    def _check_versions(self, then: Mapping[str, Any]) -> None:
        for name, now in _versions().items():
            if then[name] != now:
                before = visible(str(then[name])[:40])
                raise RunError(
                    f"{self.path}: began with {name} {before}, but this is "
                    f"{name} {now}; resume with that version, or start again with {FORCE}"
                )

    def _check_settings(self, then: Mapping[str, Any]) -> None:
        now = _flat(self.config.model_dump(mode="json"))
        for name in sorted({*now, *then} - self.harmless):
            if now.get(name) != then.get(name):
                setting = f"{self.path / CONFIG}: {visible(name[:60])}"
                raise RunError(
                    f"{setting} is {shown(now.get(name))}, but was "
                    f"{shown(then.get(name))} when this run began; put it back, "
                    f"or start a new run with {OUT}"
                )

    def _mend_events(
        self,
        key: str,
        history: Mapping[int, Mapping[str, Any]],
        on_message: Message,
        ahead: int | None = None,
    ) -> None:
        """Makes the log have one line for every entry of the history, and no other lines.

        Args:
            key: the number of an entry.
            history: what the checkpoint knows, by number; less than a line says.
            on_message: is told which lines were lost.
            ahead: the most entries that a log may hold before there is a checkpoint.

        Raises:
            CheckpointError: there is no checkpoint, and the log holds more.
        """
        path = self.path / EVENTS
        if not path.is_file() and not history:
            return
        logged = _events(path.read_bytes(), key) if path.is_file() else {}
        if ahead is not None and not history and len(logged) > ahead:
            problem = f"has {len(logged)} {key}s, but the checkpoint that they belong to is missing"
            advice = f"put it back into {self.checkpoint}, or start again with {FORCE}"
            raise CheckpointError(f"{path}: {problem}; {advice}")
        lines = [logged.get(index) or _line(event) for index, event in history.items()]
        write_atomically(path, "".join(lines))
        if lost := [str(index) for index in history if index not in logged]:
            which = f"{plural(len(lost), key)} ({', '.join(lost[:_SHOWN])}"
            which += ", ...)" if len(lost) > _SHOWN else ")"
            repair = "written again with what the checkpoint knows"
            on_message(f"warning: {path}: lost or damaged: {which}; {repair}")

    def _logged(self, key: str, count: int) -> list[dict[str, Any] | None]:
        """The lines 0 to `count` - 1 of the log; None for one that is not there."""
        path = self.path / EVENTS
        lines = _events(path.read_bytes(), key) if path.is_file() else {}
        return [json.loads(lines[index]) if index in lines else None for index in range(count)]

    def _in_use(self) -> bool:
        # A process that was killed before it had written its configuration leaves an empty run.
        kept = (LOCK, CACHE, CHECKPOINT, GIVEN, BEGAN)
        left = [*_inside(self.path), *_inside(self.checkpoint)]
        return any(each.name not in kept and each.suffix != PART for each in left)

    def _check_command(self, advice: str) -> None:
        command = command_of(self.path)
        if command != self.command:
            raise RunError(f"{self.path}: holds a run of autospace {command}; {advice}")

    def _write_config(self, config: Settings) -> None:
        write_atomically(self.path / CONFIG, f'command = "{self.command}"\n{to_toml(config)}')

    def _remove_run(self) -> None:
        # Only what a run writes: the folder may hold notes of its owner.
        for name in (*self.results, EVENTS, DATA):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.checkpoint, ignore_errors=True)


def replaced(path: Path) -> int:
    """How many runs were replaced in a folder before the one that it holds."""
    try:
        return int((path / CHECKPOINT / REPLACED).read_text("ascii"))
    except (OSError, ValueError):
        return 0


def command_of(path: Path) -> str:
    """The command whose run a folder holds.

    Raises:
        RunError: the folder holds no run, or one of an earlier format.
    """
    if not (path / CONFIG).is_file():
        raise RunError(f"{path}: there is no run to resume, because {CONFIG} is missing")
    text = (path / CONFIG).read_bytes().decode(errors="replace")
    found = _COMMAND.search(text.partition("\n[")[0])
    if found is None:
        problem = f"{CONFIG} names no command: it is damaged or was written before {SINCE}"
        raise RunError(f"{path}: {problem}, so that the run cannot be resumed; start a new one")
    return found[1]


def _inside(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() else []


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level, with names such as `scoring.steps`."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _versions() -> dict[str, str]:
    """The versions on which what a run computes depends."""
    return {name: metadata.version(name) for name in ("autospace", "torch")}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, sort_keys=True) + "\n"


def _events(raw: bytes, key: str) -> dict[int, str]:
    """The complete lines of a log by index; of several with one index, the last."""
    found = {}
    for line in raw.split(b"\n"):
        try:
            event = parse_json(line.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(event, dict) and type(event.get(key)) is int:
            found[event[key]] = _line(event)
    return found
