"""From what a program passes to a function of the API to settings and values."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, TypeAlias, TypeVar

from autospace.data.settings import PYTHON, WITH_PATH
from autospace.latency.table import is_built_in
from autospace.progress import Silent
from autospace.runs.errors import ConfigError
from autospace.runs.folder import Folder
from autospace.runs.images import images_of_runs
from autospace.runs.settings import make_settings, read_config
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.files.codec import canonical_json, from_json
from autospace.spaces.files.library import load, load_any, load_architecture
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Space

if TYPE_CHECKING:
    from pydantic import BaseModel

    from autospace.comparison.settings import CompareConfig
    from autospace.data.examples import DataSet
    from autospace.data.readers.arrays import Given
    from autospace.evolution.settings import Config
    from autospace.searchers.settings import SearchConfig


Place: TypeAlias = Path | str
Settings: TypeAlias = Mapping[str, Any]
Data: TypeAlias = "str | DataSet | Given"
"""A text as `--data` takes it, what `images` returns, or what `images` takes as its first value."""
_Config = TypeVar("_Config", bound="BaseModel")


_Call = ParamSpec("_Call")
_Result = TypeVar("_Result")


def checked(function: Callable[_Call, _Result]) -> Callable[_Call, _Result]:
    """The function, which first refuses arguments of a wrong type with a `ConfigError`."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: _Call.args, **kwargs: _Call.kwargs) -> _Result:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            fits, allowed = _KINDS.get(name, (_anything, ""))
            if value is not signature.parameters[name].default and not fits(value):
                raise ConfigError(f"{name}: {shown(value)}; allowed: {allowed}")
        return function(*args, **kwargs)

    return call


def _anything(value: Any) -> bool:
    return True  # other parts check it


def _of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _is_place(value: Any) -> bool:
    return isinstance(value, str | Path)


def _do_work(value: Any) -> bool:
    if value is None or type(value) is int:
        return value is None or value >= 1
    from autospace.compute.executor import Executor

    return isinstance(value, Executor)


def _are_spaces(value: Any) -> bool:
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return several and all(isinstance(each, Space | str | Path) for each in value)


def _observes(value: Any) -> bool:
    return all(callable(getattr(value, name, None)) for name in _OBSERVED)


_OBSERVED: Final = [name for name in vars(Silent) if not name.startswith("_")]
_TEXT: Final = (_of(str), "a text")
_FILE: Final = (_is_place, "the path of a file, as str or Path")
_FOLDER: Final = (_is_place, "the path of a folder, as str or Path")
_KINDS: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "preset": _TEXT,
    "config": _FILE,
    "skeleton": (_of(Skeleton, Mapping, str), "a skeleton, its content as a dictionary, or a name"),
    "settings": (_of(Mapping), "a dictionary of settings"),
    "device": _TEXT,
    "workers": (_do_work, "a whole number of at least 1, None, or an Executor"),
    "out": _FOLDER,
    "force": (_of(bool), "True or False"),
    "resume": _FOLDER,
    "observer": (_observes, "an object that derives from autospace.Silent"),
    "spaces": (_are_spaces, "a list of two or more spaces: values, files, folders or names"),
    "space": (_of(Space, str, Path), "a space, a file, a folder or a name"),
    "architecture": (_of(Architecture, str, Path), "an architecture, a file or a name"),
    "value": (_of(Space, Architecture, str, Path), "a space, an architecture, a file or a name"),
    "to": _TEXT,
    "method": _TEXT,
    "recipe": _TEXT,
    "weights": _FILE,
}
"""By the name of an argument: what it may be, and that in words."""


def evolve_config(preset: str | None, file: Place | None, given: Sequence[Settings]) -> "Config":
    """The settings of `evolve`; later ones override earlier ones."""
    from autospace.evolution.settings import NEEDS_DATA, Config
    from autospace.evolution.settings import preset as settings_of

    base = settings_of(preset) if preset is not None else {}
    layers = (base, read_config(Path(file), "evolve") if file is not None else {}, *given)
    if preset in NEEDS_DATA and not _has_data(layers):
        advice = f"add --data {NEEDS_DATA[preset]} (data= in Python)"
        raise ConfigError(f"preset {preset}: needs your images; {advice}")
    try:
        return _placed(make_settings(Config, *layers))
    except ConfigError:
        if file is not None:
            # What is wrong whatever else is given is wrong in the file, which errors then name.
            make_settings(Config, *layers[:2], path=Path(file))
        raise


