"""An architecture string of NAS-Bench-201 (Dong and Yang, ICLR 2020).

`|avg_pool_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|`: per node 1, 2, 3
the operations on the edges from nodes 0, 1, ... Its dense convolutions are no operations of our
cells; of the 15,625 strings the 729 without them are cells here. The string says the cell only:
it is put into every layer of a skeleton, between our projections, without expansion.
"""

import re
from typing import Final

from autospace.importers.blocks import imported
from autospace.importers.target import Target
from autospace.spaces import Architecture, Cell, SpaceError
from autospace.spaces.errors import shown

NODES: Final = 4
EXPRESSIBLE: Final = ("none", "skip_connect", "avg_pool_3x3")
DENSE: Final = ("nor_conv_1x1", "nor_conv_3x3")
EXAMPLE: Final = "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"


def read(text: str, target: Target) -> Architecture:
    """The architecture with the cell of this string in every layer.

    Raises:
        SpaceError: not such a string, a dense convolution, or no path through the cell where a
            layer needs one.
    """
    nodes = text.strip().strip("\"'").split("+")
    if len(nodes) != NODES - 1:
        problem = f"{shown(text.strip())}; allowed: {NODES - 1} nodes such as {EXAMPLE}"
        raise SpaceError("", problem)
    edges: list[tuple[int, int, str]] = []
    for node, part in enumerate(nodes, start=1):
        found = re.fullmatch(r"\|(.*)\|", part.strip(), re.ASCII)
        entries = found[1].split("|") if found else []
        if len(entries) != node:
            problem = f"{shown(part)}; allowed: {node} edges, each |operation~from|"
            raise SpaceError(f"node {node}", problem)
        edges.extend(_edge(entry, source, node) for source, entry in enumerate(entries))
    cell = Cell.from_edges(edges, nodes=NODES, expansion=1)
    skeleton = target.skeleton_or("cifar")
    candidate = imported(cell, "nasbench201")
    return Architecture(skeleton, (candidate,) * len(skeleton.layers))


def _edge(entry: str, source: int, node: int) -> tuple[int, int, str]:
    operation, tilde, number = entry.partition("~")
    path = f"edge {source}>{node}"
    if not tilde or number != str(source):
        raise SpaceError(path, f"{shown(entry)}; allowed: operation~{source}")
    if operation in DENSE:
        problem = f"{operation} is a dense convolution, and operations here are depthwise"
        raise SpaceError(path, f"{problem}; expressible: {', '.join(EXPRESSIBLE)}")
    if operation not in EXPRESSIBLE:
        allowed = ", ".join((*EXPRESSIBLE, *DENSE))
        raise SpaceError(path, f"unknown operation {shown(operation)}; allowed: {allowed}")
    return source, node, operation
