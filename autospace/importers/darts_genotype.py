"""Reads genotypes of DARTS and of the many programs that write cells as it does.

A genotype of DARTS (Liu et al., ICLR 2019) is `Genotype(normal=[...], normal_concat=range(2, 6),
reduce=[...], reduce_concat=range(2, 6))`: two pairs (operation, from) per node, of layers of stride
1 and of layers of stride 2. PC-DARTS, P-DARTS and others print the same; some put the two pairs of
a node into a pair of their own. It is a network of the family `darts`. How many nodes are
concatenated decides the width of layers, as in the code of the paper.

BATS (Bulat et al., ECCV 2020) and CP-NAS (Zhuo et al., IJCAI 2020) write binary cells with the
names of DARTS. Which of them a text means is not in it: the format or the skeleton says so.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from autospace.importers.python_literals import call_arguments, the_call
from autospace.importers.target import Target
from autospace.spaces import Architecture, Candidate, Edge, LayerShape, Origin, Skeleton
from autospace.spaces.cells.bats import BATS_OPERATIONS, GROUPED, SEPARABLE, BatsCell
from autospace.spaces.cells.cell import MAX_NODES
from autospace.spaces.cells.darts_cell import EDGES, INPUTS, OPERATIONS, Choice, DartsCell
from autospace.spaces.errors import SpaceError, located, offered, shown

KEYS: Final = ("normal", "normal_concat", "reduce", "reduce_concat")
EMPTY: Final = ("connectN", "connects")
"""Keys of a later program, which are None in networks of cells."""
# Not of DARTS itself: programs with cells of other kinds have them, and cells here do not.
ELSEWHERE: Final = ("conv_1x1", "conv_3x3")
Pair = tuple[str, int]


class Genotype(NamedTuple):
    """The two cells of a text: pairs (operation, from), and the nodes that are concatenated."""

    normal: list[Pair]
    normal_concat: list[int]
    reduce: list[Pair]
    reduce_concat: list[int]


class Dialect(NamedTuple):
    """What the names of operations stand for.

    Attributes:
        format: the name of the format.
        skeleton: the built-in one that networks have by default.
        cells: what makes a cell.
        names: from the name of an operation to that of ours.
    """

    format: str
    skeleton: str
    cells: type[DartsCell]
    names: Mapping[str, str]


_OWN: Final = {name: name for name in BATS_OPERATIONS}
REAL: Final = Dialect("darts-genotype", "darts", DartsCell, {name: name for name in OPERATIONS})
DIALECTS: Final = {
    "bats": Dialect("bats-genotype", "bats", BatsCell, {**_OWN, **GROUPED}),
    "bnas": Dialect("bnas-genotype", "bats", BatsCell, {**_OWN, **SEPARABLE}),
}
"""Binary cells, which are written with the names of DARTS or with our own."""


def parsed(text: str, note: Callable[[str], None]) -> Genotype:
    """The genotype in a text: a literal, a module of Python, or a log.

    Raises:
        SpaceError: there is none, or several, or one with a wrong value.
    """
    arguments = call_arguments(the_call(text, "Genotype", note), "Genotype")
    for key in EMPTY:
        if arguments.get(key, 0) is None:
            del arguments[key]
    for key in (*KEYS, *arguments):
        if key not in arguments:
            raise SpaceError(key, "missing key")
        if key not in KEYS:
            raise SpaceError(key, f"unknown key; {offered(key, KEYS)}")
    found: list[Any] = []
    for name in ("normal", "reduce"):
        pairs = _pairs(name, arguments[name])
        found += [pairs, _ends(f"{name}_concat", arguments[f"{name}_concat"], pairs)]
    return Genotype(*found)


def _pairs(name: str, value: object) -> list[Pair]:
    """Two edges per node: the operation, and the index of the input or node that it starts at."""
    value = _flat(value)
    most = EDGES * MAX_NODES
    if not isinstance(value, list) or len(value) % EDGES or not EDGES <= len(value) <= most:
        raise SpaceError(name, f"{shown(value)}; allowed: two pairs (operation, from) per node")
    pairs = []
    for index, pair in enumerate(value):
        path, sources = f"{name}[{index}]", INPUTS + index // EDGES
        operation, source = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        if not isinstance(operation, str) or type(source) is not int:
            raise SpaceError(path, f"{shown(pair)}; allowed: (operation, from)")
        known = tuple(dict.fromkeys((*OPERATIONS, *ELSEWHERE, *BATS_OPERATIONS)))
        if operation not in known:
            problem = f"unknown operation {shown(operation)}; {offered(operation, known)}"
            raise SpaceError(path, problem)
        if not 0 <= source < sources:
            raise SpaceError(path, f"from {shown(source)}; allowed: 0 to {sources - 1}")
        pairs.append((operation, source))
    return pairs


def _flat(value: object) -> object:
    """The pairs of all nodes in one list, if those of each node are in a list of its own."""
    if not isinstance(value, list) or not value:
        return value
    nested = all(
        isinstance(node, list) and len(node) == EDGES and all(isinstance(p, list) for p in node)
        for node in value
    )
    return [pair for node in value for pair in node] if nested else value


def _ends(path: str, value: object, pairs: list[Pair]) -> list[int]:
    nodes = INPUTS + len(pairs) // EDGES
    ends = [each for each in value if type(each) is int] if isinstance(value, list) else []
    whole = isinstance(value, list) and len(ends) == len(value) and len(set(ends)) == len(ends)
    if not ends or not whole or not all(INPUTS <= each < nodes for each in ends):
        raise SpaceError(path, f"{shown(value)}; allowed: nodes {INPUTS} to {nodes - 1}")
    return ends


def darts_network(genotype: Genotype, target: Target, dialect: Dialect = REAL) -> Architecture:
    """The network with the normal cell at stride 1 and the reduction cell at stride 2.

    Without a skeleton it is that of the paper for CIFAR-10, for as many concatenated nodes.

    Raises:
        SpaceError: the cells do not fit the skeleton.
    """
    dialect = _meant(dialect, genotype, target)
    cells = {}
    for stride, name in ((1, "normal"), (2, "reduce")):
        with located(name):
            pairs = genotype.normal if stride == 1 else genotype.reduce
            ends = genotype.normal_concat if stride == 1 else genotype.reduce_concat
            cells[stride] = dialect.cells.of(_named(pairs, dialect), ends)
    skeleton = target.skeleton_or(dialect.skeleton)
    if target.skeleton is None:
        skeleton = _fitting(skeleton, cells)
    candidates = [_candidate(cells[shape.stride], shape) for shape in skeleton.shapes]
    return Architecture(skeleton, tuple(candidates))


def _meant(dialect: Dialect, genotype: Genotype, target: Target) -> Dialect:
    """The dialect of a text, which names of our own or a binary skeleton decide as well.

    Raises:
        SpaceError: the skeleton is binary and the text is not, or the other way round.
    """
    own = {name for name, _ in (*genotype.normal, *genotype.reduce)} - {*OPERATIONS, *ELSEWHERE}
    binary = target.skeleton is not None and target.skeleton.binary_groups > 0
    if dialect is REAL and own:
        dialect = DIALECTS["bats"]
    if dialect is REAL and binary:
        other = DIALECTS["bnas"].format
        target.note(
            f"the skeleton is binary: convolutions are the grouped ones of BATS; for the separable "
            f"ones of CP-NAS, the format is {other}"
        )
        return DIALECTS["bats"]
    if dialect is not REAL and target.skeleton is not None and not binary:
        problem = f"{shown(target.skeleton.name)} is for real cells"
        allowed = "bats or another skeleton with binary_groups"
        raise SpaceError(
            "skeleton", f"{problem}, {dialect.format} for binary ones; allowed: {allowed}"
        )
    return dialect


def _named(pairs: list[Pair], dialect: Dialect) -> list[Pair]:
    """The pairs with our names of operations."""
    for index, (operation, _) in enumerate(pairs):
        if operation not in dialect.names:
            allowed = ", ".join(dialect.names)
            author = "DARTS" if dialect is REAL else dialect.format.partition("-")[0].upper()
            problem = f"{operation} is no operation of {author}; allowed: {allowed}"
            raise SpaceError(f"[{index}]", problem)
    return [(dialect.names[operation], source) for operation, source in pairs]


def _fitting(skeleton: Skeleton, cells: dict[int, DartsCell]) -> Skeleton:
    """The skeleton for cells that concatenate another number of nodes, or not all of them."""
    counts = [len(cell.concat) for cell in cells.values()]
    if counts[0] != counts[1]:
        problem = f"{counts[1]} nodes, but normal_concat has {counts[0]}; allowed: as many"
        raise SpaceError("reduce_concat", problem)
    (count, _), whole = counts, None
    # Nodes can be chosen one by one only where the output holds them all, in their order.
    if count >= 2 and all(_holds_all(cell) for cell in cells.values()):
        whole = count
    return replace(skeleton, concat=count, nodes=whole)


def _holds_all(cell: DartsCell) -> bool:
    return cell.concat == tuple(range(INPUTS, INPUTS + cell.nodes))


def _candidate(cell: DartsCell, shape: LayerShape) -> Candidate:
    name, part = {1: "normal", 2: "reduce"}[shape.stride], cell
    if shape.node is not None:
        if not _holds_all(cell) or cell.nodes != shape.concat:
            ends = " ".join(map(str, cell.concat))
            problem = f"{cell.nodes} nodes, of which {ends} are concatenated"
            allowed = f"all of {shape.concat} nodes in their order, as at {shape.name}"
            raise SpaceError(f"{name}_concat", f"{problem}; allowed: {allowed}")
        edges: tuple[Edge, ...] = cell.into(shape.node)
        part, name = type(cell).on(edges, cell.nodes), Choice(*sorted(edges)).name
    found: Any = part
    return Candidate(name, found, None, Origin("imported"))