def compare_config(spaces: Sequence[Space | Place], given: Sequence[Settings]) -> "CompareConfig":
    """The settings of `compare`; spaces that are values are named `python:NAME`."""
    from autospace.comparison.settings import MOST_SPACES, CompareConfig
    from autospace.training.short import RATES

    if not 2 <= len(spaces) <= MOST_SPACES:
        found = f"{len(spaces)} space{'' if len(spaces) == 1 else 's'}"
        raise ConfigError(f"spaces: {found}; allowed: 2 to {MOST_SPACES}, such as RUN mbconv@RUN")
    names = {"spaces": [_placed_space(each) for each in spaces]}
    on_table = any(_has_table(layer) for layer in given)
    rate = None if on_table else RATES.get(_read_by(spaces[0]))
    return configured(CompareConfig, _rates(evaluator=rate), *given, names)


def search_config(space: Space, given: Sequence[Settings]) -> "SearchConfig":
    """The settings of `search`."""
    from autospace.searchers.settings import SearchConfig
    from autospace.supernets.settings import SHARED_RATES
    from autospace.training.short import RATES

    reads = space.skeleton.reads
    usual = _rates(supernet=SHARED_RATES.get(reads), trial=RATES.get(reads))
    return configured(SearchConfig, usual, *given)


def _rates(**rates: float | None) -> dict[str, Any]:
    """Learning rates by the sections of the settings, where there are usual ones."""
    found = {name: rate for name, rate in rates.items() if rate is not None}
    return {name: {"learning_rate": rate} for name, rate in found.items()}


def _read_by(space: Space | Place) -> str:
    """What networks of a space read; images where there is no such space, as shows later."""
    from autospace.comparison.setup import load_source

    try:
        found = space if isinstance(space, Space) else load_source(str(space), 0)
    except SpaceError:
        return "images"
    return found.skeleton.reads


def train_config(
    kind: type[_Config],
    architecture: Architecture | Place | None,
    recipe: Settings,
    given: Sequence[Settings],
) -> _Config:
    """The settings of `train`; they name the architecture, by default as its file or built-in."""
    default: dict[str, Any] = {}
    if not isinstance(architecture, Architecture):
        default = {"architecture": name_of(architecture)}
    return configured(kind, recipe, default, *given)


def data_of(data: "Data | None") -> "tuple[dict[str, Any], DataSet | None]":
    """The settings that name the images, and the images that were passed as values."""
    if data is None:
        return {}, None
    if isinstance(data, str):
        return {"data": {"source": data}}, None
    from autospace.data.examples import DataSet
    from autospace.data.readers.arrays import images

    return {"data": {"source": PYTHON}}, data if isinstance(data, DataSet) else images(data)


