"""The family `recurrent`: cells of networks that read tokens, as in ENAS and DARTS."""

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, FailFast, Field

from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cells.recurrent_cell import (
    FUNCTIONS,
    MAX_RECURRENT_NODES,
    Part,
    RecurrentCell,
    check_function,
    ordered_tree,
    recurrent_changes,
    recurrent_notation,
    tree_key,
)
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError, shown

MAX_DRAWS: Final = 1000
_Node = Annotated[int, Field(ge=0, le=MAX_RECURRENT_NODES - 1)]
_Function = Annotated[
    str, Field(min_length=1, max_length=MAX_NAME, json_schema_extra={"enum": [*FUNCTIONS]})
]
_MOST: Final = MAX_RECURRENT_NODES + 1


class RecurrentDocument(BaseModel):
    """A cell, or one choice of it: null stands where nothing is chosen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    sources: Annotated[
        list[_Node | None],
        Field(
            min_length=2,
            max_length=_MOST,
            description="per node its predecessor; node 0, the root, has none",
        ),
        FailFast(),
    ]
    functions: Annotated[
        list[_Function | None],
        Field(min_length=2, max_length=_MOST, description="per node its function"),
        FailFast(),
    ]


@dataclass(frozen=True, slots=True)
class DecisionShape(LayerShape):
    """One choice of a recurrent cell, or the whole cell.

    `in_channels` and `out_channels` are units of a node, and `nodes` counts those behind the root.

    Attributes:
        part: what is chosen of `node`; None for a whole cell.
        root: the function of node 0; None if it is a choice as well.
        choices: how many predecessors or functions `part` may be.
    """

    part: Part | None = None
    root: str | None = "tanh"


@dataclass(frozen=True, slots=True)
class RecurrentPrior:
    """Every predecessor and every function has the same probability.

    Attributes:
        functions: what nodes may have.
        nodes: of a cell, behind the root.
        root: the function of node 0; None if it is drawn as well.
    """

    kind: ClassVar[str] = RecurrentCell.kind
    functions: tuple[str, ...]
    nodes: int = 8
    root: str | None = "tanh"

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The functions that cells may have."""
        return self.functions


