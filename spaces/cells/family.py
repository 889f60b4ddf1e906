"""The interface of cell families, and the table of the families.

A family is a set of operations and the cells that are made of them. All code outside this folder
gets the key, cost, variation, notation and document of a cell from its family. To add a family,
write a cell, a prior and a class that implements `Family`, an entry in `FAMILIES` here, and an
entry in `BUILDERS` of `autospace.networks.network`.
"""

from collections.abc import Collection, Iterable, Sequence
from random import Random
from typing import Any, ClassVar, Final, Protocol, TypeVar

from pydantic import BaseModel

from autospace.spaces.cells.bats import BNAS_USUAL, Bats
from autospace.spaces.cells.bert import Bert
from autospace.spaces.cells.binary import Binary
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.conv import Conv
from autospace.spaces.cells.darts import Darts
from autospace.spaces.cells.dense import Dense
from autospace.spaces.cells.mobile import Mobile
from autospace.spaces.cells.ofa import Ofa
from autospace.spaces.cells.operations import BITS, Cost
from autospace.spaces.cells.recurrent import Recurrent
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.text import human


class OfFamily(Protocol):
    """A value that belongs to a family: a cell, or a prior over cells."""

    kind: ClassVar[str]


class Prior(OfFamily, Protocol):
    """Which cells of a family may exist, and how random ones are drawn."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The operations that cells may be made of."""


C = TypeVar("C")
P = TypeVar("P")


