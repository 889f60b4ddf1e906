"""The Python API: a function per command, which does what the command does.

Settings are given as nested dictionaries with the names of `docs/reference/settings.md`. A run lies
in a folder and can be stopped at any time; `resume=FOLDER` goes on with it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from autospace.progress import Observer, Silent
from autospace.runs.errors import ConfigError
from autospace.runs.folder import CONFIG, Folder
from autospace.runs.settings import make_settings, read_config
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.files.codec import canonical_json, from_json
from autospace.spaces.files.library import load, load_any, load_architecture
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Space

# What only one command needs is imported by that command: together it would take seconds.
if TYPE_CHECKING:
    from pydantic import BaseModel

    from autospace.comparison.document import ComparisonDocument
    from autospace.comparison.settings import CompareConfig
    from autospace.data.examples import DataSet
    from autospace.data.readers.arrays import Given
    from autospace.evolution.settings import Config
    from autospace.searchers.folder import SearchResult
    from autospace.training.folder import TrainingResult
    from autospace.training.settings import TrainConfig

Place: TypeAlias = Path | str
Settings: TypeAlias = Mapping[str, Any]
Data: TypeAlias = "str | DataSet | Given"
"""A text as `--data` takes it, what `images` returns, or what `images` takes as its first value."""

RUNS: Final = Path("runs")
# What settings hold in place of a name where a value was passed.
_PYTHON: Final = "python"
# Sources of images that are a path; the others name what the program itself brings.
_OF_PATHS: Final = frozenset({"folder", "cifar10", "cifar100", "idx", "npz"})
_Config = TypeVar("_Config", bound="BaseModel")


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
        accuracy: of `best` on validation images after a short training alone, from 0 to 1.
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
        accuracy: on the test images, from 0 to 1.
        weights: file of the trained weights, which `export` takes.
        result: all that `result.json` holds.
    """

    folder: Path
    architecture: Architecture
    accuracy: float
    weights: Path
    result: "TrainingResult"


def evolve(
    data: "Data | None" = None,
    *,
    preset: str | None = None,
    config: Place | None = None,
    skeleton: Skeleton | Mapping[str, Any] | str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: int | None = 1,
    out: Place | None = None,
    force: bool = False,
    resume: Place | None = None,
    observer: Observer | None = None,
) -> Evolved:
    """Learns a search space, or goes on with a run that was stopped.

    Preset, `config`, `settings`, and the other arguments override each other in this order.

    Args:
        data: The images; by default those of the settings.
        preset: `demo`, `cifar-small`, `cifar` or `imagenet-mobile`.
        config: A TOML file of settings.
        skeleton: The network around the cells: a value, the content of its file as a dictionary,
            the name of a built-in one, or a file.
        settings: Nested settings: `{"evolution": {"generations": 3}}`.
        seed: Equal seeds give equal spaces.
        device: `auto`, `cpu` or `cuda[:n]`.
        workers: Processes that train cells on a CPU; None for as many as cores and memory allow.
            They change the time only. More than one need `if __name__ == "__main__"` in a script.
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
    from autospace.evolution.learn import Passed, learn

    source, passed = _data(data)
    value = _skeleton(skeleton)
    if resume is not None:
        others = (preset, config, skeleton, settings or None, seed, out, force or None)
        folder = _opened(RunFolder, resume, data, others)
    else:
        name = _PYTHON if isinstance(value, Skeleton) else value
        given = (settings or {}, source, _present(skeleton=name, seed=seed, device=device))
        chosen = _evolve_config(preset, config, given)
        target = out or RUNS / f"{preset or 'evolve'}-seed{chosen.seed}"
        folder = RunFolder.create(Path(target), chosen, force=force)
    with _running(folder, "run", observer) as listener:
        own = Passed(passed, value if isinstance(value, Skeleton) else None)
        return Evolved(folder.path, learn(folder, listener, device, workers, own))


def compare(
    spaces: Sequence[Space | Place] = (),
    data: "Data | None" = None,
    *,
    settings: Settings | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: int | None = 1,
    out: Place | None = None,
    force: bool = False,
    resume: Place | None = None,
    observer: Observer | None = None,
) -> Compared:
    """Compares spaces by networks of equal cost drawn from them, or goes on with a comparison.

    Args:
        spaces: Two or more: values, files, run folders, `NAME@SKELETON`, `NAME@RUN` or
            `random@RUN`.
        data: The images to train and measure on.
        settings: Nested settings: `{"sampling": {"samples": 20}}`.
        seed: Equal seeds give equal results.
        device: `auto`, `cpu` or `cuda[:n]`.
        workers: Processes that evaluate networks; None for one per core, on a GPU one. They change
            the time only. More than one need `if __name__ == "__main__"` in a script.
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

    source, passed = _data(data)
    if resume is not None:
        others = (spaces or None, settings or None, seed, out, force or None)
        folder = _opened(ComparisonFolder, resume, data, others)
    else:
        given = (settings or {}, source, _present(seed=seed, device=device))
        chosen = _compare_config(spaces, given)
        target = out or RUNS / f"compare-seed{chosen.seed}"
        folder = ComparisonFolder.create(Path(target), chosen, force=force)
    values = tuple(each if isinstance(each, Space) else None for each in spaces)
    if not folder.finished:
        with _running(folder, "comparison", observer) as listener:
            run_comparison(
                folder, listener, device=device, workers=workers, spaces=values, images=passed
            )
    report = write_report(folder.path)
    return Compared(folder.path, read_comparison(folder.result), report)


