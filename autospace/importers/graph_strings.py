"""Reads cells that other papers write as text: DARTS genotypes and NAS-Bench-201 strings.

A genotype of DARTS (Liu et al., ICLR 2019) is a network of the skeleton `darts`, see
`autospace.importers.darts_genotype`. On a skeleton for cells of the family `mobile` few can be
read. A DARTS cell has two inputs, adds the edges of a node and concatenates its nodes; its
convolutions are followed by dense 1x1 convolutions, and the stride is on the edges that leave the
inputs. A mobile cell has one input, adds at its output, has depthwise convolutions between two
dense 1x1 convolutions, and its stride is on the edges that enter the output. Both can express few
cells: a graph of identities and 3x3 pools that uses only the previous cell and ends in one node,
and at stride 2 only pools from input to output. Everything else is an error; its message names the
first part that cannot be expressed, the reason, and the number of other such parts.

A string of NAS-Bench-201 (Dong and Yang, ICLR 2020), such as
`|avg_pool_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|`, lists for each of
the nodes 1, 2, 3 the operations on the edges from nodes 0, 1, ... It is a cell of the family
`dense`, and a network of the skeleton `nasbench201`. On a skeleton for cells of the family
`mobile`, which have no dense convolutions, 729 of the 15,625 strings can be read: the cell is put
into every layer, between the projections, without expansion.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from autospace.importers.darts_genotype import DIALECTS, darts_network, parsed
from autospace.importers.target import Target, imported
from autospace.spaces import Architecture, Candidate, Cell, Edge, Origin, Skeleton
from autospace.spaces.cells.cell import MAX_NODES
from autospace.spaces.cells.darts_cell import INPUTS
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.text import plural

PREVIOUS: Final = 1
SEPARABLE: Final = ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3", "dil_conv_5x5")
DARTS_DENSE: Final = ("conv_7x1_1x7", "conv_1x1", "conv_3x3")
_Edge = tuple[str, int]
_Operation = tuple[int, int, str]


def read_darts_genotype(text: str, target: Target) -> Architecture:
    """The architecture with the normal cell at stride 1 and the reduction cell at stride 2.

    Raises:
        SpaceError: not a genotype, or one with parts that the skeleton's cells cannot express.
    """
    genotype = parsed(text, target.note)
    if target.skeleton is None or target.skeleton.chain == 2:
        return darts_network(genotype, target)
    skeleton = target.skeleton_or("darts")
    candidates: dict[int, Candidate] = {}
    for stride, name in ((1, "normal"), (2, "reduce")):
        if any(shape.stride == stride for shape in skeleton.shapes):
            pairs = genotype.normal if stride == 1 else genotype.reduce
            ends = genotype.normal_concat if stride == 1 else genotype.reduce_concat
            candidates[stride] = imported(_cell(name, pairs, ends, stride), name)
    return Architecture(skeleton, tuple(candidates[shape.stride] for shape in skeleton.shapes))


def binary_genotype(name: str) -> Callable[[str, Target], Architecture]:
    """What reads genotypes of binary cells of this name in `DIALECTS`."""

    def read(text: str, target: Target) -> Architecture:
        return darts_network(parsed(text, target.note), target, DIALECTS[name])

    return read


def _cell(name: str, edges: list[_Edge], ends: list[int], stride: int) -> Cell:
    problems = [*_problems(name, edges, ends, stride), *_doubled(name, edges)]
    if problems:
        path, problem = problems[0]
        more = f" (and {plural(len(problems) - 1, 'other part')})" if len(problems) > 1 else ""
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


def _problems(
    name: str, edges: list[_Edge], ends: list[int], stride: int
) -> Iterator[tuple[str, str]]:
    """The parts that our cells cannot express, and why."""
    if len(ends) > 1:
        yield f"{name}_concat", f"{len(ends)} nodes are concatenated, but cells here add them"
    for index, (operation, source) in enumerate(edges):
        path = f"{name}[{index}]"
        if operation == "none":
            continue
        if operation in SEPARABLE:
            yield (
                path,
                f"{operation} has a dense 1x1 convolution, but operations here are depthwise",
            )
        if operation in DARTS_DENSE:
            yield path, f"{operation} is dense, but operations here are depthwise"
        if source < PREVIOUS:
            yield path, "starts at the cell before the previous one, but cells here have one input"
        if stride > 1:
            yield from _stride_problems(path, operation, source, INPUTS + index // 2, ends)


def _doubled(name: str, edges: list[_Edge]) -> Iterator[tuple[str, str]]:
    """The nodes that two edges enter from one place."""
    for index in range(0, len(edges), 2):
        (first, source), (second, other) = edges[index : index + 2]
        if source == other and "none" not in (first, second):
            yield (
                f"{name}[{index}] and {name}[{index + 1}]",
                f"both come from {source}; cells here have one edge between two nodes",
            )


def _stride_problems(
    path: str, operation: str, source: int, node: int, ends: list[int]
) -> Iterator[tuple[str, str]]:
    if source < INPUTS and operation == "skip_connect":
        yield path, "skip_connect at stride 2 is a convolution in DARTS, but a pool here"
    if (source < INPUTS) != (node in ends):
        yield (
            path,
            "DARTS has the stride on edges from the inputs, but here it is on edges to the output",
        )


NODES: Final = 4
NASBENCH201_EXPRESSIBLE: Final = ("none", "skip_connect", "avg_pool_3x3")
NASBENCH201_DENSE: Final = ("nor_conv_1x1", "nor_conv_3x3")
EXAMPLE: Final = "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|none~2|"


def read_nasbench201(text: str, target: Target) -> Architecture:
    """The architecture with the cell of this string in every layer.

    Raises:
        SpaceError: not such a string, or a cell that does not fit the skeleton.
    """
    edges = _string_edges(text)
    skeleton = target.skeleton_or("nasbench201")
    if not all(shape.plain for shape in skeleton.shapes):
        return _dense(edges, skeleton)
    for source, node, operation in edges:
        if operation in NASBENCH201_DENSE:
            problem = f"{operation} is a dense convolution, but operations here are depthwise"
            allowed = f"{', '.join(NASBENCH201_EXPRESSIBLE)}; the skeleton nasbench201 holds all"
            raise SpaceError(f"edge {source}>{node}", f"{problem}; allowed: {allowed}")
    candidate = imported(Cell.from_edges(edges, nodes=NODES, expansion=1), "nasbench201")
    return Architecture(skeleton, (candidate,) * len(skeleton.layers))


def _dense(edges: Sequence[_Operation], skeleton: Skeleton) -> Architecture:
    """The network of dense cells: its edges are chosen one by one, or all at once."""
    cell = DenseCell(NODES, tuple(Edge(*edge) for edge in edges))
    chosen = []
    for shape in skeleton.shapes:
        part: Any = cell
        if shape.edge is not None:
            own = [edge for edge in cell.chosen if edge[:2] == shape.edge]
            part = DenseCell(NODES, tuple(own)) if own else cell
        name = "nasbench201" if shape.edge is None else part.operations[0]
        chosen.append(Candidate(name, part, None, Origin("imported")))
    return Architecture(skeleton, tuple(chosen))


def _string_edges(text: str) -> list[_Operation]:
    """The edges of a string: source, target and operation."""
    nodes = text.strip().strip("\"'").split("+")
    if len(nodes) != NODES - 1:
        problem = f"{shown(text.strip())}; allowed: {NODES - 1} nodes such as {EXAMPLE}"
        raise SpaceError("", problem)
    edges: list[_Operation] = []
    for node, part in enumerate(nodes, start=1):
        found = re.fullmatch(r"\|(.*)\|", part.strip(), re.ASCII)
        entries = found[1].split("|") if found else []
        if len(entries) != node:
            problem = f"{shown(part)}; allowed: {node} edges, each |operation~from|"
            raise SpaceError(f"node {node}", problem)
        edges.extend(_edge(entry, source, node) for source, entry in enumerate(entries))
    return edges


def _edge(entry: str, source: int, node: int) -> _Operation:
    operation, tilde, number = entry.partition("~")
    path = f"edge {source}>{node}"
    if not tilde or number != str(source):
        raise SpaceError(path, f"{shown(entry)}; allowed: operation~{source}")
    if operation not in (*NASBENCH201_EXPRESSIBLE, *NASBENCH201_DENSE):
        allowed = offered(operation, (*NASBENCH201_EXPRESSIBLE, *NASBENCH201_DENSE))
        raise SpaceError(path, f"unknown operation {shown(operation)}; {allowed}")
    return source, node, operation
