"""Reads the files that the authors of AutoSpace (Zhou et al., ICCV 2021) published.

A space file lists cells per pair of layers, as matrices without names. A network file is one of
ProxylessNAS with the additional block `Motif`, which has one matrix.

A cell is a 4x4 matrix M. `M[i][j]` below the diagonal is the operation on the edge j -> i,
`M[0][3]` is the expansion, `M[1][3]` has the gates of nodes 2 and 3, and all other entries are 0.
The authors did not document these numbers. A comparison of their two files led to this reading;
with it, their network has the published cost of 340M MAdds and 4.3M params.

Two meanings are assumed. Code 3 occurs in no network of theirs; it is read as a depthwise 1x1,
between identity (2) and depthwise 3x3 (5). A mix flag is read as the gate without weights.
"""

import json
from collections.abc import Sequence
from typing import Final, TypeVar

from autospace.importers.network_file import network
from autospace.importers.target import KERNELS, Fields, Target
from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    Layer,
    Origin,
    Skeleton,
    Space,
    SpaceError,
    canonical_key,
    mbconv,
)
from autospace.spaces.cells.cell import EXPANSIONS
from autospace.spaces.checks import MAX_CANDIDATES, MAX_LAYERS, MAX_NAME
from autospace.spaces.errors import MAX_SHOWN, located, shown
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
        SpaceError: not such a matrix, or a number in it without a meaning; the path names it.
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


NAME: Final = "autospace-iccv2021"
ASSUMED: Final = {
    "code 3": OPERATION_OF[3],
    "mix flag 1": MIX_OF[1],
    "block of a list": "(block - 1) // 2",
}


def read(text: str, target: Target) -> Space | Architecture:
    """The space, or the one network, that a file of the authors describes.

    Raises:
        SpaceError: it is neither of the two, or cannot be expressed here.
    """
    plain = parse_json(text)
    if isinstance(plain, dict) and "first_conv" in plain:
        return network(plain, target, {"Motif": _motif_block})
    return _space(plain, target.skeleton_or("mobile"))


def _space(plain: object, skeleton: Skeleton) -> Space:
    file = Fields(plain, "")
    name = file.take("name", None)
    lists = _lists(file.take("blocks"))
    file.finish()
    per_list = _spread(len(lists), skeleton)
    hand_made = _common_tail(lists)
    references = _references(lists)
    layers = []
    for index, shape in enumerate(skeleton.shapes):
        place = index // per_list
        first = len(lists[place]) - hand_made
        offered = (
            Candidate(
                f"cell_{n}",
                cell,
                0.0 if references and n == references[place] else None,
                Origin("reference" if n >= first else "imported"),
            )
            for n, cell in enumerate(lists[place])
        )
        with located(f"blocks[{place}]"):
            layers.append(Layer(shape, tuple(offered)))
    distinct = {cell for cells in lists for cell in cells}
    return Space(
        f"{NAME}@{skeleton.name}"[:MAX_NAME],
        skeleton,
        tuple(OPERATION_OF.values()),
        tuple(layers),
        {
            layer.shape.name: f"cell_{references[index // per_list]}"
            for index, layer in enumerate(layers)
            if references
        },
        provenance={
            "imported": NAME,
            "name": name if isinstance(name, str) else None,
            "lists": len(lists),
            "cells": sum(map(len, lists)),
            "distinct_cells": len(distinct),
            "assumed": ASSUMED,
        },
    )


def _lists(blocks: object) -> list[list[Cell]]:
    found = []
    for index, cells in enumerate(_some(blocks, "blocks", MAX_LAYERS)):
        path = f"blocks[{index}]"
        matrices = _some(cells, path, MAX_CANDIDATES)
        found.append([motif(each, f"{path}[{n}]") for n, each in enumerate(matrices)])
    return found


def _some(value: object, path: str, most: int) -> list[object]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        size = f"a list of {len(value)}" if isinstance(value, list) else shown(value)
        raise SpaceError(path, f"{size}; allowed: a list of 1 to {most}")
    return value


def _spread(lists: int, skeleton: Skeleton) -> int:
    """How many consecutive layers share a list: two, as published, or one."""
    layers = len(skeleton.layers)
    for per_list in (2, 1):
        if lists == -(-layers // per_list):
            return per_list
    allowed = f"{-(-layers // 2)} (one per two layers) or {layers}"
    problem = f"{lists} lists, but the skeleton {skeleton.name} has {layers} layers"
    raise SpaceError("blocks", f"{problem}; allowed: {allowed}")


def _common_tail(lists: Sequence[Sequence[Cell]]) -> int:
    """How many cells at the end are the same in all lists; 0 if that is all of a list."""
    size, shortest = 0, min(map(len, lists))
    while size < shortest and len({cells[-1 - size] for cells in lists}) == 1:
        size += 1
    return size if size < shortest else 0


def _references(lists: Sequence[Sequence[Cell]]) -> list[int]:
    """The index per list of MBConv k3 of the largest expansion in all lists; empty if none is."""
    for expansion in reversed(EXPANSIONS):
        wanted = canonical_key(mbconv(KERNELS[0], expansion))
        # They write it with identities, which pool at stride 2: the key at stride 1 decides.
        keys = [[canonical_key(cell) for cell in cells] for cells in lists]
        if all(wanted in each for each in keys):
            return [len(each) - 1 - each[::-1].index(wanted) for each in keys]
    return []


def _motif_block(block: Fields, width: int) -> Cell:
    """The cell of a `Motif`; values that the block states twice have to agree."""
    block.fixed(kernel_size=3, num_nodes=NODES, atten_mode="channel", has_se=False)
    cell = motif(block.take("build_graph"), block.at("build_graph"))
    block.fixed(expand_ratio=cell.expansion)
    block.fixed(dim_conv_idx=next(c for c, e in EXPANSION_OF.items() if e == cell.expansion))
    flags = [int(mix == MIX_OF[1]) for mix in cell.mix[1:]]
    stated = block.take("feature_mix_mode_idx", flags)
    if stated != flags:
        found = json.dumps(stated)
        problem = f"{found[:MAX_SHOWN]}, but build_graph has {flags}"
        raise SpaceError(block.at("feature_mix_mode_idx"), problem)
    return cell