class Family(Protocol[C, P]):
    """Cells of one kind: immutable, hashable values of type C, drawn under priors of type P.

    A cell has `kind`, and `operations`, the names of its operations.

    Attributes:
        kind: the name of the family in files.
        binary: whether cells have binary operations, which files then count.
        operations: the names of all operations that this process knows.
        built_in: the names that every program knows, which the published schema allows.
        usual: the default operations of cells.
        skipped: the cell that computes zero, so that a shortcut skips its layer.
        legend: what the signs of its notation and drawings mean that stand for no operation.
        document: the structure of a cell in a file, an object with keys of its own.
    """

    kind: str
    binary: bool
    operations: Collection[str]
    built_in: Sequence[str]
    usual: Sequence[str]
    skipped: C
    legend: str
    document: type[BaseModel]

    def least(self, shape: LayerShape) -> C:
        """The cheapest cell that is allowed at a layer of this shape: `skipped` if that is."""

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not among `operations`."""

    def check(self, cell: C, shape: LayerShape) -> None:
        """Raises `SpaceError` for a cell that does not fit a layer of this shape."""

    def key(self, cell: C, shape: LayerShape) -> str:
        """A text shared by exactly the cells that compute the same function at this layer."""

    def canonical(self, cell: C) -> C:
        """The same cell for all equivalent ways to write it."""

    def cost(self, cell: C, shape: LayerShape) -> Cost:
        """MAdds and params at this layer."""

    def prior(self, operations: Iterable[str], like: Iterable[C] = ()) -> P:
        """The prior over cells of these operations, as large as the largest of some cells."""

    def random_cell(self, prior: P, rng: Random) -> C:
        """A cell drawn from the prior, never `skipped`."""

    def mutate(self, cell: C, prior: P, rng: Random) -> C:
        """A neighbour of the cell under the prior, never the cell itself or `skipped`."""

    def crossover(self, first: C, second: C, rng: Random) -> C:
        """A cell made of parts of both."""

    def notation(self, cell: C) -> str:
        """The cell on one line of text."""

    def at(self, cell: C, shape: LayerShape) -> C:
        """The cell as a candidate at a layer: where one edge is chosen, its operation there."""

    def joined(self, cells: Sequence[C], shape: LayerShape) -> C:
        """The cell with the edges of all of these; where several have an edge, that of the last.

        Args:
            cells: each of one choice, or whole.
            shape: of the first choice.
        """

    def differences(self, cell: C, reference: C) -> list[str]:
        """The differences from a reference, a short text each; empty if nothing differs."""

    def used(self, cell: C) -> Sequence[str]:
        """The operations that the output depends on, each as often as it is there.

        Of a choice on its own, what it chooses.
        """

    def encoded(self, cell: C) -> dict[str, Any]:
        """The cell as plain JSON values, for `document`."""

    def decoded(self, document: Any) -> C:
        """The cell that a value of `document` describes; `SpaceError` if there is none."""


DEFAULT_KIND: Final = Mobile.kind
FAMILIES: Final[dict[str, Family[Any, Any]]] = {
    DEFAULT_KIND: Mobile(),
    Dense.kind: Dense(),
    Darts.kind: Darts(),
    Binary.kind: Binary(),
    Conv.kind: Conv(),
    Bats.kind: Bats(),
    Ofa.kind: Ofa(),
    Recurrent.kind: Recurrent(),
    Bert.kind: Bert(),
}
CELLS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "binary": (Binary.kind, tuple(Binary.usual)),
    "bnas": (Bats.kind, BNAS_USUAL),
    "resnet": (Conv.kind, tuple(Conv.usual)),
    "bottleneck": (Conv.kind, tuple(Conv.usual)),
    "convnext": (Conv.kind, tuple(Conv.usual)),
}
"""Names of cells that are evolved on a skeleton if asked (`cells.family`): family, operations."""
KINDS: Final = tuple(FAMILIES)
"""The families whose cells this program can draw and put into tables."""


def family_of(value: OfFamily) -> Family[Any, Any]:
    """The family of a cell or prior."""
    return FAMILIES[value.kind]


def check_kind(kind: str, work: str, allowed: Iterable[str] = (DEFAULT_KIND,)) -> None:
    """Refuses a family of cells for work that needs to know how its cells are made.

    Args:
        kind: the name of the family.
        work: what knows only some families, in the plural.
        allowed: the families that it knows.

    Raises:
        SpaceError: the family is none of them.
    """
    names = tuple(allowed)
    if kind not in names:
        problem = f"{shown(kind)}, which {work} do not support"
        raise SpaceError("kind", f"{problem}; allowed: {', '.join(names)}")


def cell_key(cell: OfFamily, shape: LayerShape) -> str:
    """The key of a cell at a layer; see `Family.key`."""
    return family_of(cell).key(cell, shape)


def cell_cost(cell: OfFamily, shape: LayerShape) -> Cost:
    """MAdds and params of a cell at a layer."""
    return family_of(cell).cost(cell, shape)


def notation(cell: OfFamily) -> str:
    """A cell on one line; see `Family.notation`."""
    return family_of(cell).notation(cell)


def changes(cell: OfFamily, reference: OfFamily) -> str:
    """The differences between two cells of one family on one line; empty if nothing differs."""
    return ", ".join(differences(cell, reference))


def differences(cell: OfFamily, reference: OfFamily) -> list[str]:
    """The differences between two cells of one family; see `Family.differences`."""
    return family_of(cell).differences(cell, reference)


def work(kind: str, cost: Cost) -> int:
    """What people read as the work of cells of a kind: MAdds, or OPs where some are binary."""
    return -(-cost.whole("ops") // BITS) if FAMILIES[kind].binary else cost.madds


def summable_work(kind: str, cost: Cost) -> int:
    """The work as a whole number that adds up over layers: MAdds, or 64ths of OPs."""
    return cost.whole("ops") if FAMILIES[kind].binary else cost.madds


def work_unit(kind: str) -> str:
    """The unit of `work`."""
    return "OPs" if FAMILIES[kind].binary else "MAdds"


def work_of(kind: str, cost: Cost) -> str:
    """The work with its unit: `43.5M MAdds`."""
    return f"{human(work(kind, cost))} {work_unit(kind)}"


def used(cell: OfFamily) -> Sequence[str]:
    """The operations that the output of a cell depends on; see `Family.used`."""
    return family_of(cell).used(cell)
