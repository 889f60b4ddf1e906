"""Writes a network of DARTS cells as the genotype that programs of this kind read."""

from autospace.spaces import Architecture, SpaceError
from autospace.spaces.cells.darts_cell import DartsCell
from autospace.spaces.cells.family import check_kind


def export_architecture(architecture: Architecture) -> str:
    """The genotype as Python prints it, `Genotype(normal=[...], ...)`, and a line end.

    It describes the two cells, not the skeleton around them.

    Raises:
        SpaceError: cells of another family, layers of one stride with different cells, or no layer
            of one of the strides.
    """
    check_kind(architecture.kind, "genotypes of DARTS", ("darts",))
    cells: dict[int, DartsCell] = {}
    for shape, cell in zip(architecture.skeleton.cell_layers, architecture.cells, strict=True):
        own = _darts(cell)
        if own != cells.setdefault(shape.stride, own):
            problem = f"another cell than in the first layer of stride {shape.stride}"
            raise SpaceError(shape.name, f"{problem}; allowed: one cell for all of them")
    for stride, name in ((1, "normal"), (2, "reduce")):
        if stride not in cells:
            raise SpaceError(name, f"no layer of stride {stride}; allowed: layers of both strides")
    parts = (f"{name}={_pairs(cells[stride])}, {name}_concat={_concat(cells[stride])}"
             for stride, name in ((1, "normal"), (2, "reduce")))  # fmt: skip
    return f"Genotype({', '.join(parts)})\n"


def _darts(cell: object) -> DartsCell:
    if not isinstance(cell, DartsCell):
        raise TypeError(f"a {type(cell).__name__} in a network of DARTS cells")
    return cell


def _pairs(cell: DartsCell) -> list[tuple[str, int]]:
    return [(edge.operation, edge.source) for edge in cell.chosen]


def _concat(cell: DartsCell) -> str:
    first, last = cell.concat[0], cell.concat[-1]
    if list(cell.concat) == list(range(first, last + 1)):
        return f"range({first}, {last + 1})"
    return str(list(cell.concat))
