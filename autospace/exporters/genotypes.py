"""Writes an architecture of one or two cells in the notations that benchmarks and papers have."""

from collections.abc import Iterable, Mapping
from typing import Final

from autospace.spaces import Architecture, SpaceError
from autospace.spaces.cells.bats import GROUPED, SEPARABLE
from autospace.spaces.cells.darts_cell import OPERATIONS, DartsCell
from autospace.spaces.cells.family import check_kind, notation

NODES: Final = 4
"""Of a cell of NAS-Bench-201 (ICLR 2020)."""


def nasbench201_string(architecture: Architecture) -> str:
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


def darts_genotype(architecture: Architecture) -> str:
    """The genotype as Python prints it, `Genotype(normal=[...], ...)`, and a line end.

    It describes the two cells, not the skeleton around them. Binary cells are written with the
    names of DARTS, as in BATS and CP-NAS.

    Raises:
        SpaceError: cells of another family, layers of one stride with different cells, no layer
            of one of the strides, or grouped beside separable binary convolutions.
    """
    check_kind(architecture.kind, "genotypes of DARTS", ("darts", "bats"))
    cells: dict[int, DartsCell] = {}
    for shape, cell in zip(architecture.skeleton.cell_layers, architecture.cells, strict=True):
        own = _darts(cell)
        if own != cells.setdefault(shape.stride, own):
            problem = f"another cell than in the first layer of stride {shape.stride}"
            raise SpaceError(shape.name, f"{problem}; allowed: one cell for all of them")
    for stride, name in ((1, "normal"), (2, "reduce")):
        if stride not in cells:
            raise SpaceError(name, f"no layer of stride {stride}; allowed: layers of both strides")
    names = _names(cells.values())
    parts = (f"{name}={_pairs(cells[stride], names)}, {name}_concat={_concat(cells[stride])}"
             for stride, name in ((1, "normal"), (2, "reduce")))  # fmt: skip
    return f"Genotype({', '.join(parts)})\n"


def _darts(cell: object) -> DartsCell:
    if not isinstance(cell, DartsCell):
        raise TypeError(f"a {type(cell).__name__} in a network of DARTS cells")
    return cell


def _names(cells: Iterable[DartsCell]) -> dict[str, str]:
    """From our names of operations to those of DARTS, grouped or separable where binary."""
    used = {edge.operation for cell in cells for edge in cell.chosen}
    if used <= OPERATIONS.keys():
        return {name: name for name in used}
    for table in (GROUPED, SEPARABLE):
        if used <= {*table.values()}:
            return {own: name for name, own in table.items()}
    grouped, separable = (sorted(used & {*a.values()} - {*b.values()})
        for a, b in ((GROUPED, SEPARABLE), (SEPARABLE, GROUPED)))  # fmt: skip
    problem = f"{grouped[0]} beside {separable[0]}, which both have the names of DARTS there"
    raise SpaceError("edges", f"{problem}; allowed: grouped convolutions, or separable ones")


def _pairs(cell: DartsCell, names: Mapping[str, str]) -> list[tuple[str, int]]:
    return [(names[edge.operation], edge.source) for edge in cell.chosen]


def _concat(cell: DartsCell) -> str:
    first, last = cell.concat[0], cell.concat[-1]
    if list(cell.concat) == list(range(first, last + 1)):
        return f"range({first}, {last + 1})"
    return str(list(cell.concat))
