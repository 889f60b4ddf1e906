"""The supernets of recurrent cells: a matrix for every node, predecessor and function.

As in ENAS (Pham et al., ICML 2018), the matrix of a node is chosen by what the node reads and by
its function, so that architectures share it only where they agree in both. In a mixture, a node is
the sum over all its predecessors and functions, each weighted by the product of the two weights, as
in DARTS (Liu et al., ICLR 2019). Unlike the code of DARTS, predecessors and functions do not share
a matrix there, are weighed apart, and no batch normalisation follows.

Where whole cells are candidates, those of a layer share a matrix that agree in node, predecessor
and function, or in a link, and in a mixture each of these has the sum of the weights of all cells
that have it.

Where cells stand in layers, the root of a cell has a matrix for its state, and one for each layer
that its links may name. What a root multiplies is linear in them, so in a mixture a link has the
sum of the weights of all choices that have it.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import NoReturn, TypeVar

import torch
from torch import nn

from autospace.networks.captions import Captioner, Described, StackStep, initial_range
from autospace.networks.cells import CellModule
from autospace.networks.network import placed
from autospace.networks.recurrent import INITIAL_RANGE, TokenModel, gated
from autospace.seeds import derived_seed
from autospace.spaces.cells.recurrent import DecisionShape
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.choices import SearchError
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.space import Layer, Space
from autospace.supernets.supernet import Cell, Supernet

Value = int | str | tuple[int, ...]
Term = TypeVar("Term", bound=Hashable)
Weights = Mapping[Value, torch.Tensor | None]
"""Per value of a choice its weight; None where it is the only one, on a path."""
Weighted = Sequence[tuple[int, torch.Tensor | None, str, torch.Tensor | None]]
"""Of a node: predecessor and its weight, function and its weight; no weights on one path."""


class CellChoices:
    """The choices of one cell, and the matrices by which paths compute it.

    Args:
        layers: of the space, those that belong to the cell.
        skeleton: of the space.
    """

    def __init__(self, layers: Sequence[Layer], skeleton: SequenceSkeleton) -> None:
        self.skeleton = skeleton
        self.places: list[tuple[int, str]] = []
        self.rows: list[list[Value]] = []
        for layer in layers:
            if not isinstance(layer.shape, DecisionShape) or layer.shape.part is None:
                raise TypeError(f"{layer.shape.name}: a whole cell among choices of nodes")
            self.places.append((layer.shape.node or 0, layer.shape.part))
            self.rows.append([_value(candidate.cell) for candidate in layer.candidates])
        self.fixed = {0: skeleton.root} if skeleton.root is not None else {}
        self.linked = (0, "links") in self.places

    def matrices(self) -> nn.ParameterDict:
        """New ones for every node, predecessor and function, and for every link."""
        width, found = self.skeleton.width, nn.ParameterDict()
        for node in range(self.skeleton.nodes + 1):
            # Without links, the root reads the input beside the state.
            rows = 2 * width if node == 0 and not self.linked else width
            for source in self._at(node, "input"):
                for function in self._at(node, "function"):
                    found[_key(node, source, function)] = _fresh(rows, 2 * width)
        links = {link for row in self._at(0, "links") if isinstance(row, tuple) for link in row}
        for link in sorted(links):
            found[_link(link)] = _fresh(width, 2 * width)
        return found

    def weighted(self, chosen: Sequence[Weights]) -> tuple[list[Weighted], Weights]:
        """What every node may be, and the links with their weights; those of some values each."""
        found = dict(zip(self.places, chosen, strict=True))
        nodes: list[Weighted] = []
        for node in range(self.skeleton.nodes + 1):
            sources = found.get((node, "input"), {0: None})
            functions = found.get((node, "function"), {self.fixed.get(node, "tanh"): None})
            nodes.append(
                [
                    (_number(source), weight, str(function), other)
                    for source, weight in sources.items()
                    for function, other in functions.items()
                ]
            )
        return nodes, _link_weights(found.get((0, "links"), {}))

    def _at(self, node: int, part: str) -> list[Value]:
        if (node, part) in self.places:
            return self.rows[self.places.index((node, part))]
        if part == "links":
            return []
        return [0] if part == "input" else [self.fixed.get(node) or "tanh"]


class WholeCells:
    """The whole cells of one layer of a space, and the matrices by which paths compute them.

    Attributes:
        rows: numbers of the candidates, alone in a list: there is one choice.
    """

    def __init__(self, layer: Layer, skeleton: SequenceSkeleton) -> None:
        self._width = skeleton.width
        cells = [_whole(candidate.cell) for candidate in layer.candidates]
        self._cells = [_terms(cell) for cell in cells]
        self._links = [cell.links for cell in cells]
        self.rows: list[list[Value]] = [[*range(len(cells))]]

    def matrices(self) -> nn.ParameterDict:
        """New ones for every node, predecessor and function that a candidate has, and each link."""
        width, found = self._width, nn.ParameterDict()
        links = sorted({link for row in self._links for link in row or ()})
        root = width if links else 2 * width
        for key, node in sorted({(_key(*each), each[0]) for cell in self._cells for each in cell}):
            found[key] = _fresh(root if node == 0 else width, 2 * width)
        for link in links:
            found[_link(link)] = _fresh(width, 2 * width)
        return found

    def weighted(self, chosen: Sequence[Weights]) -> tuple[list[Weighted], Weights]:
        """What every node may be, and the links with their weights; of some candidates each."""
        (weights,) = chosen
        own = [(_number(index), weight) for index, weight in weights.items()]
        sums = _summed((term, weight) for index, weight in own for term in self._cells[index])
        nodes: list[list[tuple[int, torch.Tensor | None, str, torch.Tensor | None]]] = [
            [] for _ in range(1 + max(node for node, _, _ in sums))
        ]
        for (node, source, function), weight in sums.items():
            nodes[node].append((source, weight, function, None))
        links: list[tuple[Value, torch.Tensor | None]] = [
            (link, weight) for index, weight in own for link in self._links[index] or ()
        ]
        return list(nodes), _summed(links)


def _whole(cell: object) -> RecurrentCell:
    if not isinstance(cell, RecurrentCell) or not cell.is_whole:
        raise TypeError(f"a {type(cell).__name__} among whole recurrent cells")
    return cell


def _terms(cell: RecurrentCell) -> list[tuple[int, int, str]]:
    """Node, predecessor and function of every node of a whole cell; the root reads itself."""
    behind = [(node, source, name) for node, (source, name) in enumerate(cell.pairs, 1)]
    return [(0, 0, str(cell.functions[0])), *behind]


def _link_weights(rows: Weights) -> Weights:
    """Per link the sum of the weights of the choices that have it; no weights on one path."""
    return _summed(
        (link, weight)
        for row, weight in rows.items()
        for link in (row if isinstance(row, tuple) else ())
    )


def _summed(
    terms: Iterable[tuple[Term, torch.Tensor | None]],
) -> dict[Term, torch.Tensor | None]:
    """The sum of the weights of equal terms; None where there are none, on a path."""
    found: dict[Term, torch.Tensor | None] = {}
    for term, weight in terms:
        before = found.get(term)
        found[term] = weight if before is None or weight is None else before + weight
    return found


def next_state(
    matrices: nn.ParameterDict,
    nodes: Sequence[Weighted],
    state: torch.Tensor,
    root: torch.Tensor | None = None,
    added: torch.Tensor | float = 0.0,
) -> torch.Tensor:
    """The mean of the nodes behind the root; supernets have no dropout.

    Args:
        matrices: of the cell.
        nodes: what each may be.
        state: of the step before.
        root: what the root multiplies; the state unless given.
        added: to what the root's matrix gives.
    """
    states = [_node(matrices, 0, nodes[0], [state], root, added)]
    for node, terms in enumerate(nodes[1:], 1):
        states.append(_node(matrices, node, terms, states))
    return torch.stack(states[1:]).mean(0)


def _node(
    matrices: nn.ParameterDict,
    node: int,
    terms: Weighted,
    states: Sequence[torch.Tensor],
    whole: torch.Tensor | None = None,
    added: torch.Tensor | float = 0.0,
) -> torch.Tensor:
    """The sum of all that a node may be; `whole` is what the root multiplies."""
    parts = []
    for source, weight, function, other in terms:
        read = states[source]
        product = (read if whole is None else whole) @ matrices[_key(node, source, function)]
        if isinstance(added, torch.Tensor):
            product = product + added
        part = gated(read, product, function)
        for each in (weight, other):
            part = part if each is None else part * each
        parts.append(part)
    return reduce(torch.add, parts)


class _Recurrent(Supernet):
    """What supernets of recurrent cells have in common: there are no layers to run apart."""

    layered = False

    @property
    def choices(self) -> list[list[CellModule]]:
        """None: candidates have no modules of their own."""
        return []

    def parts(self, path: Sequence[int]) -> list[nn.Module]:
        """Everything."""
        return [self]

    def active(self, path: Sequence[int]) -> NoReturn:
        """There are no layers.

        Raises:
            SearchError: always.
        """
        raise SearchError("supernet.training: a recurrent cell has no layers; allowed: uniform")

    def mixed(self, weights: Sequence[torch.Tensor]) -> list[Cell]:
        """Likewise."""
        return self.active(())


class RecurrentSupernet(_Recurrent):
    """All cells of a space; its inputs are segments of text, see `TokenModel`."""

    def __init__(self, network: TokenModel, space: Space) -> None:
        super().__init__(network, [])  # type: ignore[arg-type]
        self._model = [network]
        own = network.skeleton
        self._cell = (
            WholeCells(space.layers[0], own) if own.whole else CellChoices(space.layers, own)
        )
        self.matrices = self._cell.matrices()

    def features(self, images: torch.Tensor, path: Sequence[int]) -> list[torch.Tensor]:
        """The logits of a segment along a path, alone in a list."""
        return [self._logits(images, _of_path(self._cell.rows, path))]

    def mixture(self, images: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """The logits of a segment with all choices weighted.

        Args:
            images: the segment.
            weights: a tensor [K] per choice, one entry per candidate.
        """
        dtype = self._model[0].embedding.dtype
        return self._logits(images, _of_weights(self._cell.rows, weights, dtype))

    def _logits(self, inputs: torch.Tensor, chosen: Sequence[Weights]) -> torch.Tensor:
        """Logits with, per choice, some values and their weights."""
        nodes, _ = self._cell.weighted(chosen)

        def step(x: torch.Tensor, state: torch.Tensor, *dropped: object) -> torch.Tensor:
            return next_state(self.matrices, nodes, state, torch.cat([x, state], -1))

        return self._model[0].read(inputs, step).logits


class CaptionSupernet(_Recurrent):
    """All decoders of a space; its inputs are those of `autospace.networks.captions`."""

    def __init__(self, network: Captioner, space: Space) -> None:
        super().__init__(network, [])  # type: ignore[arg-type]
        self._model = [network]
        own, size = network.skeleton, space.skeleton.choices_per_cell
        layers = [space.layers[at : at + size] for at in range(0, len(space.layers), size)]
        self._cells = [
            WholeCells(each[0], own) if own.whole else CellChoices(each, own) for each in layers
        ]
        self.matrices = nn.ModuleList(cell.matrices() for cell in self._cells)
        for weight in self.matrices.parameters():
            nn.init.uniform_(weight, *initial_range(network.skeleton.width))

    def features(  # type: ignore[override]
        self, images: torch.Tensor, path: Sequence[int]
    ) -> list[torch.Tensor | Described]:
        """The outputs along a path, alone in a list."""
        rows = [row for cell in self._cells for row in cell.rows]
        return [self._outputs(images, _of_path(rows, path))]

    def mixture(  # type: ignore[override]
        self, images: torch.Tensor, weights: Sequence[torch.Tensor]
    ) -> torch.Tensor | Described:
        """The outputs with all choices weighted; see `RecurrentSupernet.mixture`."""
        rows = [row for cell in self._cells for row in cell.rows]
        dtype = self._model[0].embedding.dtype
        return self._outputs(images, _of_weights(rows, weights, dtype))

    def _outputs(self, inputs: torch.Tensor, chosen: Sequence[Weights]) -> torch.Tensor | Described:
        steps, place = [], 0
        for cell, matrices in zip(self._cells, self.matrices, strict=True):
            if not isinstance(matrices, nn.ParameterDict):
                raise TypeError(f"{matrices}; allowed: the matrices of a cell")
            nodes, links = cell.weighted(chosen[place : place + len(cell.rows)])
            place += len(cell.rows)
            steps.append(partial(_linked_step, matrices, nodes, links))

        def step(x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
            outputs = [x]
            for own, state in zip(steps, states, strict=True):
                outputs.append(own(outputs, state))
            return torch.stack(outputs[1:])

        stack: StackStep = step
        return self._model[0].described(inputs, stack)


def _linked_step(
    matrices: nn.ParameterDict,
    nodes: Sequence[Weighted],
    links: Weights,
    outputs: Sequence[torch.Tensor],
    state: torch.Tensor,
) -> torch.Tensor:
    """The next state of a layer, from the token and the states of the layers before it."""
    terms = []
    for link, weight in links.items():
        product = outputs[_number(link)] @ matrices[_link(_number(link))]
        terms.append(product if weight is None else product * weight)
    return next_state(matrices, nodes, state, added=reduce(torch.add, terms))


def _of_path(rows: Sequence[Sequence[Value]], path: Sequence[int]) -> list[Weights]:
    return [{row[index]: None} for row, index in zip(rows, path, strict=True)]


def _of_weights(
    rows: Sequence[Sequence[Value]], weights: Sequence[torch.Tensor], dtype: torch.dtype
) -> list[Weights]:
    pairs = zip(rows, weights, strict=True)
    return [dict(zip(row, own.to(dtype).unbind(), strict=True)) for row, own in pairs]


def _fresh(rows: int, columns: int) -> nn.Parameter:
    weight = torch.empty(rows, columns)
    nn.init.uniform_(weight, -INITIAL_RANGE, INITIAL_RANGE)
    return nn.Parameter(weight)


def _value(cell: object) -> Value:
    """What a single choice chooses."""
    if not isinstance(cell, RecurrentCell) or cell.is_whole:
        raise TypeError(f"a {type(cell).__name__} among the choices of a recurrent cell")
    node, part = cell.choice
    if part == "links":
        return cell.links or ()
    value = cell.sources[node] if part == "input" else cell.functions[node]
    return 0 if value is None else value


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _key(node: int, source: Value, function: Value) -> str:
    return f"{node}_{source}_{function}"


def _link(link: int) -> str:
    return f"link_{link}"


def recurrent_supernet(space: Space, seed: int, device: torch.device | str) -> Supernet:
    """A supernet over the recurrent cells of a space: the same weights for equal seeds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "supernet"))
        return placed(RecurrentSupernet(TokenModel(space.skeleton), space), device)


def caption_supernet(space: Space, seed: int, device: torch.device | str) -> Supernet:
    """A supernet over the decoders of a space; see `recurrent_supernet`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "supernet"))
        return placed(CaptionSupernet(Captioner(space.skeleton), space), device)
