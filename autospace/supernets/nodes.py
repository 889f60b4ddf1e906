"""The supernet of DARTS cells whose nodes are chosen one by one.

Every layer has one operation for each edge and name that any candidate has, as in Liu et al.,
"DARTS", ICLR 2019, and a candidate is the sum of two of them: all candidates of a node with an
operation in common share its weights. A mixture weighs every operation by the sum of the weights of
the candidates that have it, which is the weighted sum of the candidates. As in the paper, batch
normalisation has no weights while operations are compared, and follows pools too.

With channel sampling (Xu et al., "PC-DARTS", ICLR 2020), one of every few channels of what an edge
reads goes through its operations, and the others pass them by: through a 2x2 max pool where the
resolution halves. In a mixture they have the sum of the weights of the edge's operations. That is
the edge normalisation of PC-DARTS, whose weight of an edge is that sum, and whose weight of an
operation is its share in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Final, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import CellModule, recomputed
from autospace.networks.darts import build_edge
from autospace.networks.network import Network, placed
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Edge, LayerShape
from autospace.spaces.cells.darts_cell import INPUTS, DartsCell
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space
from autospace.supernets.encoder import encoder_supernet
from autospace.supernets.recurrent import caption_supernet, recurrent_supernet
from autospace.supernets.supernet import Cell, Supernet, space_supernet

ON_NODES: Final = (
    "random",
    "random-ws",
    "evolution",
    "spos",
    "magic-t",
    "magic-a",
    "magic-at",
    "enas",
    "pnas",
    "darts",
    "zero-cost",
    "bnas",
)
"""Search methods that need no module per candidate, or that train networks one by one."""
ON_TEXT: Final = ("random", "random-ws", "evolution", "spos", "magic-t", "enas", "darts")
"""Search methods that work on recurrent cells, which have no layers and no module per candidate."""
ON_SENTENCES: Final = (
    "random",
    "random-ws",
    "evolution",
    "spos",
    "magic-t",
    "magic-a",
    "magic-at",
    "enas",
    "pnas",
    "dna",
)
"""Search methods that never add up layers of different hidden sizes, nor compare their features."""
Value = TypeVar("Value")
Weights = dict[Edge, torch.Tensor]
"""The weight of every operation of a mixture, a scalar."""


def check_method(method: str, skeleton: Skeleton) -> None:
    """Refuses a method that does not work on the cells of a skeleton.

    Raises:
        SpaceError: it is none for what the skeleton reads; it needs a module of its own for every
            candidate, and nodes are chosen, whose candidates share operations; or it trains blocks
            of layers apart.
    """
    if skeleton.reads == "sentences" and method not in ON_SENTENCES:
        problem = f"layers of {skeleton.name} have several hidden sizes, which {method} cannot mix"
        raise SpaceError("method", f"{problem}; allowed: {', '.join(ON_SENTENCES)}")
    if skeleton.reads in ("text", "captions") and method not in ON_TEXT:
        reads = skeleton.reads
        problem = f"{skeleton.name} reads {reads}, for which {method} has no recurrent cells"
        raise SpaceError("method", f"{problem}; allowed: {', '.join(ON_TEXT)}")
    if skeleton.chain == 1:
        return
    if skeleton.nodes is not None and method not in ON_NODES:
        problem = f"candidates for a node of {shown(skeleton.name)} share their operations"
        wanted = f"which {method} does not support"
        raise SpaceError("skeleton", f"{problem}, {wanted}; allowed: {', '.join(ON_NODES)}")
    if method == "dna":
        problem = f"blocks of {shown(skeleton.name)} need what two layers before them give"
        raise SpaceError("skeleton", f"{problem}; allowed for dna: cells with one input")


class NodeBank(nn.Module):
    """All operations of one layer: [N, 2 C + any, H, W] -> [N, nodes C, H/s, W/s].

    Attributes:
        recomputes: as of `autospace.networks.cells.CellModule`.
    """

    recomputes = False

    def __init__(self, shape: LayerShape, edges: Sequence[Edge], sampled: int = 1) -> None:
        super().__init__()
        self.shape, self.sampled = shape, sampled
        part = replace(shape, width=shape.width // sampled)
        self.operations = nn.ModuleDict(
            {
                _key(edge): _compared(edge, part)
                for edge in dict.fromkeys(edges)
                if edge.operation != "none"
            }
        )

    def on_edges(
        self, weights: Weights | None, edges: Sequence[Edge], x: torch.Tensor
    ) -> torch.Tensor:
        """The cell that has these edges, each operation times its weight if there are any."""
        if self.recomputes and torch.is_grad_enabled():
            return recomputed(self, partial(self._on_edges, weights, edges), x)
        return self._on_edges(weights, edges, x)

    def _on_edges(
        self, weights: Weights | None, edges: Sequence[Edge], x: torch.Tensor
    ) -> torch.Tensor:
        width, side = self.shape.width, self.shape.out_resolution
        nodes = [x[:, :width], x[:, width : 2 * width]]
        for target in range(INPUTS, INPUTS + self.shape.concat):
            joining: dict[int, list[Edge]] = {}
            for edge in edges:
                if edge.target == target and edge.operation != "none":
                    joining.setdefault(edge.source, []).append(edge)
            terms = [
                term
                for source, own in joining.items()
                for term in self._terms(own, nodes[source], weights)
            ]
            blank = () if terms else (x.new_zeros(len(x), width, side, side),)
            nodes.append(reduce(torch.add, [*terms, *blank]))
        return torch.cat(nodes[INPUTS:], 1)

    def _terms(
        self, edges: Sequence[Edge], x: torch.Tensor, weights: Weights | None
    ) -> list[torch.Tensor]:
        """What all operations from one node to another add to it."""
        if self.sampled == 1:
            return [self._term(edge, x, weights) for edge in edges]
        width = self.shape.width // self.sampled
        own, rest = x[:, :width], x[:, width:]
        done = reduce(torch.add, [self._term(edge, own, weights) for edge in edges])
        if done.shape[2:] != rest.shape[2:]:
            rest = F.max_pool2d(rest, 2, 2, ceil_mode=True)
        if weights is not None:
            rest = rest * reduce(torch.add, [weights[edge] for edge in edges]).to(rest.dtype)
        elif len(edges) > 1:
            rest = rest * len(edges)
        return [F.channel_shuffle(torch.cat([done, rest], 1), self.sampled)]

    def _term(self, edge: Edge, x: torch.Tensor, weights: Weights | None) -> torch.Tensor:
        y: torch.Tensor = self.operations[_key(edge)](x)
        return y if weights is None else y * weights[edge].to(y.dtype)


class ChosenEdges(nn.Module):
    """A layer of one path; its operations are those of the bank."""

    def __init__(self, bank: NodeBank, edges: Sequence[Edge]) -> None:
        super().__init__()
        self.used = nn.ModuleList(
            bank.operations[_key(edge)] for edge in edges if edge.operation != "none"
        )
        self._run = partial(bank.on_edges, None, edges)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the layer."""
        return self._run(x)


