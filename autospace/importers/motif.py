"""The 4x4 matrix by which the authors of AutoSpace (ICCV 2021) write a cell down.

Nothing says what its numbers mean. This reading was found by holding the authors' two files
against each other: with it, their network costs what they published, 340M MAdds and 4.3M params.
`M[i][j]` below the diagonal is the operation on the edge j -> i, `M[0][3]` chooses the expansion,
`M[1][3]` says of nodes 2 and 3 whether they are gated, everything else is 0.

What stays a guess: code 3 occurs in no network of theirs, and a depthwise 1x1 fits its place
between identity (2) and depthwise 3x3 (5); a mix flag is taken for the gate without weights.
"""

from typing import Final, TypeVar

from autospace.spaces import Cell, SpaceError
from autospace.spaces.errors import located, shown
from autospace.spaces.files.reading import parse_json

Meaning = TypeVar("Meaning")

NODES: Final = 4
OPERATION_OF: Final = {
    1: "none",
    2: "skip_connect",
    3: "dw_conv_1x1",
    5: "dw_conv_3x3",
    # Two and three chained 3x3s, merged.
    7: "dw_conv_3x3_d2",
    9: "dw_conv_3x3_d3",
}
EXPANSION_OF: Final = {0: 1, 1: 3, 2: 6}
MIX_OF: Final = {0: "sum", 1: "gate"}


def motif(value: object, path: str) -> Cell:
    """The cell that a matrix describes, given as lists or as the text of such lists.

    Raises:
        SpaceError: no such matrix, or a number in it that has no meaning; the path says which.
    """
    if isinstance(value, str):
        with located(path):
            value = parse_json(value)
    matrix = [_list(row, f"{path}[{i}]") for i, row in enumerate(_list(value, path))]
    for i, row in enumerate(matrix):
        for j in range(i, NODES):
            if (i, j) not in ((0, 3), (1, 3)):
                _meaning({0: 0}, row[j], f"{path}[{i}][{j}]")
    edges = [
        (j, i, _meaning(OPERATION_OF, matrix[i][j], f"{path}[{i}][{j}]"))
        for i in range(NODES)
        for j in range(i)
    ]
    expansion = _meaning(EXPANSION_OF, matrix[0][3], f"{path}[0][3]")
    flags = f"{path}[1][3]"
    mixes = [
        _meaning(MIX_OF, flag, f"{flags}[{index}]")
        for index, flag in enumerate(_list(matrix[1][3], flags, size=2))
    ]
    return Cell.from_edges(edges, nodes=NODES, mix=("sum", *mixes), expansion=expansion)


def _list(value: object, path: str, size: int = NODES) -> list[object]:
    if not isinstance(value, list) or len(value) != size:
        found = f"a list of {len(value)}" if isinstance(value, list) else shown(value)
        raise SpaceError(path, f"{found}; allowed: a list of {size}")
    return value


def _meaning(table: dict[int, Meaning], code: object, path: str) -> Meaning:
    if type(code) is not int or code not in table:
        raise SpaceError(path, f"{shown(code)}; allowed: {', '.join(map(str, table))}")
    return table[code]
