"""Observers that write the numbers of a run for another tool: TensorBoard, W&B or MLflow.

Each tool is an extra, and is imported when the first number comes. A tool that fails does not stop
the run: it is left out from then on, and a remark says why. Imports of the tools are only here.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

from autospace.progress import Event, Message, Silent
from autospace.runs.errors import ConfigError
from autospace.runs.folder import CONFIG, replaced
from autospace.runs.settings import read_config
from autospace.spaces.errors import offered, shown

SECONDS_TO_END: Final = 10.0
BOARD: Final = "tensorboard"
"""The sub-folder of a run in which TensorBoard's files are."""
LONGEST_VALUE: Final = 250


class Sink(Protocol):
    """A run of another tool, to which numbers are added."""

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Adds numbers, by their names, at a step."""
        ...

    def close(self) -> None:
        """Ends the run there."""
        ...


class TensorBoard:
    """Event files in the folder of the run; a resumed run overwrites what it repeats."""

    def __init__(self, folder: Path, command: str, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        del command
        # A thread writes. What stops it is raised again at the next point, without its traceback.
        # It may be stopped before it is known here, by the first thing that it writes.
        before, self._others = set(threading.enumerate()), threading.excepthook
        self._own: set[threading.Thread] | None = None
        self._hook: Any = lambda args: self._others(args) if self._foreign(args, before) else None
        threading.excepthook = self._hook
        self._writer: Any = SummaryWriter(str(folder / BOARD), purge_step=first)
        self._own = set(threading.enumerate()) - before

    def _foreign(self, args: threading.ExceptHookArgs, before: set[threading.Thread]) -> bool:
        """Whether an exception is of a thread that was there before, or began later."""
        return args.thread in before if self._own is None else args.thread not in self._own

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """One point per curve."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Ends the files."""
        try:
            self._writer.close()
        finally:
            for thread in self._own or ():
                # It may still be on its way to its end, which the hook has to see.
                thread.join(SECONDS_TO_END)
            if threading.excepthook is self._hook:
                threading.excepthook = self._others


class WeightsAndBiases:
    """A run of Weights & Biases, where `wandb login` or `WANDB_MODE=offline` says it goes."""

    def __init__(self, folder: Path, command: str, first: int) -> None:
        import wandb

        del first
        self._run: Any = wandb.init(
            project="autospace",
            name=folder.name,
            job_type=command,
            id=identity(folder),
            resume="allow",
            config=settings_of(folder),
        )

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """One row of numbers."""
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Ends the run, once everything is sent."""
        self._run.finish()


class MLflow:
    """A run of MLflow, at `MLFLOW_TRACKING_URI`; a resumed run goes on with its own."""

    def __init__(self, folder: Path, command: str, first: int) -> None:
        from mlflow.tracking import MlflowClient

        del first
        self._client: Any = MlflowClient()
        found = self._client.get_experiment_by_name("autospace")
        experiment = found.experiment_id if found else self._client.create_experiment("autospace")
        tag = identity(folder)
        earlier = self._client.search_runs([experiment], f"tags.`autospace.run` = '{tag}'")
        if earlier:
            self._id = earlier[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {"autospace.run": tag, "autospace.command": command}
        self._id = self._client.create_run(experiment, tags=tags, run_name=folder.name).info.run_id
        for name, value in settings_of(folder).items():
            self._client.log_param(self._id, name, str(value)[:LONGEST_VALUE])

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """One metric per number."""
        for name, value in numbers.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        """Ends the run."""
        self._client.set_terminated(self._id)


LOGGERS: Final[Mapping[str, tuple[str, Callable[[Path, str, int], Sink]]]] = {
    "tensorboard": ("tensorboard", TensorBoard),
    "wandb": ("wandb", WeightsAndBiases),
    "mlflow": ("mlflow", MLflow),
}
"""By name: the package that the tool needs, which is also an extra, and its sink."""


class RunLogger(Silent):
    """Writes the numbers of every event to some tools.

    Args:
        command: of the run: `evolve`, `search` or `train`.
        names: of the tools, keys of `LOGGERS`.
        on_message: receives a remark if a tool fails.

    Raises:
        ConfigError: an unknown name, or a package that is not installed.
    """

    def __init__(self, command: str, names: Sequence[str], on_message: Message) -> None:
        for name in names:
            if name not in LOGGERS:
                raise ConfigError(f"log: {shown(name)}: unknown; {offered(name, LOGGERS)}")
            if find_spec(LOGGERS[name][0]) is None:
                problem = f"needs the package {LOGGERS[name][0]}: pip install 'autospace[{name}]'"
                raise ConfigError(f"log: {name}: {problem}")
        self._command, self._left, self._tell = command, list(dict.fromkeys(names)), on_message
        self._open: dict[str, Sink] = {}

    def event(self, event: Event) -> None:
        """Writes the numbers of the event."""
        numbers = event.numbers()
        if not numbers:
            return
        for name in list(self._left):
            try:
                if name not in self._open:
                    make = LOGGERS[name][1]
                    self._open[name] = make(event.run, self._command, event.step)
                self._open[name].add(event.step, numbers)
            except Exception as error:
                # Whatever a client of a service raises, the run is worth more than its curve.
                self._fail(name, error)

    def close(self) -> None:
        """Ends what was opened."""
        for name, sink in list(self._open.items()):
            try:
                sink.close()
            except Exception as error:
                self._fail(name, error)
        self._open.clear()

    def _fail(self, name: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        self._tell(f"{name} is left out from now on: {reason}")
        self._left = [each for each in self._left if each != name]
        self._open.pop(name, None)


def settings_of(run: Path) -> dict[str, Any]:
    """The settings of a run by their dotted names; empty if it has none."""
    try:
        return dict(_flat("", read_config(run / CONFIG)))
    except ConfigError:
        return {}


def _flat(prefix: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def identity(run: Path) -> str:
    """A name for a run that is the same when it is resumed, and another when it is replaced."""
    text = f"{run.absolute()}\n{settings_of(run)}" + "\n" * replaced(run)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