def search(
    space: Space | Place | None = None,
    data: "Data | None" = None,
    *,
    method: str | None = None,
    settings: Settings | None = None,
    seed: int | None = None,
    device: str | None = None,
    out: Place | None = None,
    force: bool = False,
    resume: Place | None = None,
    observer: Observer | None = None,
) -> Searched:
    """Searches a space for an architecture, or goes on with a search that was stopped.

    Args:
        space: A value, a file, a run folder, or a built-in as `NAME@SKELETON`.
        data: The images. Weights are trained on one half of the train split, networks are evaluated
            on the other.
        method: As `autospace search --list` shows them.
        settings: Nested settings: `{"supernet": {"steps": 500}, "options": {"population": 50}}`.
        seed: Equal seeds give equal results.
        device: `auto`, `cpu` or `cuda[:n]`.
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
    from autospace.searchers.settings import SearchConfig

    source, passed = _data(data)
    value = None
    if resume is not None:
        others = (space, method, settings or None, seed, out, force or None)
        folder = _opened(SearchFolder, resume, data, others)
    else:
        given = (settings or {}, source, _present(method=method, seed=seed, device=device))
        chosen = _configured(SearchConfig, *given)
        value = _space(space)
        target = out or RUNS / f"search-{chosen.method}-seed{chosen.seed}"
        folder = SearchFolder.create(Path(target), chosen, force=force)
    with _running(folder, "search", observer) as listener:
        result = run_search(folder, value, listener, device, passed)
    best = load_architecture(folder.path / BEST)
    return Searched(folder.path, best, result.accuracy, result)


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
        data: The images. The test split is looked at once, at the end.
        space: What the cell ids of a flat file refer to.
        recipe: `digits`, `cifar-small`, `cifar` or `mobile`, or a TOML file of settings; by default
            the recipe that goes with the skeleton.
        settings: Nested settings: `{"training": {"epochs": 20}}`.
        seed: Equal seeds give equal weights.
        device: `auto`, `cpu` or `cuda[:n]`.
        out: Folder of the new training; by default below `runs/`.
        force: Replace a training that is in the folder.
        resume: Folder of a training to go on with; see `evolve`.
        observer: Receives the progress, and may raise to stop the training.

    Returns:
        The test accuracy and the file of weights. A finished training is only read.

    Raises:
        AutospaceError: What was asked for cannot be; the message says what is allowed.
        RunInterrupted: The training was stopped.
    """
    from autospace.training.folder import WEIGHTS, TrainingFolder
    from autospace.training.full import train_architecture

    source, passed = _data(data)
    value = None
    if resume is not None:
        others = (architecture, space, recipe, settings or None, seed, out, force or None)
        folder = _opened(TrainingFolder, resume, data, others)
    else:
        value = _architecture(architecture, space)
        given = (settings or {}, source, _present(seed=seed, device=device))
        base = _recipe(recipe, settings or {}, value)
        chosen = _train_config(architecture, (base, *given))
        target = out or RUNS / f"train-{_plain(chosen.architecture)}-seed{chosen.seed}"
        folder = TrainingFolder.create(Path(target), chosen, force=force)
    with _running(folder, "training", observer) as listener:
        result = train_architecture(
            folder, listener, architecture=value, device=device, images=passed
        )
    weights = folder.path / WEIGHTS
    return Trained(folder.path, folder.architecture, result.test_accuracy, weights, result)


@overload
def export(
    value: Space | Architecture | Place, to: str, out: None = None, *, weights: Place | None = None
) -> str: ...


