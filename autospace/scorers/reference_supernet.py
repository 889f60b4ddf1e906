"""The supernet of a scorer: a copy of the reference, the candidates of every layer beside it."""

import copy
from collections.abc import Sequence

from autospace.networks.cells import CellModule, recompute_cells
from autospace.scorers.context import Setting
from autospace.spaces.cells.cell import Cell
from autospace.supernets.supernet import Supernet

REFERENCE = -1


class ReferenceSupernet(Supernet):
    """Candidates and reference side by side; the reference is the last choice of a layer."""

    def __init__(self, setting: Setting, candidates: Sequence[Sequence[Cell]], repeat: int) -> None:
        cells = [
            [setting.candidate(layer, cell, repeat) for cell in offered]
            for layer, offered in enumerate(candidates)
        ]
        super().__init__(copy.deepcopy(setting.reference).requires_grad_(True), cells)
        self.train()
        if setting.options.recompute:
            recompute_cells(self)

    @property
    def choices(self) -> list[list[CellModule]]:
        """Per layer the candidates and, last, the reference."""
        return [[*self.cells(layer), self.network.cell(layer)] for layer in range(len(self.shapes))]
