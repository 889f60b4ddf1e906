"""The files that the authors of AutoSpace (Zhou et al., ICCV 2021) published.

A space file lists cells per pair of layers, as matrices without names. A network file is one of
ProxylessNAS with the additional block `Motif`, which holds one matrix.
"""

import json
from collections.abc import Sequence
from typing import Final

from autospace.importers.blocks import KERNELS
from autospace.importers.fields import Fields
from autospace.importers.motif import EXPANSION_OF, MIX_OF, NODES, OPERATION_OF, motif
from autospace.importers.network_file import network
from autospace.importers.target import Target
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
from autospace.spaces.errors import MAX_SHOWN, located, shown
from autospace.spaces.files.reading import parse_json
from autospace.spaces.limits import MAX_CANDIDATES, MAX_LAYERS, MAX_NAME

NAME: Final = "autospace-iccv2021"
ASSUMED: Final = {
    "code 3": OPERATION_OF[3],
    "mix flag 1": MIX_OF[1],
    "block of a list": "(block - 1) // 2",
}


def read(text: str, target: Target) -> Space | Architecture:
    """The space, or the one network, that a file of the authors describes.

    Raises:
        SpaceError: neither of both, or one that cannot be expressed.
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
    """How many layers in a row share a list: two, as published, or one."""
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
    """Where MBConv k3 of the largest expansion that all lists have stands; empty if none is."""
    for expansion in reversed(EXPANSIONS):
        wanted = canonical_key(mbconv(KERNELS[0], expansion))
        # They write it with identities, which pool at stride 2: the key at stride 1 tells.
        keys = [[canonical_key(cell) for cell in cells] for cells in lists]
        if all(wanted in each for each in keys):
            return [len(each) - 1 - each[::-1].index(wanted) for each in keys]
    return []


def _motif_block(block: Fields) -> Cell:
    """The cell of a `Motif`; what the block says twice has to agree."""
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
