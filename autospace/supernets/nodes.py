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

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import CellModule, recomputed, zeros
from autospace.networks.darts import build_edge
from autospace.networks.network import Network
from autospace.spaces.cells.cell import Edge, LayerShape
from autospace.spaces.cells.darts_cell import INPUTS, DartsCell
from autospace.spaces.space import Space
from autospace.supernets.supernet import Cell, GroupedSupernet, Value, drawn, unweighted_norms

Weights = dict[Edge, torch.Tensor]
"""The weight of every operation of a mixture, a scalar."""


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
            blank = () if terms else (zeros(x, width, side),)
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


class NodeSupernet(GroupedSupernet):
    """A supernet whose choices are nodes: the layers of a group make the same choice."""

    def __init__(self, network: Network, space: Space, sampled: int = 1) -> None:
        super().__init__(network, space)
        skeleton = space.skeleton
        rows: list[list[tuple[Edge, ...]]] = [
            [_edges(candidate.cell) for candidate in layer.candidates] for layer in space.layers
        ]
        self._rows = self._by_group(rows)
        self.banks = nn.ModuleList(
            NodeBank(
                shape, [e for row in self._rows[group] for edges in row for e in edges], sampled
            )
            for group, shape in zip(self.groups, skeleton.cell_layers, strict=True)
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
        for group, bank in zip(self.groups, self.banks, strict=True):
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
            for group, bank in zip(self.groups, self.banks, strict=True)
        ]

    def _by_group(self, values: Sequence[Value]) -> list[Sequence[Value]]:
        return [self.of_group(values, group) for group in range(max(self.groups) + 1)]


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
    return unweighted_norms(module)


def node_supernet(
    space: Space, seed: int, device: torch.device | str, sampled: int = 1
) -> NodeSupernet:
    """A supernet over the candidates of a space: the same weights for equal seeds.

    Args:
        space: of the candidates.
        seed: of the weights.
        device: of the weights.
        sampled: one of so many channels goes through the operations.
    """
    make = partial(NodeSupernet, space=space, sampled=sampled)
    return drawn(make, space, seed, device)
