"""Writes an architecture of one dense cell as a string of NAS-Bench-201 (ICLR 2020)."""

from typing import Final

from autospace.spaces import Architecture, SpaceError
from autospace.spaces.cells.family import check_kind, notation

NODES: Final = 4


def export_architecture(architecture: Architecture) -> str:
    """The string, such as `|avg_pool_3x3~0|+|none~0|skip_connect~1|+|...|`, and a line end.

    It describes the cell, not the skeleton around it.

    Raises:
        SpaceError: cells of another family, of another number of nodes, or not all alike.
    """
    check_kind(architecture.kind, "strings of NAS-Bench-201", ("dense",))
    first, *others = architecture.cells
    if any(cell != first for cell in others):
        place = next(i for i, cell in enumerate(others, 1) if cell != first)
        name = architecture.skeleton.cell_layers[place].name
        raise SpaceError(name, "another cell than in the first layer; allowed: one cell for all")
    if first.nodes != NODES:
        raise SpaceError("nodes", f"{first.nodes}; allowed: {NODES}")
    return f"{notation(first)}\n"
