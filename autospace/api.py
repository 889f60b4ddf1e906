"""The Python API: a function per command, which does what the command does.

Settings are given as nested dictionaries with the names of `docs/reference/settings.md`. A run lies
in a folder and can be stopped at any time; `resume=FOLDER` goes on with it.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast, overload

from autospace.arguments import (
    Data,
    Place,
    Settings,
    architecture_of,
    checked,
    compare_config,
    data_of,
    evolve_config,
    exportable,
    inherited,
    opened,
    plain_name,
    present,
    search_config,
    skeleton_of,
    space_of,
    train_config,
    trained_in,
    training_of,
)
from autospace.data.settings import PYTHON, DataConfig
from autospace.progress import Observer, Planned, Silent, Together
from autospace.runs.errors import ConfigError, RunError
from autospace.runs.folder import CONFIG, Folder
from autospace.runs.settings import merged
from autospace.spaces.errors import offered, shown
from autospace.spaces.files.codec import to_json
from autospace.spaces.files.library import load_architecture
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Space

if TYPE_CHECKING:
    from autospace.comparison.document import ComparisonDocument
    from autospace.compute.executor import Executor
    from autospace.compute.ranks import Ranks
    from autospace.searchers.folder import SearchResult
    from autospace.text.folder import TextResult
    from autospace.training.folder import TrainingResult


RUNS: Final = Path("runs")


class RunInterrupted(KeyboardInterrupt):
    """A run that Ctrl-C, or an observer that raised `KeyboardInterrupt`, has stopped.

    Attributes:
        folder: of the run.
        resumable: whether `resume=folder` goes on with it; otherwise it had not begun, and nothing
            was written.
        untouched: whether the run had not begun, and an earlier one that it was to replace is still
            there.
    """

    def __init__(self, folder: Path, *, resumable: bool, untouched: bool) -> None:
        super().__init__(f"{folder}: interrupted")
        self.folder = folder
        self.resumable = resumable
        self.untouched = untouched


@dataclass(frozen=True, slots=True)
class Evolved:
    """A learned space.

    Attributes:
        folder: of the run.
        space: the learned space, as in `space.json`.
    """

    folder: Path
    space: Space


@dataclass(frozen=True, slots=True)
class Compared:
    """A finished comparison.

    Attributes:
        folder: of the comparison.
        comparison: what `comparison.json` holds: samples, pairs, verdict, power.
        report: the HTML page on it.
    """

    folder: Path
    comparison: "ComparisonDocument"
    report: Path


@dataclass(frozen=True, slots=True)
class Searched:
    """A finished search.

    Attributes:
        folder: of the search.
        best: the best of the finalists.
        accuracy: of `best` on validation images after a short training alone, or that of a table,
            from 0 to 1.
        result: all that `result.json` holds.
    """

    folder: Path
    best: Architecture
    accuracy: float
    result: "SearchResult"


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        folder: of the training.
        architecture: what was trained, fitted to the images.
        accuracy: on the test images, from 0 to 1; of text, the share of its tokens that the
            network holds most probable.
        weights: file of the trained weights, which `export` takes.
        result: all that `result.json` holds.
    """

    folder: Path
    architecture: Architecture
    accuracy: float
    weights: Path
    result: "TrainingResult | TextResult"


@checked
def evolve(
    data: "Data | None" = None,
    *,
    preset: str | None = None,
    config: Place | None = None,
    skeleton: Skeleton | Mapping[str, Any] | str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: "Executor | int | None" = 1,
    out: Place | None = None,
    force: bool = False,
    resume: Place | None = None,
    observer: Observer | None = None,
) -> Evolved:
    """Learns a search space, or goes on with a run that was stopped.

    Preset, `config`, `settings`, and the other arguments override each other in this order.

    Args:
        data: The images; by default those of the settings.
        preset: `demo`, `cifar-small`, `cifar`, `imagenet-mobile`, `text` or `paper`.
        config: A TOML file of settings.
        skeleton: The network around the cells: a value, a dictionary, a name, or a file.
        settings: Nested settings: `{"evolution": {"generations": 3}}`.
        seed: Equal seeds give equal spaces.
        device: `auto`, `cpu`, `cuda[:n]`, or several GPUs as `all` or `cuda:0,1`.
        workers: Processes that train cells on a CPU, None for as many as cores and memory allow;
            or an `Executor`. They change the time only; scripts need `if __name__ == "__main__"`.
        out: Folder of the new run; by default below `runs/`.
        force: Replace a run that is in the folder.
        resume: Folder of a run to go on with. Only `data` (if the images were passed from Python),
            `device`, `workers` and `observer` can be combined with it.
        observer: Receives the progress, and may raise to stop the run.

    Returns:
        The learned space and its folder. A finished run is only read.

    Raises:
        AutospaceError: What was asked for cannot be; the message says what is allowed.
        RunInterrupted: The run was stopped; it can be resumed.
    """
    from autospace.evolution.folder import RunFolder
    from autospace.evolution.learn import learn
    from autospace.evolution.preparation import Passed

    source, passed = data_of(data)
    value = skeleton_of(skeleton)
    if resume is not None:
        others = (preset, config, skeleton, settings or None, seed, out, force or None)
        folder = opened(RunFolder, resume, data, others)
    else:
        name = PYTHON if isinstance(value, Skeleton) else value
        given = (settings or {}, source, present(skeleton=name, seed=seed, device=device))
        chosen = evolve_config(preset, config, given)
        target = out or RUNS / f"{preset or 'evolve'}-seed{chosen.seed}"
        folder = RunFolder.create(Path(target), chosen, force=force)
    with _running(folder, "run", observer, isinstance(value, Skeleton)) as listener:
        own = Passed(passed, value if isinstance(value, Skeleton) else None)
        return Evolved(folder.path, learn(folder, listener, device, workers, own))


