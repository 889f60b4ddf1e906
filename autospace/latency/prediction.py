"""Latency of cells and networks as sums over a table, in whole nanoseconds; without torch.

Whole numbers, so that a sum over layers is the same in any order and a limit on it can be kept to
the last unit, as with MAdds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from autospace.latency.parts import Part, cell_parts, fixed_parts
from autospace.latency.table import LatencyTable
from autospace.spaces.cells.cell import Cell
from autospace.spaces.skeleton import LayerShape, Skeleton

NS_PER_MS: Final = 10**6


class LatencyError(ValueError):
    """A table that does not have what a network needs; the message says how to make one."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a table says of networks on one skeleton; times are of one forward pass of its batch.

    Every method raises `LatencyError` if the table lacks a part that is asked for.
    """

    table: LatencyTable
    skeleton: Skeleton

    def require(self, parts: Iterable[Part]) -> None:
        """Refuses a table in which one of the parts is missing, before anything is trained.

        Raises:
            LatencyError: naming the part and the command that measures it.
        """
        self._sum(parts)

    @property
    def fixed_ns(self) -> int:
        """Stem and head."""
        return self._sum(fixed_parts(self.skeleton))

    def cell_ns(self, cell: Cell, shape: LayerShape) -> int:
        """A layer with this cell, its shortcut included."""
        return self._sum(cell_parts(cell, shape))

    def network_ns(self, cells: Sequence[Cell]) -> int:
        """A whole network with one cell per layer."""
        pairs = zip(cells, self.skeleton.shapes, strict=True)
        return self.fixed_ns + sum(self.cell_ns(cell, shape) for cell, shape in pairs)

    def _sum(self, parts: Iterable[Part]) -> int:
        return sum(self._part_ns(part) for part in parts)

    def _part_ns(self, part: Part) -> int:
        row, correction = self.table.by_part.get(part), self.table.correction
        if row is None:
            raise LatencyError(
                f"latency table: no {part.name} of {part.inputs} to {part.outputs} channels at "
                f"{part.resolution}x{part.resolution}; make the table for this network: "
                f"{profile_command(self.skeleton)}"
            )
        return round(NS_PER_MS * (correction.scale * row.mean_ms + correction.overhead_ms))


def profile_command(skeleton: Skeleton) -> str:
    """The command that makes a table for a skeleton as it is, fitted to its images."""
    return (
        f"autospace profile --skeleton {skeleton.name} --resolution {skeleton.resolution} "
        f"--channels {skeleton.in_channels} --classes {skeleton.classes} --out FILE"
    )