class NodeSupernet(Supernet):
    """A supernet whose choices are nodes: the layers of a group make the same choice."""

    def __init__(self, network: Network, space: Space, sampled: int = 1) -> None:
        super().__init__(network, [])
        skeleton = space.skeleton
        size = skeleton.choices_per_cell
        rows: list[list[tuple[Edge, ...]]] = [
            [_edges(candidate.cell) for candidate in layer.candidates] for layer in space.layers
        ]
        self._groups = skeleton.groups
        self._rows = [rows[start : start + size] for start in range(0, len(rows), size)]
        self.banks = nn.ModuleList(
            NodeBank(
                shape, [e for row in self._rows[group] for edges in row for e in edges], sampled
            )
            for group, shape in zip(self._groups, skeleton.cell_layers, strict=True)
        )

    @property
    def choices(self) -> list[list[CellModule]]:
        """None: candidates have no modules of their own."""
        return []

    def active(self, path: Sequence[int]) -> list[CellModule]:
        """Per layer, of which there are more than choices, the cell that a path makes."""
        chosen = [
            [edge for row, index in zip(rows, own, strict=True) for edge in row[index]]
            for rows, own in zip(self._rows, self._by_group(path), strict=True)
        ]
        found: list[CellModule] = []
        for group, bank in zip(self._groups, self.banks, strict=True):
            layer: object = ChosenEdges(_bank(bank), chosen[group])
            found.append(layer)  # type: ignore[arg-type]
        return found

    def mixed(self, weights: Sequence[torch.Tensor]) -> list[Cell]:
        """Per layer all operations, each weighted by the sum of its candidates' weights.

        Args:
            weights: a tensor [K] per choice, one entry per candidate.
        """
        summed = [
            {
                edge: weight
                for row, values in zip(rows, own, strict=True)
                for edge, weight in _marginals(row, values).items()
            }
            for rows, own in zip(self._rows, self._by_group(weights), strict=True)
        ]
        return [
            partial(_bank(bank).on_edges, summed[group], [*summed[group]])
            for group, bank in zip(self._groups, self.banks, strict=True)
        ]

    def _by_group(self, values: Sequence[Value]) -> list[Sequence[Value]]:
        size = len(self._rows[0])
        return [values[start : start + size] for start in range(0, len(values), size)]


