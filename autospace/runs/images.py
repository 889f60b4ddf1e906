"""The images of an earlier run, for a command that works on its result."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from autospace.runs.errors import ConfigError, RunError
from autospace.runs.folder import CONFIG, DATA
from autospace.runs.settings import read_config
from autospace.spaces.errors import SpaceError
from autospace.spaces.files.reading import parse_json, read_text

OWN: Final = ("limit", "validation", "crop", "flip", "cutout")
"""Settings of images that a run chooses for its own work; the others say what the images are."""


def images_of_runs(sources: Sequence[str | Path]) -> tuple[dict[str, Any], str]:
    """The settings of the images with which the runs behind some spaces worked.

    Args:
        sources: run folders, files in them, or `NAME@RUN`; others have no images.

    Returns:
        The settings of a section `data`, empty if there are none; and the run they are from.

    Raises:
        ConfigError: two runs have different images.
    """
    found = {run: data for run in map(_run_of, sources) if run and (data := _images_of(run))}
    if not found:
        return {}, ""
    first, *others = found
    for other in others:
        if found[other] != found[first]:
            one, two = found[first]["source"], found[other]["source"]
            problem = f"{first} was made with {one}, {other} with {two} or at another size"
            raise ConfigError(f"data: {problem}; name the images with --data (data= in Python)")
    return found[first], str(first)


def images_read(run: str | Path) -> dict[str, Any] | None:
    """What a run read of its images, see `autospace.data.summary.record`; None if it kept none.

    It is for people and programs, and the run does not need it: a damaged file counts as none.
    """
    try:
        found = parse_json(read_text(Path(run) / DATA))
    except (SpaceError, ValueError, OSError):
        return None
    return found if isinstance(found, dict) else None


def image_lines(run: str | Path) -> tuple[str, ...]:
    """The lines that say what a run read, and warnings; none if it kept none."""
    found = images_read(run) or {}
    groups = [found.get(name) for name in ("lines", "warnings")]
    lines, warnings = (group if isinstance(group, list) else [] for group in groups)
    return (*map(str, lines), *(f"warning: {each}" for each in warnings))


def _run_of(source: str | Path) -> Path | None:
    """The folder of the run that a source names."""
    at = str(source).partition("@")[2]
    for path in (Path(source), *([Path(at)] if at else [])):
        folder = path if path.is_dir() else path.parent
        if path.exists() and (folder / CONFIG).is_file():
            return folder
    return None


def _images_of(run: Path) -> dict[str, Any]:
    try:
        data = read_config(run / CONFIG).get("data")
    except (ConfigError, RunError):
        return {}
    if not isinstance(data, Mapping) or not isinstance(data.get("source"), str):
        return {}
    # Images that a Python program passed are gone, and a search on a table read none.
    if data["source"].partition(":")[0] in ("python", "none"):
        return {}
    return {name: value for name, value in data.items() if name not in OWN}
