"""The supernet of layers that share a cell, whole or edge by edge.

A choice is made once for all layers of a group, and every layer has weights of its own for each
candidate. Where edges of dense cells are chosen one by one, as in NAS-Bench-201 (Dong and Yang,
ICLR 2020), a candidate is an operation of an edge, and a mixture sum_k a_k o_k(x) is formed on
every edge. As in that paper's searches, batch normalisation on edges has no weights.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from autospace.networks.cells import CellModule, initialise, recomputed
from autospace.networks.dense import dense_operation
from autospace.networks.fused import added
from autospace.networks.network import Network, build_cell
from autospace.spaces.cells.cell import LayerShape, edge_slots
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.space import Candidate, Space
from autospace.supernets.supernet import Cell, Gate, GroupedSupernet, drawn, unweighted_norms

Computed = Sequence[Cell | None]
"""What is computed for each choice that a layer has part in; None for nothing."""


class Zero(nn.Module):
    """The operation `none`: zeros of the shape of the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Zeros."""
        return torch.zeros_like(x)


class WholeBank(nn.Module):
    """The candidates of a layer whose cell is one choice: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(self, rows: Sequence[Sequence[Candidate]], shape: LayerShape) -> None:
        super().__init__()
        self.choices = nn.ModuleList(
            nn.ModuleList(build_cell(candidate.cell, shape) for candidate in row) for row in rows
        )

    def live(self, indices: Sequence[int]) -> list[nn.Module | None]:
        """The modules that a path uses."""
        return [_at(row, index) for row, index in zip(self.choices, indices, strict=True)]

    def joined(self, computed: Computed, x: torch.Tensor) -> torch.Tensor:
        """The output of the cell."""
        (cell,) = computed
        return torch.zeros_like(x) if cell is None else cell(x)


class EdgeBank(nn.Module):
    """The operations of all edges of a dense cell: [N, C, H, W] -> [N, C, H, W].

    Attributes:
        recomputes: as of `autospace.networks.cells.CellModule`.
    """

    recomputes = False

    def __init__(self, rows: Sequence[Sequence[Candidate]], shape: LayerShape) -> None:
        super().__init__()
        cells = [[_dense(candidate.cell) for candidate in row] for row in rows]
        self.nodes = cells[0][0].nodes
        self._edges = [[cell.chosen[0] for cell in row] for row in cells]
        self.choices = nn.ModuleList(
            nn.ModuleList(_operation(edge.operation, shape.in_channels) for edge in row)
            for row in self._edges
        )

    def live(self, indices: Sequence[int]) -> list[nn.Module | None]:
        """The operations between input and output of the cell that a path makes."""
        edges = (row[index] for row, index in zip(self._edges, indices, strict=True))
        pruned = DenseCell(self.nodes, tuple(edges)).pruned()
        return [
            None if edge.operation == "none" else _at(row, index)
            for row, index, edge in zip(self.choices, indices, pruned.chosen, strict=True)
        ]

    def joined(self, computed: Computed, x: torch.Tensor) -> torch.Tensor:
        """The output of the cell; every node is the sum of what its edges give."""
        if self.recomputes and torch.is_grad_enabled():
            return recomputed(self, partial(self._joined, computed), x)
        return self._joined(computed, x)

    def _joined(self, computed: Computed, x: torch.Tensor) -> torch.Tensor:
        nodes: dict[int, torch.Tensor] = {0: x}
        slots = [*zip(edge_slots(self.nodes), computed, strict=True)]
        for node in range(1, self.nodes):
            terms = [
                part(nodes[source])
                for (source, target), part in slots
                if target == node and part is not None and source in nodes
            ]
            if terms:
                nodes[node] = added(terms)
        last = nodes.get(self.nodes - 1)
        return torch.zeros_like(x) if last is None else last


class ChosenParts(nn.Module):
    """A layer along one path; its modules are those of the bank."""

    def __init__(self, bank: WholeBank | EdgeBank, indices: Sequence[int]) -> None:
        super().__init__()
        live = bank.live(indices)
        self.used = nn.ModuleList(module for module in live if module is not None)
        self._run = partial(bank.joined, live)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the layer's cell."""
        found: torch.Tensor = self._run(x)
        return found


class SharedCandidate(nn.ModuleList):
    """A candidate in all layers that share it, which are its children.

    Attributes:
        cell: a whole cell, or one edge.
    """

    def __init__(self, cell: object, modules: Sequence[nn.Module]) -> None:
        super().__init__(modules)
        self.cell = cell