@checked
def compare(
    spaces: Sequence[Space | Place] = (),
    data: "Data | None" = None,
    *,
    settings: Settings | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: "Executor | int | None" = 1,
    out: Place | None = None,
    force: bool = False,
    resume: Place | None = None,
    observer: Observer | None = None,
) -> Compared:
    """Compares spaces by networks of equal cost drawn from them, or goes on with a comparison.

    Args:
        spaces: Two or more: values, files, run folders, `NAME@SKELETON`, `NAME@RUN` or
            `random@RUN`.
        data: The images to train and measure on; by default those of the runs among the spaces.
        settings: Nested settings: `{"sampling": {"samples": 20}}`.
        seed: Equal seeds give equal results.
        device: `auto`, `cpu`, `cuda[:n]`, or several GPUs as `all` or `cuda:0,1`.
        workers: Processes that evaluate networks, None for one per core, on a GPU one; or an
            `Executor`. They change the time only. More than one need `if __name__ == "__main__"`.
        out: Folder of the new comparison; by default below `runs/`.
        force: Replace a comparison that is in the folder.
        resume: Folder of a comparison to go on with; see `evolve`.
        observer: Receives the progress, and may raise to stop the comparison.

    Returns:
        The verdict with all that it rests on. A finished comparison is only read.

    Raises:
        AutospaceError: What was asked for cannot be; the message says what is allowed.
        RunInterrupted: The comparison was stopped; it can be resumed.
    """
    from autospace.comparison.compare import compare as run_comparison
    from autospace.comparison.document import read_comparison
    from autospace.comparison.folder import ComparisonFolder
    from autospace.report import write_report

    source, passed = data_of(data)
    remarks: tuple[str, ...] = ()
    if resume is not None:
        others = (spaces or None, settings or None, seed, out, force or None)
        folder = opened(ComparisonFolder, resume, data, others)
    else:
        given = (settings or {}, source, present(seed=seed, device=device))
        own, remarks = inherited(DataConfig, spaces, *given)
        chosen = compare_config(spaces, (own, *given))
        target = out or RUNS / f"compare-seed{chosen.seed}"
        folder = ComparisonFolder.create(Path(target), chosen, force=force)
    values = tuple(each if isinstance(each, Space) else None for each in spaces)
    if not folder.finished:
        with _running(folder, "comparison", observer, any(values), remarks) as listener:
            run_comparison(
                folder, listener, device=device, workers=workers, spaces=values, images=passed
            )
    report = write_report(folder.path)
    return Compared(folder.path, read_comparison(folder.result), report)


