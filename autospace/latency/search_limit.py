"""A limit on predicted latency, for searches."""

from pathlib import Path

from autospace.latency.prediction import NS_PER_MS, Prediction
from autospace.latency.table import read_table, to_json
from autospace.runs.files import write_atomically
from autospace.searchers.settings import SearchBudget
from autospace.spaces.choices import Limit
from autospace.spaces.space import Space


def latency_limits(space: Space, budget: SearchBudget, kept: Path) -> tuple[Limit, ...]:
    """The limit that the settings set, in milliseconds of one forward pass of the table's batch.

    Args:
        space: fitted to the images.
        budget: names limit and table.
        kept: where a search keeps the table with which it began, whatever becomes of its file.

    Raises:
        SpaceError: no valid table there.
        LatencyError: the table was made for another network.
    """
    if budget.max_latency_ms is None or budget.latency_table is None:
        return ()
    table = read_table(kept if kept.is_file() else Path(budget.latency_table))
    prediction = Prediction(table, space.skeleton)
    times = tuple(
        tuple(
            prediction.cell_ns(candidate.cell, layer.shape) / NS_PER_MS
            for candidate in layer.candidates
        )
        for layer in space.layers
    )
    fixed = prediction.fixed_ns / NS_PER_MS
    return (Limit("max_latency_ms", budget.max_latency_ms, fixed, times),)


def keep_table(budget: SearchBudget, kept: Path) -> None:
    """Keeps the table of a limit, if there is one, unless it is there already."""
    if budget.latency_table is not None and not kept.is_file():
        write_atomically(kept, to_json(read_table(Path(budget.latency_table))))