class TiedSupernet(GroupedSupernet):
    """A supernet whose layers make choices together; groups of layers follow one another."""

    def __init__(self, network: Network, space: Space) -> None:
        super().__init__(network, space)
        skeleton = space.skeleton
        rows = [layer.candidates for layer in space.layers]
        kind: Callable[..., WholeBank | EdgeBank] = EdgeBank if skeleton.nodes else WholeBank
        self.banks = nn.ModuleList(
            kind(self.of_group(rows, group), shape)
            for group, shape in zip(self.groups, skeleton.cell_layers, strict=True)
        )
        # In a list of lists, so that no module is registered twice.
        self._shared = [
            [
                SharedCandidate(candidate.cell, self._modules_of(choice, index))
                for index, candidate in enumerate(row)
            ]
            for choice, row in enumerate(rows)
        ]

    @property
    def choices(self) -> list[list[CellModule]]:
        """Per choice the candidates, each with its modules in all layers; they run no input."""
        return self._shared  # type: ignore[return-value]

    def is_zero(self, choice: int, index: int) -> bool:
        """Whether a candidate is a cell without a path, or the operation `none`."""
        cell = self._shared[choice][index].cell
        if isinstance(cell, DenseCell) and cell.edge is not None:
            return not cell.edges
        return super().is_zero(choice, index)

    def active(self, path: Sequence[int]) -> list[CellModule]:
        """Per layer, of which there may be more than choices, the cell that a path makes."""
        found: list[CellModule] = []
        for group, bank in zip(self.groups, self._banks, strict=True):
            layer: object = ChosenParts(bank, self.of_group(path, group))
            found.append(layer)  # type: ignore[arg-type]
        return found

    def mixed(self, weights: Sequence[torch.Tensor]) -> list[Cell]:
        """Per layer all candidates, weighted.

        Args:
            weights: a tensor [K] per choice, one entry per candidate.
        """
        return [
            partial(bank.joined, [*map(self._mix, bank.choices, self.of_group(weights, group))])
            for group, bank in zip(self.groups, self._banks, strict=True)
        ]

    def gated(self, path: Sequence[int], gates: Sequence[Gate]) -> list[Cell]:
        """Per layer the candidates of a path, through gates; see `Supernet.gated`."""
        return [
            partial(
                bank.joined,
                [
                    partial(gate, [*row.children()], index)
                    for row, index, gate in zip(
                        bank.choices,
                        self.of_group(path, group),
                        self.of_group(gates, group),
                        strict=True,
                    )
                ],
            )
            for group, bank in zip(self.groups, self._banks, strict=True)
        ]

    def _mix(self, row: nn.Module, weights: torch.Tensor) -> Cell | None:
        """The weighted sum of candidates; `none` adds nothing to it."""
        pairs = [(i, each) for i, each in enumerate(row.children()) if not isinstance(each, Zero)]
        if not pairs:
            return None
        places, modules = zip(*pairs, strict=True)
        whole = len(modules) == len(weights)
        return partial(self._mixture, modules, weights if whole else weights[list(places)])

    @property
    def _banks(self) -> list[WholeBank | EdgeBank]:
        return [bank for bank in self.banks if isinstance(bank, WholeBank | EdgeBank)]

    def _modules_of(self, choice: int, index: int) -> list[nn.Module]:
        """A candidate's module in each of its layers."""
        group, place = divmod(choice, self.size)
        pairs = zip(self.groups, self._banks, strict=True)
        return [_at(bank.choices[place], index) for own, bank in pairs if own == group]


def _at(row: nn.Module, index: int) -> nn.Module:
    """A candidate among those of a choice."""
    return [*row.children()][index]


def _dense(cell: object) -> DenseCell:
    if not isinstance(cell, DenseCell):
        raise TypeError(f"a {type(cell).__name__} among choices of edges")
    return cell


def _operation(name: str, channels: int) -> nn.Module:
    if name == "none":
        return Zero()
    module = dense_operation(name, channels)
    initialise(module)
    return unweighted_norms(module)


def tied_supernet(space: Space, seed: int, device: torch.device | str) -> TiedSupernet:
    """A supernet over the candidates of a space: the same weights for equal seeds."""
    return drawn(partial(TiedSupernet, space=space), space, seed, device)
