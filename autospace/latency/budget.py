"""A limit on predicted latency as a share for every layer: a promise, like those on MAdds.

The sum over the layers of what their dearest cells take, stem and head included, is within the
limit, as the table predicts it; so is every architecture that can be drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospace.evolution.settings import BudgetConfig, LatencyLimit
from autospace.latency.parts import parts_of_skeleton
from autospace.latency.prediction import NS_PER_MS, Prediction
from autospace.latency.table import LatencyTable, digest, read_table, to_json
from autospace.runs.files import write_atomically
from autospace.spaces.cells.cell import Cell
from autospace.spaces.shares import shares_of
from autospace.spaces.skeleton import Skeleton


@dataclass(frozen=True, slots=True)
class LatencyBudget:
    """What one cell of each layer may take, and what their network may.

    Attributes:
        limit_ns: of a whole network.
        shares_ns: per layer.
    """

    prediction: Prediction
    limit_ns: int
    shares_ns: tuple[int, ...]

    @property
    def limit_ms(self) -> float:
        """The limit on a whole network."""
        return self.limit_ns / NS_PER_MS

    @property
    def described(self) -> dict[str, Any]:
        """The promise, and the table that it was made with, as plain JSON values."""
        table = self.prediction.table
        shared = {"device": table.device, "dtype": table.dtype, "batch": table.batch}
        return {"max_ms": self.limit_ms, "sha256": digest(table), **shared}

    def allows(self, cell: Cell, layer: int) -> bool:
        """Whether a cell may enter a layer."""
        shape = self.prediction.skeleton.shapes[layer]
        return self.prediction.cell_ns(cell, shape) <= self.shares_ns[layer]


def latency_budget(
    table: LatencyTable, skeleton: Skeleton, references: Sequence[Cell], limit: LatencyLimit
) -> LatencyBudget:
    """Shares for every layer; `reference` is what the dearest reference architecture takes.

    Raises:
        LatencyError: the table was made for another network.
        BudgetError: the reference cells alone are over the limit.
    """
    prediction = Prediction(table, skeleton)
    prediction.require(parts_of_skeleton(skeleton))
    fixed = prediction.fixed_ns
    needs = [
        max(prediction.cell_ns(cell, shape) for cell in references) for shape in skeleton.shapes
    ]
    most = fixed + sum(needs)
    if isinstance(limit, float):
        most = int(limit * NS_PER_MS)
    return LatencyBudget(prediction, most, shares_of("ms", most, fixed, needs, _in_ms))


def read_latency_budget(
    settings: BudgetConfig, skeleton: Skeleton, references: Sequence[Cell], kept: Path | None
) -> LatencyBudget | None:
    """What the settings ask for; None if they set no limit.

    `kept` is where a run keeps the table with which it began, whatever becomes of its file.

    Raises:
        SpaceError: no valid table there.
    """
    if settings.latency_table is None:
        return None
    path = Path(settings.latency_table)
    if kept is not None and kept.is_file():
        path = kept
    return latency_budget(read_table(path), skeleton, references, settings.max_latency_ms)


def keep_table(latency: LatencyBudget | None, kept: Path) -> None:
    """Keeps the table of a limit, if there is one, unless it is there already."""
    if latency is not None and not kept.is_file():
        write_atomically(kept, to_json(latency.prediction.table))


def _in_ms(nanoseconds: int) -> str:
    return f"{nanoseconds / NS_PER_MS:,.6g}"
