"""All figures of a run or comparison, for a paper."""

from pathlib import Path

from autospace.charts.figure import Figure
from autospace.comparison.document import Comparison
from autospace.report import cell_figures, comparison_figures
from autospace.report import fitness_figures as course
from autospace.report.cell_sections import winner
from autospace.report.record import RunRecord
from autospace.report.write import read_any


def figures(path: Path) -> tuple[Figure, ...]:
    """The figures that the report on this folder shows.

    Raises:
        RunError: there is neither a run nor a comparison.
        ConfigError, CheckpointError, SpaceError: a file in it is damaged.
    """
    found = read_any(path)
    drawn = _of_comparison(found) if isinstance(found, Comparison) else _of_run(found)
    return tuple(each for each in drawn if each is not None and each.panels)


def _of_run(record: RunRecord) -> list[Figure | None]:
    if not record.history:
        return []
    best = winner(record)
    return [
        course.gains_figure(record),
        course.fitness_figure(record),
        cell_figures.operations_figure(record),
        cell_figures.lineage_figure(best.line, best.place) if best is not None else None,
        cell_figures.front_figure(record),
        course.effort_figure(record),
    ]


def _of_comparison(found: Comparison) -> list[Figure | None]:
    if not any(each.errors for each in found.spaces):
        return []
    return [
        comparison_figures.edf_figure(found),
        comparison_figures.difference_figure(found),
        comparison_figures.best_figure(found),
        comparison_figures.scatter_figure(found),
    ]
