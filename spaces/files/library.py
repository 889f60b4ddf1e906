"""Loads built-in skeletons and spaces, and makes spaces and architectures of names and paths."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.files import document as doc
from autospace.spaces.files.codec import read, said_of, skeleton_from
from autospace.spaces.files.families import (
    FAMILY_NAMES,
    OWN_NAMES,
    OWN_SKELETONS,
    builtin_document,
    family_space,
)
from autospace.spaces.files.foreign import own_elsewhere, refuse_foreign
from autospace.spaces.files.reading import parse_json, read_text
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Space

SKELETON_NAMES = ("digits", "cifar", "nasbench-macro", "mobile", "mobilenetv2")
OWN_SKELETON_NAMES: Final = tuple(
    dict.fromkeys(name for names in OWN_SKELETONS.values() for name in names)
)
ALL_SKELETONS: Final = (*SKELETON_NAMES, *OWN_SKELETON_NAMES)
FILE_SUFFIXES: Final = (".json", ".toml")
SPACE_FILE = "space.json"
NO_SPACE = "these cell ids need their space; name it with --space (space= in Python)"


def builtin_names() -> tuple[str, ...]:
    """Every built-in space, as `NAME@SKELETON`."""
    pairs = tuple(f"{family}@{skeleton}" for family in FAMILY_NAMES for skeleton in SKELETON_NAMES)
    own = (f"{family}@{name}" for family, names in OWN_SKELETONS.items() for name in names)
    return (*pairs, *own)


def load_builtin(name: str) -> Space:
    """A built-in family on a skeleton, `mbconv@cifar` or `mbconv@runs/first` for example.

    Raises:
        SpaceError: no built-in space of this name.
    """
    family, _, skeleton = name.partition("@")
    names = (*FAMILY_NAMES, *OWN_NAMES)
    if family not in names:
        words = f"NAME@SKELETON with NAME one of {', '.join(names)}"
        known = offered(family, names, words)
        raise SpaceError(name or '""', f"unknown space; {known}")
    fitting = OWN_SKELETONS.get(family, SKELETON_NAMES)
    if not skeleton:
        raise SpaceError(name, f"no skeleton after the @; allowed: {', '.join(fitting)}")
    return family_space(family, skeleton_of(skeleton, fitting))


def load_skeleton(name: str) -> Skeleton:
    """A built-in skeleton by name, or one from a JSON or TOML file.

    Raises:
        SpaceError: the skeleton does not exist, or the file does not hold a valid one.
    """
    if name in ALL_SKELETONS:
        return _skeleton(name)
    path = Path(name)
    if path.suffix not in FILE_SUFFIXES:
        raise _no_skeleton(name, ALL_SKELETONS, "a .json or .toml file")
    value = read(path)
    if not isinstance(value, Skeleton):
        raise SpaceError(name, f"does not hold a skeleton; allowed: format {doc.SKELETON_FORMAT}")
    return value


def _no_skeleton(name: str, names: Sequence[str], others: str) -> SpaceError:
    """The error of a name or path that is no skeleton."""
    if os.path.lexists(name):
        known = "a name of one, a .json or .toml file, or a run folder"
        return SpaceError(name, f"holds no skeleton; allowed: {known}")
    missing = "no such file or folder" if os.sep in name else "unknown skeleton"
    known = offered(name, names, f"{', '.join(names)}, or {others}")
    return SpaceError(name or '""', f"{missing}; {known}")


def skeleton_of(source: str, names: Sequence[str] = ALL_SKELETONS) -> Skeleton:
    """A skeleton by its name or file, or that of a space, architecture or run.

    Args:
        source: the name or path.
        names: the built-in skeletons that an error offers.

    Raises:
        SpaceError: it does not exist or is not valid.
    """
    there = os.path.lexists(source)
    if source in ALL_SKELETONS or (not there and Path(source).suffix in FILE_SUFFIXES):
        return load_skeleton(source)
    if not there:
        raise _no_skeleton(source, names, "a file or a run folder")
    if os.path.isfile(source):
        value = read(Path(source))
        return value if isinstance(value, Skeleton) else value.skeleton
    return load_any(source).skeleton


def load_any(source: str | Path) -> Space | Architecture:
    """A space or architecture: a file, a run folder, or a built-in as `NAME@SKELETON`."""
    if not isinstance(source, str | Path):
        problem = f"{shown(source)}; allowed: a file, a run folder, or a built-in as text"
        raise SpaceError("space", problem)
    # os.path, unlike pathlib, answers False to names that no file system takes.
    if not os.path.lexists(source):
        if "@" in str(source) and os.sep not in str(source).partition("@")[0]:
            return load_builtin(str(source))
        words = f"a file, a run folder, or a built-in such as {builtin_names()[1]}"
        missing = "no such file or folder" if _is_path(source) else "no such space"
        names = () if _is_path(source) else builtin_names()
        raise SpaceError(str(source) or '""', f"{missing}; {offered(str(source), names, words)}")
    path = Path(source)
    if path.is_dir():
        if not (path / SPACE_FILE).exists():
            raise SpaceError(str(path), _without_space(path))
        path = path / SPACE_FILE
    value = read(path)
    if isinstance(value, Skeleton):
        raise SpaceError(str(path), f"a skeleton; allowed: a space, or {FAMILY_NAMES[0]}@{path}")
    return value


def _is_path(source: str | Path) -> bool:
    """Whether it is meant as a file or folder: no built-in has a suffix or a separator."""
    return isinstance(source, Path) or bool(Path(source).suffix) or os.sep in source


def load(source: str | Path) -> Space:
    """A space: a file, a run folder, or a built-in as `NAME@SKELETON`.

    Raises:
        SpaceError: it does not exist or is not a valid space; the message states what and where.
    """
    value = load_any(source)
    if not isinstance(value, Space):
        raise SpaceError(str(source), f"an architecture; allowed: format {doc.SPACE_FORMAT}")
    return value


def _without_space(folder: Path) -> str:
    """The problem of a folder that holds no space."""
    for name, kind, holds in _OTHER_RUNS:
        if (folder / name).exists():
            return f"holds {kind}, not a space; allowed: {folder / name}, {holds}"
    if (folder / _COMPARISON).exists():
        return f"holds a comparison, not a space; autospace report {folder} shows it"
    if (folder / "config.toml").exists():
        return f"the folder has no {SPACE_FILE}; has the run finished?"
    images = f"; images are named by --data folder:{folder}"
    has_folders = any(each.is_dir() for each in folder.iterdir())
    return f"the folder has no {SPACE_FILE} and no run{images if has_folders else ''}"


# A training's folder has no best.json, and a search's has no architecture.json.
_OTHER_RUNS: Final = (
    ("best.json", "a search", "the architecture that it found"),
    ("architecture.json", "a training", "the architecture that it trains"),
)
_COMPARISON: Final = "comparison.json"


@cache
def _skeleton(name: str) -> Skeleton:
    return skeleton_from(builtin_document(f"skeletons/{name}.json")[0])


def load_architecture(source: str | Path, space: Space | None = None) -> Architecture:
    """An architecture: a file of one, a flat `{"layer_03": "cell id"}`, or a space of just one.

    Args:
        source: path of a file, or whatever `load_any` takes.
        space: what the ids of a flat file refer to.

    Raises:
        SpaceError: it does not exist, is not valid or leaves a choice open, or it is a flat file
            without a space.
    """
    if isinstance(source, str | Path) and os.path.isfile(source) and Path(source).suffix != ".toml":
        text = read_text(Path(source))
        try:
            choices = parse_json(text)
            if isinstance(choices, dict) and "format" not in choices:
                refuse_foreign(choices)
                if (elsewhere := own_elsewhere(choices)) is not None:
                    raise SpaceError("", elsewhere)
                return _chosen(choices, space)
        except SpaceError as error:
            raise SpaceError(str(source), said_of(text, error)) from None
    value = load_any(source)
    if isinstance(value, Architecture):
        return value
    if value.size > 1:
        problem = f"a space of {value.size:,} architectures; allowed: one architecture"
        raise SpaceError(str(source), f"{problem} (autospace sample draws one)")
    return value.architecture({layer.shape.name: layer.candidates[0].id for layer in value.layers})


def _chosen(choices: dict[str, str], space: Space | None) -> Architecture:
    if space is None:
        raise SpaceError("", NO_SPACE)
    return space.architecture(choices)
