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
    MAX_DEPTH,
    MAX_RECURRENT_NODES,
    Part,
    RecurrentCell,
    check_function,
    ordered_tree,
    recurrent_differences,
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
    links: Annotated[
        list[Annotated[int, Field(ge=0, le=MAX_DEPTH - 1)]] | None,
        Field(
            min_length=1,
            max_length=MAX_DEPTH,
            description="where cells stand in layers, what the root reads: 0 for the token, else "
            "an earlier layer",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class DecisionShape(LayerShape):
    """One choice of a recurrent cell, or the whole cell.

    `in_channels` and `out_channels` are units of a node, and `nodes` counts those behind the root.

    Attributes:
        only: the family whose cells stand here.
        part: what is chosen of `node`; None for a whole cell.
        root: the function of node 0; None if it is a choice as well.
        depth: of a cell in layers, the number of its layer, counted from 1, which is also how many
            links its root may have; 0 if there is one cell, which has no links.
    """

    only: ClassVar[str] = RecurrentCell.kind
    part: Part | None = None
    root: str | None = "tanh"
    depth: int = 0


@dataclass(frozen=True, slots=True)
class RecurrentPrior:
    """Every predecessor and every function has the same probability.

    Attributes:
        functions: what nodes may have.
        nodes: of a cell, behind the root.
        root: the function of node 0; None if it is drawn as well.
        depth: how many links a root may have; 0 for none, where there is one cell.
    """

    kind: ClassVar[str] = RecurrentCell.kind
    functions: tuple[str, ...]
    nodes: int = 8
    root: str | None = "tanh"
    depth: int = 0

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
    legend: str = "2<1: node 2 reads node 1; in: the earlier layers that the root reads"
    document: type[BaseModel] = RecurrentDocument
    notation = staticmethod(recurrent_notation)
    differences = staticmethod(recurrent_differences)

    def least(self, shape: LayerShape) -> RecurrentCell:
        """Any choice: all cost the same. Every node is the identity of the one before it."""
        chain = [(node, "identity") for node in range(max(1, shape.nodes))]
        links = (0,) if isinstance(shape, DecisionShape) and shape.depth else None
        return self.at(RecurrentCell.of(chain, _root(shape) or "identity", links), shape)

    def check_operation(self, name: str) -> None:
        """Raises `SpaceError` for a name that is not among `operations`."""
        check_function("", name)

    def check(self, cell: RecurrentCell, shape: LayerShape) -> None:
        """Raises `SpaceError` for a layer of images, or for a choice of another node."""
        if not isinstance(shape, DecisionShape):
            problem = f'"recurrent" at {shape.name}, which reads images'
            raise SpaceError("kind", f"{problem}; allowed: skeletons that read text")
        _check_linked(cell, shape)
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

    def used(self, cell: RecurrentCell) -> Sequence[str]:
        """The functions of all nodes, or the one that is chosen here."""
        return cell.operations

    def key(self, cell: RecurrentCell, shape: LayerShape) -> str:
        """The canonical key of a cell; of a choice, its notation."""
        return tree_key(cell) if cell.is_whole else recurrent_notation(cell)

    def canonical(self, cell: RecurrentCell) -> RecurrentCell:
        """The cell with its nodes in one order; a choice as it is."""
        return ordered_tree(cell) if cell.is_whole else cell

    def cost(self, cell: RecurrentCell, shape: LayerShape) -> Cost:
        """Of one token: the matrix of each node behind the root whose function is chosen here.

        The root's matrix belongs to the skeleton; in layers, the part of it for every link is one
        of these matrices.
        """
        chosen = sum(name is not None for name in cell.functions[1:]) + len(cell.links or ())
        weights = chosen * 2 * shape.in_channels**2
        return Cost(weights, weights)

    def prior(
        self, operations: Iterable[str], like: Iterable[RecurrentCell] = ()
    ) -> RecurrentPrior:
        """Uniform over the functions, with as many nodes as the largest of some cells.

        The function of the root is that of all these cells, or drawn if they choose it.
        """
        cells = tuple(like)
        nodes = max((cell.nodes for cell in cells), default=8)
        depth = max((max(cell.links) + 1 for cell in cells if cell.links), default=0)
        # A whole cell has a root in any case, so that only several show that it is chosen.
        roots = {cell.functions[0] for cell in cells if cell.is_whole} or {"tanh"}
        chosen = any(cell.functions[0] for cell in cells if not cell.is_whole)
        root = None if chosen or len(roots) > 1 else roots.pop()
        return RecurrentPrior(tuple(dict.fromkeys(operations)), nodes, root, depth)

    def random_cell(self, prior: RecurrentPrior, rng: random.Random) -> RecurrentCell:
        """A whole cell."""
        pairs = [(rng.randrange(node), rng.choice(prior.functions))
                 for node in range(1, prior.nodes + 1)]  # fmt: skip
        links = rng.choice(link_choices(prior.depth)) if prior.depth else None
        return RecurrentCell.of(pairs, prior.root or rng.choice(prior.functions), links)

    def mutate(
        self, cell: RecurrentCell, prior: RecurrentPrior, rng: random.Random
    ) -> RecurrentCell:
        """The cell with another predecessor or function of one of its nodes, or other links."""
        free = [each for each in range(cell.nodes + 1) if self._free(cell, each)]
        for _ in range(MAX_DRAWS):
            if cell.links is not None and (not free or not rng.randrange(len(free) + 1)):
                child = replace(cell, links=rng.choice(link_choices(max(1, prior.depth))))
                if child != cell:
                    return child
                continue
            node = rng.choice(free)
            sources, functions = list(cell.sources), list(cell.functions)
            if sources[node] is not None and (functions[node] is None or rng.random() < 0.5):
                sources[node] = rng.randrange(node)
            elif functions[node] is not None:
                functions[node] = rng.choice(prior.functions)
            child = RecurrentCell(tuple(sources), tuple(functions), cell.links)
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
        return RecurrentCell(sources, functions, rng.choice((first, second)).links)

    def at(self, cell: RecurrentCell, shape: LayerShape) -> RecurrentCell:
        """The cell itself, or where one choice is made, the choice that the cell makes.

        In layers, a cell keeps those of its links that there are; without any, it reads the layer
        right below.

        Raises:
            SpaceError: it has no such node.
        """
        if not isinstance(shape, DecisionShape):
            return cell
        links = cell.links
        if links is not None and shape.depth:
            kept = tuple(link for link in links if link < shape.depth)
            links = kept or (shape.depth - 1,)
        if shape.part is None or shape.node is None:
            return replace(cell, links=links)
        if cell.nodes != shape.nodes:
            problem = f"{cell.nodes} nodes behind the root"
            raise SpaceError("sources", f"{problem}; allowed at {shape.name}: {shape.nodes}")
        choice: int | str | tuple[int, ...] | None = links
        if shape.part != "links":
            choice = (cell.sources if shape.part == "input" else cell.functions)[shape.node]
        if choice is None:
            raise SpaceError("sources", f"no {shape.part} of node {shape.node} is chosen")
        return RecurrentCell.on(cell.nodes, shape.node, choice)

    def joined(self, cells: Sequence[RecurrentCell], shape: LayerShape) -> RecurrentCell:
        """The cell of all these choices; where several make one, that of the last.

        Where none chooses the function of the root, it is that of the skeleton.
        """
        size = cells[0].nodes + 1
        sources: list[int | None] = [None] * size
        functions: list[str | None] = [_root(shape), *[None] * (size - 1)]
        links: tuple[int, ...] | None = None
        for cell in cells:
            links = cell.links or links
            for node in range(size):
                sources[node] = sources[node] if cell.sources[node] is None else cell.sources[node]
                name = cell.functions[node]
                functions[node] = functions[node] if name is None else name
        return RecurrentCell(tuple(sources), tuple(functions), links)

    def encoded(self, cell: RecurrentCell) -> dict[str, Any]:
        """The cell as plain JSON values."""
        more = {} if cell.links is None else {"links": list(cell.links)}
        return {"sources": list(cell.sources), "functions": list(cell.functions), **more}

    def decoded(self, document: Any) -> RecurrentCell:
        """The cell that a document describes."""
        links = None if document.links is None else tuple(document.links)
        return RecurrentCell(tuple(document.sources), tuple(document.functions), links)


def _root(shape: LayerShape) -> str | None:
    return shape.root if isinstance(shape, DecisionShape) else "tanh"


def _check_linked(cell: RecurrentCell, shape: DecisionShape) -> None:
    """Raises `SpaceError` for links where there are no layers, or to a layer that comes later."""
    if shape.depth and cell.is_whole and cell.links is None:
        raise SpaceError("links", f"null; allowed at {shape.name}: what its root reads")
    for index, link in enumerate(cell.links or ()):
        if link >= shape.depth:
            allowed = f"0 to {shape.depth - 1}" if shape.depth else "null, as there is one cell"
            raise SpaceError(f"links[{index}]", f"{link}; allowed at {shape.name}: {allowed}")


def link_choices(depth: int) -> list[tuple[int, ...]]:
    """All links that a root may have which `depth` earlier layers and tokens offer: not none."""
    masks = range(1, 2**depth)
    return [tuple(link for link in range(depth) if mask >> link & 1) for mask in masks]


def choices_at(shape: DecisionShape) -> list[tuple[str, RecurrentCell]]:
    """All that can be chosen at a shape, under the ids of built-in spaces: `s0`, `tanh`, `l0+1`."""
    node, nodes = shape.node or 0, shape.nodes
    if shape.part == "links":
        found = link_choices(shape.depth)
        return [
            (f"l{'+'.join(map(str, each))}", RecurrentCell.on(nodes, 0, each)) for each in found
        ]
    if shape.part == "input":
        return [(f"s{each}", RecurrentCell.on(nodes, node, each)) for each in range(node)]
    return [(name, RecurrentCell.on(nodes, node, name)) for name in FUNCTIONS]


def renamed(shape: DecisionShape, node: int, part: Part) -> DecisionShape:
    """The shape of a choice of the cell that has this shape."""
    own = "links" if part == "links" else f"node_{node:02d}_{part}"
    prefix = f"{shape.name}_" if shape.depth else ""
    return replace(shape, name=f"{prefix}{own}", node=node, part=part)
