"""A genotype of DARTS (Liu et al., ICLR 2019): `Genotype(normal=[...], normal_concat=...)`.

A DARTS cell has two inputs, adds per node and concatenates its nodes; its convolutions are
followed by dense 1x1s; the stride sits on the edges that leave the inputs. A cell here has one
input, adds at its output, has depthwise convolutions between two dense 1x1s, and its stride sits
on the edges that enter the output. What both can say is little: a graph of identities and 3x3
pools that uses the previous cell only and ends in one node, and at stride 2 only pools from input
to output. Everything else is an error that says which part, why, and how many more there are.
"""

from collections.abc import Iterator
from typing import Final

from autospace.importers.blocks import imported
from autospace.importers.literal import call_arguments
from autospace.importers.target import Target
from autospace.spaces import Architecture, Candidate, Cell, SpaceError
from autospace.spaces.cells.cell import MAX_NODES
from autospace.spaces.errors import shown

INPUTS: Final = 2
PREVIOUS: Final = 1
EXPRESSIBLE: Final = ("none", "skip_connect", "avg_pool_3x3", "max_pool_3x3")
SEPARABLE: Final = ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5")
DENSE: Final = ("conv_7x1_1x7", "conv_1x1", "conv_3x3")

_Edge = tuple[str, int]


def read(text: str, target: Target) -> Architecture:
    """The architecture with the normal cell at stride 1 and the reduction cell at stride 2.

    Raises:
        SpaceError: no genotype, or one with parts that our cells cannot express.
    """
    arguments = call_arguments(text, "Genotype")
    known = ("normal", "normal_concat", "reduce", "reduce_concat")
    for key in (*known, *arguments):
        if key not in arguments:
            raise SpaceError(key, "missing key")
        if key not in known:
            raise SpaceError(key, f"unknown key; allowed: {', '.join(known)}")
    skeleton = target.skeleton_or("cifar")
    candidates: dict[int, Candidate] = {}
    for stride, name in ((1, "normal"), (2, "reduce")):
        if any(shape.stride == stride for shape in skeleton.shapes):
            cell = _cell(name, arguments[name], arguments[f"{name}_concat"], stride)
            candidates[stride] = imported(cell, name)
    return Architecture(skeleton, tuple(candidates[shape.stride] for shape in skeleton.shapes))


def _cell(name: str, value: object, concat: object, stride: int) -> Cell:
    edges = _edges(name, value)
    ends = _ends(f"{name}_concat", concat, INPUTS + len(edges) // 2)
    problems = list(_problems(name, edges, ends, stride))
    if problems:
        path, problem = problems[0]
        more = f" (and {len(problems) - 1} other parts)" if len(problems) > 1 else ""
        raise SpaceError(path, problem + more)
    # The previous cell is node 0 here, and the one node that is handed on is the last.
    last = ends[0] - PREVIOUS
    placed = [
        (source - PREVIOUS, INPUTS + index // 2 - PREVIOUS, operation)
        for index, (operation, source) in enumerate(edges)
    ]
    inner = [(s, t, operation) for s, t, operation in placed if t <= last and operation != "none"]
    return _joined(name, inner, last + 1)


def _joined(name: str, edges: list[tuple[int, int, str]], nodes: int) -> Cell:
    if nodes > MAX_NODES:
        raise SpaceError(name, f"{nodes} nodes; allowed: up to {MAX_NODES}")
    return Cell.from_edges(edges, nodes=nodes, expansion=1)


def _edges(name: str, value: object) -> list[_Edge]:
    """Two edges per node: what they carry, and the index of the input or node they come from."""
    if not isinstance(value, list) or len(value) % 2 or not 2 <= len(value) <= 2 * MAX_NODES:
        raise SpaceError(name, f"{shown(value)}; allowed: two pairs (operation, from) per node")
    edges = []
    for index, pair in enumerate(value):
        path, sources = f"{name}[{index}]", INPUTS + index // 2
        operation, source = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        if not isinstance(operation, str) or type(source) is not int:
            raise SpaceError(path, f"{shown(pair)}; allowed: (operation, from)")
        if operation not in (*EXPRESSIBLE, *SEPARABLE, *DENSE):
            allowed = ", ".join((*EXPRESSIBLE, *SEPARABLE, *DENSE))
            raise SpaceError(path, f"unknown operation {shown(operation)}; allowed: {allowed}")
        if not 0 <= source < sources:
            raise SpaceError(path, f"from {shown(source)}; allowed: 0 to {sources - 1}")
        edges.append((operation, source))
    return edges


def _ends(path: str, value: object, nodes: int) -> list[int]:
    ends = [each for each in value if type(each) is int] if isinstance(value, list) else []
    whole = isinstance(value, list) and len(ends) == len(value) and len(set(ends)) == len(ends)
    if not ends or not whole or not all(INPUTS <= each < nodes for each in ends):
        raise SpaceError(path, f"{shown(value)}; allowed: nodes {INPUTS} to {nodes - 1}")
    return ends


def _problems(
    name: str, edges: list[_Edge], ends: list[int], stride: int
) -> Iterator[tuple[str, str]]:
    """The parts that our cells cannot express, and why."""
    if len(ends) > 1:
        yield f"{name}_concat", f"{len(ends)} nodes are concatenated, and cells here add"
    for index, (operation, source) in enumerate(edges):
        path = f"{name}[{index}]"
        if operation == "none":
            continue
        if operation in SEPARABLE:
            yield (
                path,
                f"{operation} has a dense 1x1 convolution, and operations here are depthwise",
            )
        if operation in DENSE:
            yield path, f"{operation} is dense, and operations here are depthwise"
        if source < PREVIOUS:
            yield path, "comes from the cell before the previous one; cells here have one input"
        if stride > 1:
            yield from _stride_problems(path, operation, source, INPUTS + index // 2, ends)


def _stride_problems(
    path: str, operation: str, source: int, node: int, ends: list[int]
) -> Iterator[tuple[str, str]]:
    if source < INPUTS and operation == "skip_connect":
        yield path, "skip_connect at stride 2 is a convolution there and a pool here"
    if (source < INPUTS) != (node in ends):
        yield path, "the stride is on edges from the inputs there, into the output here"