def inherited(
    kind: "type[BaseModel]", sources: Sequence[object], *layers: Settings
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The images of the runs behind some spaces, where no layer of settings names any.

    Args:
        kind: the section `data` of the new run.
        sources: spaces and architectures; those that are no paths have no run.
        layers: the settings of the new run.

    Returns:
        Settings that the layers override, and a remark for the user.
    """
    if _has_data(layers) or any(_has_table(layer) for layer in layers):
        return {}, ()
    named = [each for each in sources if isinstance(each, str | Path) and str(each)]
    found, run = images_of_runs(named)
    data = {name: value for name, value in found.items() if name in kind.model_fields}
    remark = f"no data named: those of {run} are used, {data['source']}" if data else ""
    return ({"data": data} if data else {}), ((remark,) if remark else ())


def _has_table(layer: Settings) -> bool:
    section = layer.get("evaluator")
    return isinstance(section, Mapping) and section.get("table") is not None


def _has_data(layers: Sequence[Settings]) -> bool:
    sections = [layer.get("data") for layer in layers]
    return any("source" in section for section in sections if isinstance(section, Mapping))


def configured(kind: type[_Config], *layers: Settings) -> _Config:
    """The configuration of a run whose images have no default; with a table, it has none."""
    config = make_settings(kind, *layers)
    plain = config.model_dump()
    if not _has_data(layers) and plain.get("evaluator", {}).get("table") is None:
        others = "or the text, sentences or captions that the networks read"
        raise ConfigError(f"data: name the images, such as digits or folder:PATH, {others}")
    return _placed(config)


def space_of(given: Space | Place | None) -> Space:
    """The space that was passed or named."""
    if isinstance(given, Space):
        return given
    if not given:
        problem = "name a space: a file, a run folder, or a built-in such as mbconv@digits"
        raise ConfigError(f"space: {problem}")
    return load(given)


def skeleton_of(given: Skeleton | Mapping[str, Any] | str | None) -> Skeleton | str | None:
    """A skeleton as a value, or the name of one; None for that of the settings."""
    if not isinstance(given, Mapping):
        return given
    try:
        value = from_json(canonical_json(given))
    except (TypeError, ValueError) as error:
        raise SpaceError("skeleton", str(error)) from None
    if not isinstance(value, Skeleton):
        raise SpaceError("skeleton", "holds no skeleton; allowed: format autospace.skeleton")
    return value


def present(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _placed(config: _Config) -> _Config:
    """The configuration with paths that hold wherever the run is resumed from."""
    plain = config.model_dump()
    plain["data"]["source"] = _placed_text(plain["data"]["source"])
    kind, _, path = plain["data"]["source"].partition(":")
    if kind in WITH_PATH and path.strip():
        plain["data"]["source"] = f"{kind}:{_absolute(path)}"
    if Path(plain.get("skeleton", "")).suffix in {".json", ".toml"}:
        plain["skeleton"] = _absolute(plain["skeleton"])
    table = plain.get("budget", {}).get("latency_table")
    if table is not None and not is_built_in(table):
        plain["budget"]["latency_table"] = _absolute(table)
    if Path((plain.get("evaluator", {}).get("table")) or "").is_file():
        plain["evaluator"]["table"] = _absolute(plain["evaluator"]["table"])
    if plain.get("cache"):
        plain["cache"] = _absolute(plain["cache"])
    if isinstance(teacher := plain.get("options", {}).get("teacher"), str):
        plain["options"]["teacher"] = _absolute(teacher)
    return make_settings(type(config), plain)


def _placed_text(source: str) -> str:
    """The source of a text, of sentences or of captions with a path that holds from everywhere.

    Any other one as it is.
    """
    from autospace.captions.source import is_captions, parse_captions
    from autospace.data.request import SENTENCES, parse_source
    from autospace.text.source import is_text, parse_text

    if source.partition(":")[0] == SENTENCES:
        return _placed_source(parse_source(source))
    if is_text(source):
        return _placed_source(parse_text(source))
    return _placed_source(parse_captions(source)) if is_captions(source) else source


def _placed_source(parsed: Any) -> str:
    """A source with its path as an absolute one."""
    if parsed.path is None:
        return str(parsed.text)
    return str(replace(parsed, path=Path(_absolute(str(parsed.path)))).text)


def _placed_space(source: Space | Place) -> str:
    """The text of a space in the settings, with a path that holds from everywhere."""
    if isinstance(source, Space):
        return f"{PYTHON}:{source.name}"
    if Path(source).exists():
        return _absolute(str(source))
    kind, at, place = str(source).partition("@")
    return f"{kind}@{_absolute(place)}" if at and Path(place).exists() else str(source)


def _absolute(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except (RuntimeError, OSError):
        return path  # no such home, or no current folder


def architecture_of(
    given: Architecture | Place | None, space: Space | Place | None
) -> Architecture:
    """The architecture that was passed or named; the ids of a flat file refer to the space."""
    if isinstance(given, Architecture):
        return given
    if not given:
        problem = "name an architecture: a file, or a built-in such as reference@cifar"
        raise ConfigError(f"architecture: {problem}")
    return load_architecture(given, load(space) if isinstance(space, str | Path) else space)


def recipe_settings(
    name: str | None, settings: Settings, architecture: Architecture
) -> dict[str, Any]:
    """The settings of a recipe, or of a file of settings."""
    from autospace.training.settings import FOR_SENTENCES, RECIPES, recipe_for, recipe_of

    if name is not None and name not in RECIPES:
        if not name.endswith(".toml"):
            known = offered(name, RECIPES, f"{', '.join(RECIPES)}, or a .toml file")
            raise ConfigError(f"recipe {shown(name)}: unknown; {known}")
        return read_config(Path(name), "train")
    epochs, method = _given(settings, "training", "epochs"), _given(settings, "optimizer", "method")
    if name is None and architecture.skeleton.reads == "sentences":
        return recipe_of(FOR_SENTENCES, epochs, method)
    side = _given(settings, "data", "resolution")
    side = side if isinstance(side, int) else None
    chosen = name or recipe_for(architecture.skeleton, side)
    return recipe_of(RECIPES[chosen], epochs, method)


def _given(settings: Settings, section: str, name: str) -> Any:
    """A value of the settings that were given; they are not checked yet."""
    found = settings.get(section)
    return found.get(name) if isinstance(found, Mapping) else None


class Training(NamedTuple):
    """Who trains networks, by what their skeletons read.

    Attributes:
        folder: the type of the folder of a training.
        settings: the type of its settings.
        data: the type of their section `data`.
        recipe: the settings of a recipe, by its name, other settings and the architecture.
        run: trains what a folder holds.
    """

    folder: Any
    settings: Any
    data: Any
    recipe: Callable[[str | None, Settings, Architecture], dict[str, Any]]
    run: Callable[..., Any]


def training_of(reads: str) -> Training:
    """How networks are trained that read images, text, or images with captions."""
    if reads == "captions":
        from autospace.captions.full import CaptionFolder, caption_recipe, train_captioner
        from autospace.captions.session import CaptionConfig, CaptionTrainConfig

        return Training(
            CaptionFolder,
            CaptionTrainConfig,
            CaptionConfig,
            lambda name, settings, architecture: caption_recipe(name),
            train_captioner,
        )
    if reads == "text":
        from autospace.text.folder import TextFolder
        from autospace.text.full import train_language_model
        from autospace.text.settings import TextConfig, TextTrainConfig, text_recipe

        return Training(
            TextFolder,
            TextTrainConfig,
            TextConfig,
            lambda name, settings, architecture: text_recipe(name, architecture),
            train_language_model,
        )
    from autospace.training.folder import TrainingFolder
    from autospace.training.full import train_architecture
    from autospace.training.settings import ImagesConfig, TrainConfig

    return Training(TrainingFolder, TrainConfig, ImagesConfig, recipe_settings, train_architecture)


def trained_in(path: Path) -> str:
    """What the network of a training reads; images where the folder does not say."""
    for name in ("architecture.json", "checkpoint/given.json"):
        if (path / name).is_file():
            try:
                return load_any(path / name).skeleton.reads
            except SpaceError:
                break  # who opens the folder says what is wrong
    return "images"


def name_of(source: Place | None) -> str:
    """What people call it: the last part of a path, whole names of built-ins."""
    family, at, skeleton = str(source).partition("@")
    built_in = at and not Path(str(source)).exists()
    name = f"{family}@{Path(skeleton).stem}" if built_in else Path(str(source)).stem
    return name[:MAX_NAME] or "network"


def plain_name(name: str) -> str:
    """A name as a part of a path that no shell and no file system minds."""
    return re.sub(r"[^A-Za-z0-9._@+]+", "-", name)[:80].strip("-.") or "network"


def exportable(value: Space | Architecture | Place, to: str, takes: str) -> Space | Architecture:
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


_Folder = TypeVar("_Folder", bound="Folder[Any]")


def opened(kind: type[_Folder], path: Place, data: "Data | None", others: Sequence[Any]) -> _Folder:
    """The folder of a run to go on with, once nothing contradicts its settings."""
    if any(each is not None for each in others):
        allowed = "data (images passed from Python), device, workers and observer"
        raise ConfigError(f"resume: goes on with the settings of the run; allowed: {allowed}")
    folder = kind.open(Path(path))
    source = folder.config.data.source
    if data is not None and (isinstance(data, str) or source != PYTHON):
        allowed = "the images that were passed" if source == PYTHON else "no data"
        raise ConfigError(f"data: {path} has its images from {source}; allowed: {allowed}")
    return folder