@overload
def export(
    value: Space | Architecture | Place, to: str, out: Place, *, weights: Place | None = None
) -> Path: ...


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
        AutospaceError: No such target, or it does not take such a value.
        OSError: The file cannot be written.
    """
    from autospace.exporters.targets import TARGETS
    from autospace.runs.files import write_atomically

    if to not in TARGETS:
        raise ConfigError(f"to {to!r}: unknown target; allowed: {', '.join(TARGETS)}")
    target = TARGETS[to]
    if weights is not None and not target.deployed:
        raise ConfigError(f"weights: files of {to} hold no weights; allowed: with onnx and pt2")
    exported = _exported(value, to, target.takes)
    if target.deployed:
        # PyTorch's exporters take seconds to load.
        from autospace.networks.deploy import deploy

        if out is None:
            raise ConfigError(f"out: missing; {to} is a binary file, which needs a name")
        trained = None if weights is None else Path(weights)
        made: Any = deploy
        made(exported, to, Path(out), weights=trained)
        return Path(out)
    write: Any = target.space if isinstance(exported, Space) else target.architecture
    text: str = write(exported)
    if out is None:
        return text
    write_atomically(Path(out), text)
    return Path(out)


def _exported(value: Space | Architecture | Place, to: str, takes: str) -> Space | Architecture:
    """The value of the kind that the target takes."""
    found = load_any(value) if isinstance(value, str | Path) else value
    source = value if isinstance(value, str | Path) else "the value"
    if isinstance(found, Space) and takes == "architecture":
        if found.size > 1:
            problem = f"is a space, but {to} takes one architecture"
            raise ConfigError(f"{source}: {problem}; autospace sample draws some")
        return found.architecture({each.shape.name: each.candidates[0].id for each in found.layers})
    if isinstance(found, Architecture) and takes == "space":
        raise ConfigError(f"{source}: {to} takes a space, not one architecture of it")
    return found


@contextmanager
def _running(folder: "Folder[Any]", kind: str, observer: Observer | None) -> Iterator[Observer]:
    """The observer of a run in progress; an interruption says what is left in the folder."""
    listener = observer or Silent()
    if folder.finished:
        listener.message(f"{folder.path}: the {kind} is finished already")
    try:
        yield listener
    except KeyboardInterrupt:
        left = (folder.path / CONFIG).is_file() and not folder.replacing
        raise RunInterrupted(folder.path, resumable=left, untouched=folder.replacing) from None


_Folder = TypeVar("_Folder", bound="Folder[Any]")


def _opened(
    kind: type[_Folder], path: Place, data: "Data | None", others: Sequence[Any]
) -> _Folder:
    """The folder of a run to go on with, once nothing contradicts its settings."""
    if any(each is not None for each in others):
        allowed = "data (images passed from Python), device, workers and observer"
        raise ConfigError(f"resume: goes on with the settings of the run; allowed: {allowed}")
    folder = kind.open(Path(path))
    source = folder.config.data.source
    if data is not None and (isinstance(data, str) or source != _PYTHON):
        allowed = "the images that were passed" if source == _PYTHON else "no data"
        raise ConfigError(f"data: {path} has its images from {source}; allowed: {allowed}")
    return folder


def _evolve_config(preset: str | None, file: Place | None, given: Sequence[Settings]) -> "Config":
    from autospace.evolution.settings import NEEDS_DATA, Config
    from autospace.evolution.settings import preset as settings_of

    layers = (
        settings_of(preset) if preset is not None else {},
        read_config(Path(file), "evolve") if file is not None else {},
        *given,
    )
    if preset in NEEDS_DATA and not _has_data(layers):
        raise ConfigError(f"preset {preset}: needs your images; add {NEEDS_DATA[preset]}")
    return _placed(make_settings(Config, *layers))


def _compare_config(spaces: Sequence[Space | Place], given: Sequence[Settings]) -> "CompareConfig":
    from autospace.comparison.settings import MOST_SPACES, CompareConfig

    if not 2 <= len(spaces) <= MOST_SPACES:
        found = f"{len(spaces)} space{'' if len(spaces) == 1 else 's'}"
        raise ConfigError(f"spaces: {found}; allowed: 2 to {MOST_SPACES}, such as RUN mbconv@RUN")
    names = {"spaces": [_placed_space(each) for each in spaces]}
    return _configured(CompareConfig, *given, names)


def _train_config(
    architecture: Architecture | Place | None, layers: Sequence[Settings]
) -> "TrainConfig":
    from autospace.training.settings import TrainConfig

    if not isinstance(architecture, Architecture):
        layers = (*layers, {"architecture": _name(architecture)})
    return _configured(TrainConfig, *layers)


def _data(data: "Data | None") -> "tuple[dict[str, Any], DataSet | None]":
    """The settings that name the images, and the images that were passed as values."""
    if data is None:
        return {}, None
    if isinstance(data, str):
        return {"data": {"source": data}}, None
    from autospace.data.examples import DataSet
    from autospace.data.readers.arrays import images

    return {"data": {"source": _PYTHON}}, data if isinstance(data, DataSet) else images(data)


def _has_data(layers: Sequence[Settings]) -> bool:
    sections = [layer.get("data") for layer in layers]
    return any("source" in section for section in sections if isinstance(section, Mapping))


def _configured(kind: type[_Config], *layers: Settings) -> _Config:
    """The configuration of a run whose images have no default."""
    config = make_settings(kind, *layers)
    if not _has_data(layers):
        raise ConfigError("data: name the images, such as digits or folder:PATH")
    return _placed(config)


def _space(given: Space | Place | None) -> Space:
    if isinstance(given, Space):
        return given
    if not given:
        problem = "name a space: a file, a run folder, or a built-in such as mbconv@digits"
        raise ConfigError(f"space: {problem}")
    return load(given)


def _skeleton(given: Skeleton | Mapping[str, Any] | str | None) -> Skeleton | str | None:
    if not isinstance(given, Mapping):
        return given
    try:
        value = from_json(canonical_json(given))
    except (TypeError, ValueError) as error:
        raise SpaceError("skeleton", str(error)) from None
    if not isinstance(value, Skeleton):
        raise SpaceError("skeleton", "holds no skeleton; allowed: format autospace.skeleton")
    return value


def _present(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _placed(config: _Config) -> _Config:
    """The configuration with paths that hold wherever the run is resumed from."""
    plain = config.model_dump()
    kind, _, path = plain["data"]["source"].partition(":")
    if kind in _OF_PATHS and path.strip():
        plain["data"]["source"] = f"{kind}:{_absolute(path)}"
    if Path(plain.get("skeleton", "")).suffix in {".json", ".toml"}:
        plain["skeleton"] = _absolute(plain["skeleton"])
    if plain.get("budget", {}).get("latency_table") is not None:
        plain["budget"]["latency_table"] = _absolute(plain["budget"]["latency_table"])
    if plain.get("cache"):
        plain["cache"] = _absolute(plain["cache"])
    return make_settings(type(config), plain)


def _placed_space(source: Space | Place) -> str:
    """The text of a space in the settings, with a path that holds from everywhere."""
    if isinstance(source, Space):
        return f"{_PYTHON}:{source.name}"
    if Path(source).exists():
        return _absolute(str(source))
    kind, at, place = str(source).partition("@")
    return f"{kind}@{_absolute(place)}" if at and Path(place).exists() else str(source)


def _absolute(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except (RuntimeError, OSError):
        return path  # no such home, or no current folder


def _architecture(given: Architecture | Place | None, space: Space | Place | None) -> Architecture:
    if isinstance(given, Architecture):
        return given
    if not given:
        problem = "name an architecture: a file, or a built-in such as reference@cifar"
        raise ConfigError(f"architecture: {problem}")
    return load_architecture(given, load(space) if isinstance(space, str | Path) else space)


def _recipe(name: str | None, settings: Settings, architecture: Architecture) -> dict[str, Any]:
    """The settings of a recipe, or of a file of settings."""
    from autospace.training.settings import RECIPES, recipe_for

    if name is not None and name not in RECIPES:
        if not name.endswith(".toml"):
            known = f"{', '.join(RECIPES)}, or a .toml file"
            raise ConfigError(f"recipe {shown(name)}: unknown; allowed: {known}")
        return read_config(Path(name), "train")
    section = settings.get("data")
    side = section.get("resolution") if isinstance(section, Mapping) else None
    side = side if isinstance(side, int) else None
    return RECIPES[name or recipe_for(architecture.skeleton, side)]


def _name(source: Place | None) -> str:
    """What people call it: the last part of a path, whole names of built-ins."""
    family, at, skeleton = str(source).partition("@")
    built_in = at and not Path(str(source)).exists()
    name = f"{family}@{Path(skeleton).stem}" if built_in else Path(str(source)).stem
    return name[:MAX_NAME] or "network"


def _plain(name: str) -> str:
    """A name as a part of a path that no shell and no file system minds."""
    return re.sub(r"[^A-Za-z0-9._@+]+", "-", name)[:80].strip("-.") or "network"
