"""Writes a space as matrices, as the authors of AutoSpace (Zhou et al., ICCV 2021) do.

`M[i][j]` below the diagonal is the code of the operation on the edge j -> i, `M[0][3]` is the code
of the expansion, and `M[1][3]` has the gates of nodes 2 and 3. The format has four nodes, six
operations and no names, fitness or skeleton: `autospace.importers.autospace_iccv2021` reads the
cells back, and their ids become their places in the list.
"""

import json
from collections.abc import Iterator
from itertools import combinations
from typing import Final

from autospace.spaces import Cell, Space, SpaceError
from autospace.spaces.cells.family import check_kind

NODES: Final = 4
INNER: Final = (1, 2)
CODES: Final = {
    "none": 1,
    "skip_connect": 2,
    "dw_conv_1x1": 3,
    "dw_conv_3x3": 5,
    "dw_conv_3x3_d2": 7,
    "dw_conv_3x3_d3": 9,
}
EXPANSIONS: Final = {1: 0, 3: 1, 6: 2}
FLAGS: Final = {"sum": 0, "gate": 1}


def export_space(space: Space) -> str:
    """The cells of a space as nested lists: a list of cells per pair of layers.

    Where the two layers of a pair offer different cells, there is a list per layer instead.

    Raises:
        SpaceError: a cell that the format cannot express, with its layer, its id and why.
    """
    check_kind(space.kind, "matrices of cells")
    lists = [
        [_matrix(each.cell, f"{layer.shape.name}.{each.id}") for each in layer.candidates]
        for layer in space.layers
    ]
    pairs = [lists[index : index + 2] for index in range(0, len(lists), 2)]
    if all(pair[0] == pair[-1] for pair in pairs):
        lists = [pair[0] for pair in pairs]
    rows = ",\n".join(
        "  [\n" + ",\n".join(f"   {json.dumps(matrix)}" for matrix in cells) + "\n  ]"
        for cells in lists
    )
    return f'{{\n "name": "SuperProxylessNASNets",\n "blocks": [\n{rows}\n ]\n}}\n'


def _matrix(cell: Cell, path: str) -> list[list[object]]:
    """The matrix of the first form of the cell with four nodes that the format can express."""
    problem = ""
    for version in _versions(cell):
        found = _problem(version)
        if found is None:
            return _written(version)
        problem = problem or found
    raise SpaceError(path, problem or f"{len(cell.live_nodes)} live nodes; allowed: up to {NODES}")


def _versions(cell: Cell) -> Iterator[Cell]:
    """The cell itself, then its live part with its inner nodes in either inner place."""
    if cell.nodes == NODES:
        yield cell
    pruned = cell.pruned()
    inner = sorted(pruned.live_nodes - {0, pruned.nodes - 1})
    if len(inner) > len(INNER):
        return
    for places in combinations(INNER, len(inner)):
        node = {0: 0, **dict(zip(inner, places, strict=True)), pruned.nodes - 1: NODES - 1}
        mix = {node[i]: name for i, name in enumerate(pruned.mix, start=1) if i in node}
        yield Cell.from_edges(
            ((node[source], node[target], name) for source, target, name in pruned.edges),
            nodes=NODES,
            mix=tuple(mix.get(i, "sum") for i in range(1, NODES)),
            expansion=pruned.expansion,
        )


def _problem(cell: Cell) -> str | None:
    """Why the format cannot express this cell, or None if it can."""
    for edge in cell.edges:
        if edge.operation not in CODES:
            where = f"{edge.operation} on edge {edge.source}>{edge.target}"
            return f"{where} has no code; allowed: {', '.join(CODES)}"
    for node, mix in enumerate(cell.mix, start=1):
        if mix not in FLAGS:
            return f"node {node} mixes by {mix}; allowed: {', '.join(FLAGS)}"
    if cell.expansion not in EXPANSIONS:
        return f"expansion {cell.expansion} has no code; allowed: 1, 3, 6"
    if cell.mix[0] != "sum":
        return f"node 1 mixes by {cell.mix[0]}; allowed: sum (only nodes 2 and 3 can be gated)"
    return None


def _written(cell: Cell) -> list[list[object]]:
    matrix: list[list[object]] = [[0] * NODES for _ in range(NODES)]
    operations = iter(cell.operations)
    # Slots run by target, then by source: row by row of the matrix.
    for target in range(1, NODES):
        for source in range(target):
            matrix[target][source] = CODES[next(operations)]
    matrix[0][-1] = EXPANSIONS[cell.expansion]
    matrix[1][-1] = [FLAGS[mix] for mix in cell.mix[1:]]
    return matrix