def _edges(cell: object) -> tuple[Edge, ...]:
    if not isinstance(cell, DartsCell):
        raise TypeError(f"a {type(cell).__name__} among choices of nodes")
    return cell.chosen


def _bank(module: nn.Module) -> NodeBank:
    if not isinstance(module, NodeBank):
        raise TypeError(f"a {type(module).__name__} among the layers of a supernet of nodes")
    return module


def _marginals(row: Sequence[tuple[Edge, ...]], weights: torch.Tensor) -> Weights:
    """For every operation of a node the sum of the weights of the candidates that have it."""
    places = {edge: place for place, edge in enumerate(dict.fromkeys(e for c in row for e in c))}
    holds = weights.new_zeros(len(row), len(places))
    for index, edges in enumerate(row):
        for edge in edges:
            holds[index, places[edge]] += 1
    sums = weights @ holds
    return {edge: sums[place] for edge, place in places.items()}


def _key(edge: Edge) -> str:
    return f"{edge.target}_{edge.source}_{edge.operation}"


def _compared(edge: Edge, shape: LayerShape) -> nn.Module:
    """An operation with normalisations without weights, also after a pool."""
    module = build_edge(edge, shape)
    if "pool" in edge.operation:
        module = nn.Sequential(module, nn.BatchNorm2d(shape.width))
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.affine = False
            part.register_parameter("weight", None)
            part.register_parameter("bias", None)
    return module


def supernet_over(
    space: Space, seed: int, device: torch.device | str, sampled: int = 1
) -> Supernet:
    """A supernet over the candidates of a space: the same weights for equal seeds.

    Args:
        space: of the candidates.
        seed: of the weights.
        device: of the weights.
        sampled: one of so many channels goes through the operations.

    Raises:
        SpaceError: layers share cells, and their nodes are not chosen one by one; or channels
            cannot be sampled.
    """
    if sampled > 1:
        _check_sampled(space, sampled)
        return _of_nodes(space, seed, device, sampled)
    return SUPERNETS[space.skeleton.reads](space, seed, device)


def _check_sampled(space: Space, sampled: int) -> None:
    skeleton = space.skeleton
    if skeleton.chain == 1 or skeleton.nodes is None:
        problem = f"{sampled}, but no nodes of cells with two inputs are chosen in {space.name}"
        raise SpaceError("supernet.sampled", f"{problem}; allowed: 1")
    for shape in skeleton.cell_layers:
        if shape.width % sampled:
            problem = f"{sampled}, which does not divide the {shape.width} channels of {shape.name}"
            raise SpaceError("supernet.sampled", f"{problem}; allowed: 1, or what divides all")


def _of_images(space: Space, seed: int, device: torch.device | str) -> Supernet:
    skeleton = space.skeleton
    if skeleton.chain == 1 or skeleton.nodes is None:
        return space_supernet(space, seed, device)
    return _of_nodes(space, seed, device, 1)


def _of_nodes(space: Space, seed: int, device: torch.device | str, sampled: int) -> Supernet:
    skeleton = space.skeleton
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "supernet"))
        firsts = space.architecture(
            {layer.shape.name: layer.candidates[0].id for layer in space.layers}
        )
        network = Network(skeleton, firsts.cells)
        # Its own cells would be weights that no path uses.
        network.layers = nn.ModuleList()
        return placed(NodeSupernet(network, space, sampled), device)


SUPERNETS: Final[dict[str, Callable[[Space, int, torch.device | str], Supernet]]] = {
    "images": _of_images,
    "text": recurrent_supernet,
    "sentences": encoder_supernet,
    "captions": caption_supernet,
}
"""Per kind of what networks read, what makes a supernet."""
