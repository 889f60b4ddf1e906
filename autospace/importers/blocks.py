"""Cells that other programs have names for, and the names that they get here."""

from typing import Final

from autospace.spaces import Candidate, Cell, Origin, canonical_key, mbconv
from autospace.spaces.cells.cell import EXPANSIONS

KERNELS: Final = (3, 5, 7)
SKIPPED: Final = Cell.from_edges([], expansion=1)

_NAMES: Final = {
    canonical_key(SKIPPED): "skip",
    **{
        canonical_key(mbconv(kernel, expansion)): f"mbconv_k{kernel}_e{expansion}"
        for kernel in KERNELS
        for expansion in EXPANSIONS
    },
}


def imported(cell: Cell, otherwise: str) -> Candidate:
    """A cell as a candidate, under the id of the built-in spaces if they have this function."""
    return Candidate(_NAMES.get(canonical_key(cell), otherwise), cell, None, Origin("imported"))
