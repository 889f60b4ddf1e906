"""One key for all cells that compute the same function.

A cell is evaluated with symbols instead of images. The value of a node is a sum of terms; a term is
an atom after some average pools. Atoms are the input and the results of everything that is not
linear: convolutions, max pools, gates, squeeze-and-excitation. All ways to
write a function have the same form: identities disappear, average pools are linear, max(2x) is
2 max(x), and operations without weights on equal inputs are one atom.

The key is the list of atoms, numbered so that it sorts first. It is exact, not a hash.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import permutations
from math import gcd
from typing import Final, NamedTuple, Protocol

from autospace.spaces.cells.cell import Cell, Edge, edge_slots
from autospace.spaces.cells.operations import OPERATIONS, Operation

# An operation of a user's own may hold anything, such as fixed random weights: two are never equal.
_WEIGHTED: Final = ("depthwise", "dense", "binary", "binary_separable", "mlp", "own", "se")
_LINEAR: Final = ("average_pool", "skip")
_SCALING: Final = ("gate", "se")

_Term = tuple[int, tuple[str, ...]]
"""Number of an atom, and the average pools that it went through."""


class _Atom(NamedTuple):
    """The input, the output, or an operation on a sum; terms come with their factors."""

    name: str
    terms: frozenset[tuple[_Term, int]]
    depth: int


@lru_cache(maxsize=65536)
def canonical_key(cell: Cell, stride: int = 1) -> str:
    """The key shared by exactly the cells that equal this one at layers of this stride.

    Equal means: the same outputs for every input, if weights are handed over from one cell's
    operations to the other's, whatever the weights and the resolution. The stride matters because
    `skip_connect` into the last node is an identity at stride 1 but an average pool at stride 2.
    """
    pruned = cell.pruned()
    if pruned.is_zero:
        return "zero"
    return f"e{pruned.expansion} {graph_key(pruned, OPERATIONS, stride)}"


class Graph(Protocol):
    """A cell of any family whose nodes combine what edges bring them."""

    @property
    def nodes(self) -> int:
        """Number of nodes: the first is the input, the last the output."""

    @property
    def edges(self) -> tuple[Edge, ...]:
        """The edges with an operation, in the order of `edge_slots`."""

    @property
    def mix(self) -> tuple[str, ...]:
        """How each of the nodes 1, 2, ... combines its edges."""

    @property
    def live_nodes(self) -> frozenset[int]:
        """Nodes on a path from input to output."""


def graph_key(graph: Graph, operations: Mapping[str, Operation], stride: int = 1) -> str:
    """The part of a key that the graph decides; every edge must be on a path to the output.

    Args:
        graph: with at least one path from input to output.
        operations: what the names of its operations stand for.
        stride: of the edges into the last node.
    """
    atoms = _evaluated(graph, operations, stride)
    return _first_text(atoms, [atom.depth for atom in atoms])


class Step(NamedTuple):
    """An operation on the value of a node.

    Attributes:
        source: the number of the node.
        name: of the operation, and of its stride if that matters.
        kind: as in `Operation`; `own` for anything with weights.
    """

    source: int
    name: str
    kind: str


def blocks_key(inputs: int, nodes: Sequence[Sequence[Step]], output: Sequence[int]) -> str:
    """The key of a graph with several inputs that gives several nodes side by side.

    Args:
        inputs: number of inputs, which are the first nodes.
        nodes: per further node, the operations whose results it adds up.
        output: the nodes that are given; their order does not matter, because what reads them has
            weights for every channel.
    """
    atoms = [_Atom(f"input{index}", frozenset(), 0) for index in range(inputs)]
    values: list[Counter[_Term]] = [Counter({(index, ()): 1}) for index in range(inputs)]
    for steps in nodes:
        total: Counter[_Term] = Counter()
        for source, name, kind in sorted(steps):
            total.update(_applied(name, kind, False, values[source], atoms))
        values.append(total)
    atoms.extend(_atom("output", values[node], atoms) for node in output)
    return _first_text(atoms, [atom.depth for atom in atoms])


def canonical(cell: Cell) -> Cell:
    """The pruned cell with its inner nodes in the one order that sorts first."""
    pruned = cell.pruned()
    orders = permutations(range(1, pruned.nodes - 1))
    renamed = (_renamed(pruned, (0, *order, pruned.nodes - 1)) for order in orders)
    return min(
        (each for each in renamed if each is not None),
        key=lambda each: (each.operations, each.mix),
    )


def _evaluated(cell: Graph, operations: Mapping[str, Operation], stride: int) -> list[_Atom]:
    """The atoms of a pruned cell: the input first, the output last."""

    def kind_of(name: str) -> str:
        return operations[name].kind if name in operations else name

    atoms = [_Atom("input", frozenset(), 0)]
    values: dict[int, Counter[_Term]] = {0: Counter({(0, ()): 1})}
    last, edges = cell.nodes - 1, cell.edges
    for target in sorted(cell.live_nodes - {0}):
        strided = stride != 1 and target == last
        total: Counter[_Term] = Counter()
        for edge in edges:
            if edge.target == target:
                name, source = edge.operation, values[edge.source]
                total.update(_applied(name, kind_of(name), strided, source, atoms))
        mix = cell.mix[target - 1]
        values[target] = total if mix == "sum" else _applied(mix, mix, False, total, atoms)
    atoms.append(_atom("output", values[last], atoms))
    return atoms


def _applied(
    name: str, kind: str, strided: bool, value: Counter[_Term], atoms: list[_Atom]
) -> Counter[_Term]:
    """An operation or mix on a sum; grows the list of atoms."""
    if kind == "skip" and not strided:
        return value
    if not value and kind not in _WEIGHTED:
        return value
    label = f"{name}/2" if strided else name
    if kind in _LINEAR:
        return Counter({(atom, (*pools, label)): n for (atom, pools), n in value.items()})
    if kind != "max_pool":
        return Counter({(_placed(label, value, kind in _WEIGHTED, atoms), ()): 1})
    total: Counter[_Term] = Counter()
    for part in _multiples(value, atoms)[1]:
        term = (_placed(label, _reduced(part), False, atoms), ())
        total[term] += gcd(*part.values())
    return total


def _placed(name: str, value: Counter[_Term], weighted: bool, atoms: list[_Atom]) -> int:
    """Number of the atom; a new one, unless it has no weights and is there already."""
    made = _atom(name, value, atoms)
    if not weighted and made in atoms:
        return atoms.index(made)
    atoms.append(made)
    return len(atoms) - 1


def _multiples(
    value: Counter[_Term], atoms: list[_Atom]
) -> tuple[Counter[_Term], list[Counter[_Term]]]:
    """A sum, and parts of the value that are its multiples by positive numbers.

    Gates and squeeze-and-excitation multiply by positive numbers, so x + gate(x) is one of x, and
    max(x + gate(x)) = max(x) + max(gate(x)). Usually the value is its own only part.
    """
    bases = {
        (atom, pools): _multiples(
            Counter({(a, (*p, *pools)): n for (a, p), n in atoms[atom].terms}), atoms
        )[0]
        for atom, pools in value
        if atoms[atom].name in _SCALING
    }
    if bases:
        # Only the outermost one can have all the rest within its own base.
        base = bases[max(bases, key=lambda term: atoms[term[0]].depth)]
        parts = [Counter({term: value[term]}) for term in bases if bases[term] == base]
        rest = value - sum(parts, Counter())
        if not rest:
            return base, parts
        if _reduced(rest) == base:
            return base, [*parts, rest]
    return _reduced(value), [value]


def _reduced(value: Counter[_Term]) -> Counter[_Term]:
    factor = gcd(*value.values())
    return Counter({term: n // factor for term, n in value.items()})


def _atom(name: str, value: Counter[_Term], atoms: list[_Atom]) -> _Atom:
    depth = 1 + max((atoms[atom].depth for atom, _ in value), default=0)
    return _Atom(name, frozenset(value.items()), depth)


def _first_text(atoms: list[_Atom], colours: list[int]) -> str:
    """The least description over all numberings that the structure of the atoms leaves open.

    Atoms are told apart by name, sources and uses. Where that leaves several alike, each of them
    in turn is made the first.
    """
    uses: list[set[tuple[int, tuple[str, ...], int]]] = [set() for _ in atoms]
    for number, atom in enumerate(atoms):
        for (source, pools), n in atom.terms:
            uses[source].add((number, pools, n))
    colours = _refined(atoms, uses, colours)
    members: dict[int, list[int]] = {}
    for number, colour in enumerate(colours):
        members.setdefault(colour, []).append(number)
    tied = min((colour for colour in members if len(members[colour]) > 1), default=None)
    if tied is None:
        return _text(atoms, colours)
    # Twins, with the same sources and the same uses, can change places: one of them is enough.
    twins = {(atoms[each].terms, frozenset(uses[each])): each for each in members[tied]}
    return min(
        _first_text(
            atoms,
            [2 * c + (c == tied and number != first) for number, c in enumerate(colours)],
        )
        for first in twins.values()
    )


def _refined(
    atoms: list[_Atom], uses: list[set[tuple[int, tuple[str, ...], int]]], colours: list[int]
) -> list[int]:
    """Colours that differ wherever names, sources or uses differ; their order is kept."""
    while True:
        traits = [
            (
                colours[number],
                atom.name,
                sorted((colours[source], pools, n) for (source, pools), n in atom.terms),
                sorted((colours[user], pools, n) for user, pools, n in uses[number]),
            )
            for number, atom in enumerate(atoms)
        ]
        distinct: list[object] = []
        for trait in sorted(traits):
            if not distinct or trait != distinct[-1]:
                distinct.append(trait)
        finer = [distinct.index(trait) for trait in traits]
        if len(distinct) == len(set(colours)):
            return finer
        colours = finer


def _text(atoms: list[_Atom], numbers: list[int]) -> str:
    drawn = []
    for number, atom in sorted(zip(numbers, atoms, strict=True), key=lambda pair: pair[0])[1:]:
        terms = sorted((numbers[source], pools, n) for (source, pools), n in atom.terms)
        inner = "+".join(
            (f"{n}*" if n > 1 else "") + ".".join((*reversed(pools), str(source)))
            for source, pools, n in terms
        )
        drawn.append(f"{number}={atom.name}({inner})")
    return " ".join(drawn)


def _renamed(cell: Cell, label: tuple[int, ...]) -> Cell | None:
    """The cell with its nodes renamed, or None if an edge would then point backward."""
    operations = dict.fromkeys(edge_slots(cell.nodes), "none")
    for source, target, name in cell.edges:
        slot = (label[source], label[target])
        if slot not in operations:
            return None
        operations[slot] = name
    mix = {label[node]: name for node, name in enumerate(cell.mix, start=1)}
    renamed = tuple(mix[node] for node in range(1, cell.nodes))
    return Cell(tuple(operations.values()), renamed, cell.expansion)