@checked
def search(
    space: Space | Place | None = None,
    data: "Data | None" = None,
    *,
    method: str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: "Executor | int | None" = 1,
    out: Place | None = None,
    force: bool = False,
    resume: Place | None = None,
    observer: Observer | None = None,
) -> Searched:
    """Searches a space for an architecture, or goes on with a search that was stopped.

    Args:
        space: A value, a file, a run folder, or a built-in as `NAME@SKELETON`.
        data: The images; by default those of the run that `space` is from. Weights are trained on
            one half of the train split, networks are evaluated on the other.
        method: As `autospace search --list` shows them.
        settings: Nested settings: `{"supernet": {"steps": 500}, "options": {"population": 50}}`.
        seed: Equal seeds give equal results.
        device: `auto`, `cpu`, `cuda[:n]`, or several GPUs as `all` or `cuda:0,1`.
        workers: Processes that train networks alone, or an `Executor`; they change the time only.
        out: Folder of the new search; by default below `runs/`.
        force: Replace a search that is in the folder.
        resume: Folder of a search to go on with; see `evolve`.
        observer: Receives the progress, and may raise to stop the search.

    Returns:
        The best architecture. A finished search is only read.

    Raises:
        AutospaceError: What was asked for cannot be; the message says what is allowed.
        RunInterrupted: The search was stopped; it can be resumed.
    """
    from autospace.searchers.driver import run_search
    from autospace.searchers.folder import BEST, SearchFolder
    from autospace.searchers.make import method_options

    source, passed = data_of(data)
    value = None
    remarks: tuple[str, ...] = ()
    if resume is not None:
        others = (space, method, settings or None, seed, out, force or None)
        folder = opened(SearchFolder, resume, data, others)
    else:
        given = (settings or {}, source, present(method=method, seed=seed, device=device))
        own, remarks = inherited(DataConfig, [space], *given)
        value = space_of(space)
        chosen = search_config(value, (own, *given))
        method_options(chosen)  # what is wrong there could not be written, nor be corrected later
        target = out or RUNS / f"search-{chosen.method}-seed{chosen.seed}"
        folder = SearchFolder.create(Path(target), chosen, force=force, given=to_json(value))
    with _running(folder, "search", observer, remarks=remarks) as listener:
        result = run_search(folder, value, listener, device, passed, workers)
    best = load_architecture(folder.path / BEST)
    return Searched(folder.path, best, result.accuracy, result)


@checked
def train(
    architecture: Architecture | Place | None = None,
    data: "Data | None" = None,
    *,
    space: Space | Place | None = None,
    recipe: str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    device: str | None = None,
    out: Place | None = None,
    force: bool = False,
    resume: Place | None = None,
    observer: Observer | None = None,
) -> Trained:
    """Trains one architecture from scratch, or goes on with a training that was stopped.

    Args:
        architecture: A value, a file, or a built-in such as `reference@cifar`.
        data: The images; by default those of the run that `architecture` or `space` is from.
        space: What the cell ids of a flat file refer to.
        recipe: The name of one, or a TOML file of settings; by default that of the skeleton.
        settings: Nested settings: `{"training": {"epochs": 20}}`.
        seed: Equal seeds give equal weights.
        device: `auto`, `cpu` or `cuda[:n]`.
        out: Folder of the new training; by default below `runs/`.
        force: Replace a training that is in the folder.
        resume: Folder of a training to go on with; see `evolve`.
        observer: Receives the progress, and may raise to stop the training.

    Returns:
        The test accuracy, measured once, and the file of weights. A finished training is only read.

    Raises:
        AutospaceError: What was asked for cannot be; the message says what is allowed.
        RunInterrupted: The training was stopped.
    """
    from autospace.compute.ranks import ranks_of_torchrun
    from autospace.training.full import follow_training

    with ranks_of_torchrun() as ranks:
        if ranks.follows:
            follow_training(ranks, data_of(data)[1])
            return ranks.told(cast("Trained", None))
        new = (architecture, data, space, recipe, settings, seed, device, out, force)
        return ranks.told(_trained(ranks, resume, observer, *new))


def _trained(
    ranks: "Ranks",
    resume: Place | None,
    observer: Observer | None,
    architecture: Architecture | Place | None,
    data: "Data | None",
    space: Space | Place | None,
    recipe: str | None,
    settings: Settings | None,
    seed: int | None,
    device: str | None,
    out: Place | None,
    force: bool,
) -> Trained:
    from autospace.training.folder import WEIGHTS

    source, passed = data_of(data)
    value = None
    remarks: tuple[str, ...] = ()
    if resume is not None:
        others = (architecture, space, recipe, settings or None, seed, out, force or None)
        way = training_of(trained_in(Path(resume)))
        folder = opened(way.folder, resume, data, others)
    else:
        value = architecture_of(architecture, space)
        way = training_of(value.skeleton.reads)
        given = (settings or {}, source, present(seed=seed, device=device))
        base = way.recipe(recipe, settings or {}, value)
        own, remarks = inherited(way.data, [architecture, space], base, *given)
        chosen = train_config(way.settings, architecture, merged(own, base), given)
        target = out or RUNS / f"train-{plain_name(chosen.architecture)}-seed{chosen.seed}"
        folder = way.folder.create(Path(target), chosen, force=force, given=to_json(value))
    with _running(folder, "training", observer, remarks=remarks) as listener:
        result = way.run(
            folder, listener, architecture=value, device=device, images=passed, ranks=ranks
        )
    path, net = folder.path, folder.architecture
    return Trained(path, net, result.test_accuracy, path / WEIGHTS, result)


