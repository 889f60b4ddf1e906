"""Random cells, mutation and crossover, as pure functions of a random generator."""

import random
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from autospace.spaces.cells.cell import EXPANSIONS, MIXES, Cell, edge_slots

MAX_DRAWS: Final = 1000
NODES: Final = 4


@dataclass(frozen=True, slots=True)
class CellPrior:
    """Which cells may exist, and how often a random one leaves an edge out.

    Attributes:
        operations: vocabulary without `none`.
        nodes: nodes of a cell, input and output included.
        none_probability: chance that an edge of a random cell is absent.
        plain_probability: chance that a node of a random cell mixes by `sum`.
        window: edges that a local mutation redraws at most.
    """

    kind: ClassVar[str] = Cell.kind
    operations: tuple[str, ...]
    nodes: int = NODES
    none_probability: float = 0.4
    plain_probability: float = 0.6
    window: int = 2
    expansions: tuple[int, ...] = EXPANSIONS
    mixes: tuple[str, ...] = MIXES

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The operations that cells may be made of, `none` included."""
        return ("none", *self.operations)

    @property
    def edges(self) -> int:
        """Edge slots of a cell."""
        return self.nodes * (self.nodes - 1) // 2


def random_cell(prior: CellPrior, rng: random.Random) -> Cell:
    """A random pruned cell with a path from input to output."""
    for _ in range(MAX_DRAWS):
        operations = tuple(_operation(prior, rng) for _ in range(prior.edges))
        mix = tuple(_mix(prior, rng) for _ in range(prior.nodes - 1))
        cell = Cell(operations, mix, rng.choice(prior.expansions)).pruned()
        if not cell.is_zero:
            return cell
    raise RuntimeError(f"no cell with a path in {MAX_DRAWS} draws")


def mutate(cell: Cell, prior: CellPrior, rng: random.Random) -> Cell:
    """A pruned neighbour of the cell that has a path: one local change, never the cell itself.

    Three times out of five a window of edges at one node is redrawn (`none` allowed), else the
    expansion ratio or the mix of one node changes.
    """
    parent = cell.pruned()
    for _ in range(MAX_DRAWS):
        kind = rng.random()
        if kind < 0.6:
            child = _with_window(parent, prior, rng)
        elif kind < 0.8:
            child = replace(parent, expansion=rng.choice(prior.expansions))
        else:
            child = _with_mix(parent, prior, rng)
        child = child.pruned()
        if child != parent and not child.is_zero:
            return child
    raise RuntimeError(f"no other cell with a path in {MAX_DRAWS} mutations of {cell}")


def crossover(first: Cell, second: Cell, rng: random.Random) -> Cell:
    """A pruned child with a path, made of parts of both parents.

    The edges into each node with its mix, and the expansion ratio, come from one parent or the
    other. Falls back to the first parent if no such child has a path.
    """
    for _ in range(MAX_DRAWS // 10):
        operations: list[str] = []
        mix: list[str] = []
        for node in range(1, first.nodes):
            donor = rng.choice((first, second))
            start = node * (node - 1) // 2
            operations.extend(donor.operations[start : start + node])
            mix.append(donor.mix[node - 1])
        expansion = rng.choice((first.expansion, second.expansion))
        child = Cell(tuple(operations), tuple(mix), expansion).pruned()
        if not child.is_zero:
            return child
    return first.pruned()


def _with_window(cell: Cell, prior: CellPrior, rng: random.Random) -> Cell:
    # The edges at one node, in any order: two of them make a new way through a node that was off
    # all ways, which no two edges elsewhere can, and one alone would be pruned again.
    node = rng.randrange(cell.nodes)
    slots = list(enumerate(edge_slots(cell.nodes)))
    rng.shuffle(slots)
    slots.sort(key=lambda slot: node not in slot[1])
    operations = list(cell.operations)
    for index, _ in slots[: rng.randint(1, prior.window)]:
        operations[index] = _operation(prior, rng)
    return replace(cell, operations=tuple(operations))


def _with_mix(cell: Cell, prior: CellPrior, rng: random.Random) -> Cell:
    mix = list(cell.mix)
    mix[rng.randrange(len(mix))] = rng.choice(prior.mixes)
    return replace(cell, mix=tuple(mix))


def _operation(prior: CellPrior, rng: random.Random) -> str:
    return "none" if rng.random() < prior.none_probability else rng.choice(prior.operations)


def _mix(prior: CellPrior, rng: random.Random) -> str:
    return "sum" if rng.random() < prior.plain_probability else rng.choice(prior.mixes)
