"""Predicts the latency of cells and networks, and turns a limit into a share for every layer.

A prediction is a sum over a table, without torch. Stem, head and the slowest cells of all layers
together stay within the limit. Therefore every architecture that can be drawn stays within it.

Latencies are whole nanoseconds, so that a sum over layers is the same in any order and a limit
holds exactly, as with MAdds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from autospace.latency.parts import Part, cell_parts, fixed_parts, parts_of_skeleton
from autospace.latency.table import LatencyTable, digest, read_table, to_json
from autospace.runs.files import write_atomically
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import CELLS, family_of
from autospace.spaces.choices import Limit
from autospace.spaces.cost import shares_of, times
from autospace.spaces.errors import AutospaceError
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

NS_PER_MS: Final = 10**6


class LatencyError(AutospaceError):
    """A table lacks a part of a network; the message says how to make a complete one."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Predictions for networks on one skeleton; times are for a forward pass of the table's batch.

    Every method raises `LatencyError` if the table lacks a part.
    """

    table: LatencyTable
    skeleton: Skeleton

    def require(self, parts: Iterable[Part]) -> None:
        """Refuses a table that lacks one of the parts, before anything is trained.

        Raises:
            LatencyError: a part is missing; the message names it and the command that measures it.
        """
        self._sum(parts)

    @property
    def fixed_ns(self) -> int:
        """The latency of all that is not a cell: stem, head, and what stands between cells."""
        return self._sum(fixed_parts(self.skeleton))

    def cell_ns(self, cell: Cell, shape: LayerShape) -> int:
        """The latency of a layer with this cell, including its shortcut; of all that share it.

        Of a single choice, at most what it adds to a cell.
        """
        return self._sum(cell_parts(cell, shape))

    def _sum(self, parts: Iterable[Part]) -> int:
        return sum(self._part_ns(part) for part in parts)

    def _part_ns(self, part: Part) -> int:
        row, correction = self.table.by_part.get(part), self.table.correction
        if row is None:
            raise LatencyError(
                f"latency table: no {part.name} from {part.inputs} to {part.outputs} channels at "
                f"{part.resolution}x{part.resolution}; make the table for this network with "
                f"{self._command(part)}"
            )
        return round(NS_PER_MS * (correction.scale * row.mean_ms + correction.overhead_ms))

    def _command(self, part: Part) -> str:
        """What measures a part: a profile of the skeleton, or of a space with other cells."""
        if part in parts_of_skeleton(self.skeleton):
            return profile_command(self.skeleton)
        for name, (kind, operations) in CELLS.items():
            if part.name.startswith(f"{kind}/") and part in parts_of_skeleton(
                self.skeleton, kind, operations
            ):
                return profile_command(self.skeleton, name)
        return "autospace profile --space SPACE --out FILE"


def profile_command(skeleton: Skeleton, family: str = "") -> str:
    """The command that makes a table for a skeleton as it is, fitted to its images.

    Args:
        skeleton: with its own cells.
        family: a name of `CELLS`, if others are evolved there.
    """
    others = f" --family {family}" if family else ""
    return (
        f"autospace profile --skeleton {skeleton.name}{others} --resolution {skeleton.resolution} "
        f"--channels {skeleton.in_channels} --classes {skeleton.classes} --out FILE"
    )


@dataclass(frozen=True, slots=True)
class LatencyBudget:
    """The latency limits of a network and of the cells at each layer.

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
        """The limit and the table by which it is predicted, as plain JSON values."""
        table = self.prediction.table
        shared = {"device": table.device, "dtype": table.dtype, "batch": table.batch}
        return {"max_ms": self.limit_ms, "sha256": digest(table), **shared}

    def allows(self, cell: Cell, layer: int) -> bool:
        """Whether a cell may enter a layer."""
        shape = self.prediction.skeleton.shapes[layer]
        return self.prediction.cell_ns(cell, shape) <= self.shares_ns[layer]


def latency_budget(
    table: LatencyTable,
    skeleton: Skeleton,
    references: Sequence[Cell],
    limit: float | Literal["reference", "none"],
    operations: Sequence[str] = (),
    factor: float = 1.0,
) -> LatencyBudget:
    """Shares for every layer.

    `reference` is the latency of the slowest reference architecture times a factor.

    The table has to hold every part of cells of the references' family with these operations.

    Where edges or nodes are chosen one by one, each has a share; together they are at least as
    slow as the cell that they make.

    Raises:
        LatencyError: the table was made for another network.
        BudgetError: the reference cells alone exceed the limit.
    """
    prediction = Prediction(table, skeleton)
    prediction.require(parts_of_skeleton(skeleton, references[0].kind, operations))
    fixed = prediction.fixed_ns
    needs = [
        max(prediction.cell_ns(family_of(cell).at(cell, shape), shape) for cell in references)
        for shape in skeleton.shapes
    ]
    most = times(factor, fixed + sum(needs))
    if isinstance(limit, float):
        most = int(Decimal(repr(limit)) * NS_PER_MS)  # of the digits that the user wrote
    return LatencyBudget(prediction, most, shares_of("ms", most, fixed, needs, _in_ms))


def limit_table(source: str | None, kept: Path | None) -> LatencyTable | None:
    """The table by which latency is predicted; None if the settings name none.

    Args:
        source: what the settings name: a file, or a built-in table.
        kept: where a run keeps the table with which it began, even if that file changes.

    Raises:
        SpaceError: the file holds no valid table.
    """
    if source is None:
        return None
    return read_table(kept if kept is not None and kept.is_file() else source)


def keep_table(table: LatencyTable | None, kept: Path) -> None:
    """Saves the table with which a run begins, if there is one and it is not saved yet."""
    if table is not None and not kept.is_file():
        write_atomically(kept, to_json(table))


def _in_ms(nanoseconds: int) -> str:
    """All digits: a limit that is printed can be met."""
    return f"{Decimal(nanoseconds) / NS_PER_MS:,.6f}".rstrip("0").rstrip(".")


def latency_limit(space: Space, table: LatencyTable, most_ms: float) -> Limit:
    """A limit on the predicted latency of the architectures of a space.

    Args:
        space: fitted to the images.
        table: of the device.
        most_ms: milliseconds of one forward pass of the table's batch.

    Raises:
        LatencyError: the table was made for another network.
    """
    prediction = Prediction(table, space.skeleton)
    times = tuple(
        tuple(
            prediction.cell_ns(candidate.cell, layer.shape) / NS_PER_MS
            for candidate in layer.candidates
        )
        for layer in space.layers
    )
    return Limit("max_latency_ms", most_ms, prediction.fixed_ns / NS_PER_MS, times)