def plan(command: Callable[..., Any], *values: Any, **arguments: Any) -> Planned:
    """What a call would do, and how long it would take; writes nothing.

    `plan(evolve, preset="cifar", data="folder:photos")` is the plan of that call of `evolve`.

    Args:
        command: `evolve`, `compare`, `search` or `train`.
        values: The arguments of the call, in their order.
        arguments: Those by name. Of a cluster nothing is asked: the plan counts on its `workers`.

    Returns:
        The plan: `lines` for a person, `record` for a program.

    Raises:
        AutospaceError: What was asked for cannot be; the message says what is allowed.
    """
    if command not in (evolve, compare, search, train):
        raise ConfigError(f"command: {shown(command)}; allowed: evolve, compare, search, train")
    if arguments.get("resume") is not None:
        raise ConfigError("resume: only a new run has a plan; allowed: without resume")
    listener = arguments.pop("observer", None) or Silent()
    workers: Any = arguments.get("workers")
    if getattr(workers, "clustered", False):
        count, arguments["workers"] = workers.workers or 1, replace(workers, must_answer=False)
        listener.message(f"no cluster is asked: the plan counts on --workers, which is {count}")
    with TemporaryDirectory() as place:
        asked = {**arguments, "out": Path(place) / "run", "force": False}
        try:
            command(*values, **asked, observer=_UntilPlanned(listener))
        except _PlanMade as found:
            return found.plan
        except RunInterrupted:  # Its folder is no run, and goes with this block.
            raise KeyboardInterrupt from None
    raise RunError("the run ended without a plan")


class _PlanMade(BaseException):
    """Stops a run at its plan."""

    def __init__(self, plan: Planned) -> None:
        super().__init__()
        self.plan = plan


class _UntilPlanned(Together):
    """Passes on what a run reports, until it has its plan."""

    def planned(self, plan: Planned) -> None:
        """Stops the run at its plan."""
        raise _PlanMade(plan)


@overload
def export(
    value: Space | Architecture | Place, to: str, out: None = None, *, weights: Place | None = None
) -> str: ...


@overload
def export(
    value: Space | Architecture | Place, to: str, out: Place, *, weights: Place | None = None
) -> Path: ...


@checked
def export(
    value: Space | Architecture | Place,
    to: str,
    out: Place | None = None,
    *,
    weights: Place | None = None,
) -> str | Path:
    """Hands a space or an architecture over to another tool.

    Args:
        value: A value, a file, a run folder, or a built-in as `NAME@SKELETON`.
        to: The target, as `autospace export --list` shows them.
        out: The file to write; an earlier one is replaced. `onnx` and `pt2` need it.
        weights: Trained weights, for `onnx` and `pt2`; by default fresh ones are written.

    Returns:
        The text; or, with `out`, the path of the file.

    Raises:
        AutospaceError: No such target, it does not take such a value, or the file cannot be
            written.
    """
    from autospace.exporters.targets import TARGETS
    from autospace.runs.files import write_output

    if to not in TARGETS:
        raise ConfigError(f"to {to[:40]!r}: unknown target; {offered(to, TARGETS)}")
    target = TARGETS[to]
    if weights is not None and not target.deployed:
        raise ConfigError(f"weights: files of {to} hold no weights; allowed: with onnx and pt2")
    exported = exportable(value, to, target.takes)
    if target.deployed:
        # PyTorch's exporters take seconds to load.
        from autospace.networks.deploy import deploy

        if out is None:
            raise ConfigError(f"out: missing; {to} is a binary file, which needs a name")
        trained = None if weights is None else Path(weights)
        made: Any = deploy
        with _writable(out):
            made(exported, to, Path(out), weights=trained)
        return Path(out)
    text = target.text(exported)
    if out is None:
        return text
    with _writable(out):
        write_output(Path(out), text)
    return Path(out)


@contextmanager
def _writable(out: Place) -> Iterator[None]:
    """A file that cannot be written is an error of the argument `out`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        # A full disk is no reason to doubt the folder.
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        allowed = "free space, or another place" if full else "a file in a folder that exists"
        if error.errno in (errno.EIO, errno.EROFS):
            allowed = "another place"
        raise ConfigError(f"out: {out}: {problem}; allowed: {allowed}") from None


@contextmanager
def _running(
    folder: "Folder[Any]",
    kind: str,
    observer: Observer | None,
    has_values: bool = False,
    remarks: Sequence[str] = (),
) -> Iterator[Observer]:
    """The observer of a run in progress; an interruption says what is left in the folder.

    Args:
        folder: of the run.
        kind: the word for it.
        observer: receives the progress.
        has_values: whether a skeleton or spaces were passed as values. The folder holds them only
            once the run has begun, so that nothing can be resumed before.
        remarks: for the user, before the run.
    """
    listener = observer or Silent()
    if folder.finished:
        listener.message(f"{folder.path}: the {kind} is finished already")
    for remark in remarks:
        listener.message(remark)
    try:
        yield listener
    except KeyboardInterrupt:
        if has_values:
            folder.abandon()
        left = (folder.path / CONFIG).is_file() and not folder.replacing
        raise RunInterrupted(folder.path, resumable=left, untouched=folder.replacing) from None