class Recurrent:
    """The family as `autospace.spaces.cells.family.Family` describes it."""

    kind: str = RecurrentCell.kind
    binary: bool = False
    operations: Collection[str] = FUNCTIONS
    built_in: Sequence[str] = tuple(FUNCTIONS)
    usual: Sequence[str] = tuple(FUNCTIONS)
    skipped = RecurrentCell.of([(0, "identity")], "identity")
    document: type[BaseModel] = RecurrentDocument
    notation = staticmethod(recurrent_notation)
    changes = staticmethod(recurrent_changes)

    def least(self, shape: LayerShape) -> RecurrentCell:
        """Any choice: all cost the same. Every node is the identity of the one before it."""
        chain = [(node, "identity") for node in range(max(1, shape.nodes))]
        return self.at(RecurrentCell.of(chain, _root(shape) or "identity"), shape)

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not among `operations`."""
        check_function("", name)

    def check(self, cell: RecurrentCell, shape: LayerShape) -> None:
        """Raises `SpaceError` for a layer of images, or for a choice of another node."""
        if not isinstance(shape, DecisionShape):
            problem = f'"recurrent" at {shape.name}, which reads images'
            raise SpaceError("kind", f"{problem}; allowed: skeletons that read text")
        if cell.nodes != shape.nodes:
            problem = f"{cell.nodes} nodes behind the root; allowed at {shape.name}: {shape.nodes}"
            raise SpaceError("sources", f"{problem}, as in the skeleton")
        if shape.part is None:
            if not cell.is_whole:
                raise SpaceError("sources", f"one choice; allowed at {shape.name}: a whole cell")
            if shape.root is not None and cell.functions[0] != shape.root:
                problem = f"{shown(cell.functions[0])}; allowed in this skeleton: {shape.root}"
                raise SpaceError("functions[0]", problem)
        elif cell.is_whole or cell.choice != (shape.node, shape.part):
            found = "a whole cell" if cell.is_whole else "the {1} of node {0}".format(*cell.choice)
            allowed = f"the {shape.part} of node {shape.node}"
            raise SpaceError("sources", f"{found}; allowed at {shape.name}: {allowed}")

    def key(self, cell: RecurrentCell, shape: LayerShape) -> str:
        """The canonical key of a cell; of a choice, its notation."""
        return tree_key(cell) if cell.is_whole else recurrent_notation(cell)

    def canonical(self, cell: RecurrentCell) -> RecurrentCell:
        """The cell with its nodes in one order; a choice as it is."""
        return ordered_tree(cell) if cell.is_whole else cell

    def cost(self, cell: RecurrentCell, shape: LayerShape) -> Cost:
        """Of one token: the matrix of each node behind the root whose function is chosen here.

        The root's matrix belongs to the skeleton.
        """
        chosen = sum(name is not None for name in cell.functions[1:])
        weights = chosen * 2 * shape.in_channels**2
        return Cost(weights, weights)

    def prior(
        self, operations: Iterable[str], like: Iterable[RecurrentCell] = ()
    ) -> RecurrentPrior:
        """Uniform over the functions, with as many nodes as the largest of some cells."""
        nodes = max((cell.nodes for cell in like), default=8)
        return RecurrentPrior(tuple(dict.fromkeys(operations)), nodes)

    def random_cell(self, prior: RecurrentPrior, rng: random.Random) -> RecurrentCell:
        """A whole cell."""
        pairs = [(rng.randrange(node), rng.choice(prior.functions))
                 for node in range(1, prior.nodes + 1)]  # fmt: skip
        return RecurrentCell.of(pairs, prior.root or rng.choice(prior.functions))

    def mutate(
        self, cell: RecurrentCell, prior: RecurrentPrior, rng: random.Random
    ) -> RecurrentCell:
        """The cell with another predecessor or function of one of its nodes."""
        for _ in range(MAX_DRAWS):
            node = rng.choice([each for each in range(cell.nodes + 1) if self._free(cell, each)])
            sources, functions = list(cell.sources), list(cell.functions)
            if sources[node] is not None and (functions[node] is None or rng.random() < 0.5):
                sources[node] = rng.randrange(node)
            elif functions[node] is not None:
                functions[node] = rng.choice(prior.functions)
            child = RecurrentCell(tuple(sources), tuple(functions))
            kept = prior.root is None or child.functions[0] in (None, prior.root)
            if kept and self.canonical(child) != self.canonical(cell):
                return child
        raise RuntimeError(f"no other cell in {MAX_DRAWS} mutations of {cell}")

    def _free(self, cell: RecurrentCell, node: int) -> bool:
        return cell.sources[node] is not None or cell.functions[node] is not None

    def crossover(
        self, first: RecurrentCell, second: RecurrentCell, rng: random.Random
    ) -> RecurrentCell:
        """Each node from one parent or the other; the first if the parents do not match."""
        if first.nodes != second.nodes or first.is_whole != second.is_whole:
            return first
        if not first.is_whole:
            return rng.choice((first, second)) if first.choice == second.choice else first
        picked = [rng.choice((first, second)) for _ in range(first.nodes + 1)]
        sources = tuple(each.sources[node] for node, each in enumerate(picked))
        functions = tuple(each.functions[node] for node, each in enumerate(picked))
        return RecurrentCell(sources, functions)

    def at(self, cell: RecurrentCell, shape: LayerShape) -> RecurrentCell:
        """The cell itself, or where one choice is made, the choice that the cell makes.

        Raises:
            SpaceError: it has no such node.
        """
        if not isinstance(shape, DecisionShape) or shape.part is None or shape.node is None:
            return cell
        if cell.nodes != shape.nodes:
            problem = f"{cell.nodes} nodes behind the root"
            raise SpaceError("sources", f"{problem}; allowed at {shape.name}: {shape.nodes}")
        values = cell.sources if shape.part == "input" else cell.functions
        choice = values[shape.node]
        if choice is None:
            raise SpaceError("sources", f"no {shape.part} of node {shape.node} is chosen")
        return RecurrentCell.on(cell.nodes, shape.node, choice)

    def joined(self, cells: Sequence[RecurrentCell]) -> RecurrentCell:
        """The cell of all these choices; where several make one, that of the last.

        Where none chooses the function of the root, it is that of the published cells, tanh.
        """
        size = cells[0].nodes + 1
        sources: list[int | None] = [None] * size
        functions: list[str | None] = ["tanh", *[None] * (size - 1)]
        for cell in cells:
            for node in range(size):
                sources[node] = sources[node] if cell.sources[node] is None else cell.sources[node]
                name = cell.functions[node]
                functions[node] = functions[node] if name is None else name
        return RecurrentCell(tuple(sources), tuple(functions))

    def encoded(self, cell: RecurrentCell) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return {"sources": list(cell.sources), "functions": list(cell.functions)}

    def decoded(self, document: Any) -> RecurrentCell:
        """The cell that a document describes."""
        return RecurrentCell(tuple(document.sources), tuple(document.functions))


def _root(shape: LayerShape) -> str | None:
    return shape.root if isinstance(shape, DecisionShape) else "tanh"


def choices_at(shape: DecisionShape) -> list[tuple[str, RecurrentCell]]:
    """All that can be chosen at a shape, under the ids of built-in spaces: `s0`, or `tanh`."""
    node, nodes = shape.node or 0, shape.nodes
    if shape.part == "input":
        return [(f"s{each}", RecurrentCell.on(nodes, node, each)) for each in range(node)]
    return [(name, RecurrentCell.on(nodes, node, name)) for name in FUNCTIONS]


def renamed(shape: DecisionShape, node: int, part: Part) -> DecisionShape:
    """The shape of a choice of the cell that has this shape."""
    return replace(shape, name=f"node_{node:02d}_{part}", node=node, part=part)
