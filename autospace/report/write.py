"""Writes the report on a folder, and gives its figures for a paper and its values for programs."""

import json
from pathlib import Path
from typing import Any, Final

from autospace.charts.figure import Figure
from autospace.comparison.document import ComparisonDocument, read_comparison
from autospace.report import cell_sections, comparison_figures
from autospace.report import fitness_figures as course
from autospace.report.cell_sections import winner
from autospace.report.comparison_page import comparison_page
from autospace.report.network_page import (
    COMMANDS,
    NetworkRecord,
    network_figures,
    network_page,
    network_values,
    read_network,
)
from autospace.report.record import RunRecord, read_run
from autospace.report.run_page import run_page
from autospace.report.values import run_values
from autospace.runs.errors import RunError
from autospace.runs.files import write_atomically
from autospace.runs.folder import CONFIG, command_of
from autospace.runs.images import image_lines

REPORT: Final = "report.html"
COMPARISON: Final = "comparison.json"


Record = RunRecord | NetworkRecord | ComparisonDocument


def report_text(path: Path) -> str:
    """The report on the run or comparison in a folder, as HTML; equal folders give equal bytes.

    Raises:
        RunError: there is neither.
        ConfigError, CheckpointError, SpaceError: a file in it is damaged.
    """
    found = read_any(path)
    if isinstance(found, ComparisonDocument):
        return comparison_page(found, image_lines(path))
    return network_page(found) if isinstance(found, NetworkRecord) else run_page(found)


def report_json(path: Path) -> str:
    """The same as JSON text, for programs: numbers, lineage, cells, and what was read.

    Raises:
        RunError: there is neither a run nor a comparison.
        ConfigError, CheckpointError, SpaceError: a file in it is damaged.
    """
    found = read_any(path)
    if isinstance(found, ComparisonDocument):
        values: dict[str, Any] = {
            "kind": "compare",
            "read": list(image_lines(path)),
            "result": found.model_dump(mode="json"),
        }
    else:
        values = network_values(found) if isinstance(found, NetworkRecord) else run_values(found)
    return json.dumps(values, indent=2, allow_nan=False) + "\n"


def read_any(path: Path) -> Record:
    """The run or comparison in a folder.

    Raises:
        RunError: there is neither, or a comparison, search or training that has not finished.
        ConfigError, CheckpointError, SpaceError: a file in it is damaged.
    """
    if (path / COMPARISON).is_file():
        return read_comparison(path / COMPARISON)
    if not (path / CONFIG).is_file():
        problem = f"no run and no comparison (it contains neither {CONFIG} nor {COMPARISON})"
        found = path.exists() and not path.is_dir()
        missing = "is a file, not the folder of a run" if found else "no such folder"
        raise RunError(f"{path}: {problem if path.is_dir() else missing}")
    command = command_of(path)
    if command == "compare":
        problem = "the comparison has not finished; autospace compare --resume continues it"
        raise RunError(f"{path}: {problem}")
    return read_network(path, command) if command in COMMANDS else read_run(path)


def write_report(path: Path, *, force: bool = True) -> Path:
    """Writes `report.html` into the folder of a run or comparison; returns its path.

    Raises:
        RunError: there is neither a run nor a comparison, or the file exists and `force` is off.
        ConfigError, CheckpointError, SpaceError: a file in it is damaged.
        OSError: the file cannot be written.
    """
    target = path / REPORT
    if target.exists() and not force:
        raise RunError(f"{target}: already exists; force=True overwrites it")
    write_atomically(target, report_text(path))
    return target


def figures(path: Path) -> tuple[Figure, ...]:
    """The figures that the report on this folder shows.

    Raises:
        RunError: there is neither a run nor a comparison.
        ConfigError, CheckpointError, SpaceError: a file in it is damaged.
    """
    found = read_any(path)
    if isinstance(found, ComparisonDocument):
        drawn = _of_comparison(found)
    else:
        drawn = network_figures(found) if isinstance(found, NetworkRecord) else _of_run(found)
    return tuple(each for each in drawn if each is not None and each.panels)


def _of_run(record: RunRecord) -> list[Figure | None]:
    if not record.history:
        return []
    best = winner(record)
    return [
        course.gains_figure(record),
        course.fitness_figure(record),
        cell_sections.operations_figure(record),
        cell_sections.lineage_figure(best.line, best.place, record.thing)
        if best is not None
        else None,
        cell_sections.front_figure(record),
        course.effort_figure(record),
    ]


def _of_comparison(found: ComparisonDocument) -> list[Figure | None]:
    if not any(each.errors for each in found.spaces):
        return []
    return [
        comparison_figures.edf_figure(found),
        comparison_figures.difference_figure(found),
        comparison_figures.best_figure(found),
        comparison_figures.scatter_figure(found),
    ]
