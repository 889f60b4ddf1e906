"""The supernet of recurrent cells: a matrix for every node, predecessor and function.

As in ENAS (Pham et al., ICML 2018), the matrix of a node is chosen by what the node reads and by
its function, so that architectures share it only where they agree in both. In a mixture, a node is
the sum over all its predecessors and functions, each weighted by the product of the two weights, as
in DARTS (Liu et al., ICLR 2019). Unlike the code of DARTS, predecessors and functions do not share
a matrix there, are weighed apart, and no batch normalisation follows.
"""

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import NoReturn

import torch
from torch import nn

from autospace.networks.cells import CellModule
from autospace.networks.network import placed
from autospace.networks.recurrent import INITIAL_RANGE, TokenModel, gated
from autospace.seeds import derived_seed
from autospace.spaces.cells.recurrent import DecisionShape
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.choices import SearchError
from autospace.spaces.errors import SpaceError
from autospace.spaces.space import Space
from autospace.supernets.supernet import Cell, Supernet

Weighted = Sequence[tuple[int, torch.Tensor | None, str, torch.Tensor | None]]
"""Of a node: predecessor and its weight, function and its weight; no weights on one path."""


class RecurrentSupernet(Supernet):
    """All cells of a space; its inputs are segments of text, see `TokenModel`."""

    layered = False

    def __init__(self, network: TokenModel, space: Space) -> None:
        super().__init__(network, [])  # type: ignore[arg-type]
        self._model = [network]
        self._places: list[tuple[int, str]] = []
        self._rows: list[list[int | str]] = []
        for layer in space.layers:
            if not isinstance(layer.shape, DecisionShape) or layer.shape.part is None:
                problem = f"whole cells of {space.skeleton.name} are candidates"
                allowed = "spaces whose predecessors and functions are chosen one by one"
                raise SpaceError("skeleton", f"{problem}; allowed with shared weights: {allowed}")
            self._places.append((layer.shape.node or 0, layer.shape.part))
            self._rows.append([_value(candidate.cell) for candidate in layer.candidates])
        self._fixed = {0: network.skeleton.root} if network.skeleton.root is not None else {}
        width = network.skeleton.width
        self.matrices = nn.ParameterDict()
        for node in range(network.skeleton.nodes + 1):
            # The root reads the input beside the state.
            rows = 2 * width if node == 0 else width
            for source in self._at(node, "input"):
                for function in self._at(node, "function"):
                    weight = torch.empty(rows, 2 * width)
                    nn.init.uniform_(weight, -INITIAL_RANGE, INITIAL_RANGE)
                    self.matrices[_key(node, source, function)] = nn.Parameter(weight)

    @property
    def choices(self) -> list[list[CellModule]]:
        """None: candidates have no modules of their own."""
        return []

    def parts(self, path: Sequence[int]) -> list[nn.Module]:
        """Everything: there is nothing to recalibrate."""
        return [self]

    def features(self, images: torch.Tensor, path: Sequence[int]) -> list[torch.Tensor]:
        """The logits of a segment along a path, alone in a list."""
        ones = [{row[index]: None} for row, index in zip(self._rows, path, strict=True)]
        return [self._logits(images, ones)]

    def mixture(self, images: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """The logits of a segment with all choices weighted.

        Args:
            images: the segment.
            weights: a tensor [K] per choice, one entry per candidate.
        """
        dtype = self._model[0].embedding.dtype
        pairs = zip(self._rows, weights, strict=True)
        weighed = [dict(zip(row, own.to(dtype).unbind(), strict=True)) for row, own in pairs]
        return self._logits(images, weighed)

    def active(self, path: Sequence[int]) -> NoReturn:
        """There are no layers.

        Raises:
            SearchError: always.
        """
        raise SearchError("supernet.training: a recurrent cell has no layers; allowed: uniform")

    def mixed(self, weights: Sequence[torch.Tensor]) -> list[Cell]:
        """Likewise."""
        return self.active(())

    def _logits(
        self, inputs: torch.Tensor, chosen: Sequence[Mapping[int | str, torch.Tensor | None]]
    ) -> torch.Tensor:
        """Logits with, per choice, some values and their weights."""
        found = dict(zip(self._places, chosen, strict=True))
        nodes: list[Weighted] = []
        for node in range(self._model[0].skeleton.nodes + 1):
            sources = found.get((node, "input"), {0: None})
            functions = found.get((node, "function"), {self._fixed.get(node, "tanh"): None})
            nodes.append(
                [
                    (int(source), weight, str(function), other)
                    for source, weight in sources.items()
                    for function, other in functions.items()
                ]
            )
        return self._model[0].read(inputs, partial(self._step, nodes)).logits

    def _step(
        self,
        nodes: Sequence[Weighted],
        x: torch.Tensor,
        state: torch.Tensor,
        drop_input: torch.Tensor | None,
        drop_state: torch.Tensor | None,
    ) -> torch.Tensor:
        """The next state; this supernet has no dropout."""
        states = [self._node(0, nodes[0], [state], torch.cat([x, state], -1))]
        for node, terms in enumerate(nodes[1:], 1):
            states.append(self._node(node, terms, states))
        return torch.stack(states[1:]).mean(0)

    def _node(
        self,
        node: int,
        terms: Weighted,
        states: Sequence[torch.Tensor],
        whole: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The sum of all that a node may be; `whole` is what the root multiplies."""
        parts = []
        for source, weight, function, other in terms:
            read = states[source]
            product = (read if whole is None else whole) @ self.matrices[
                _key(node, source, function)
            ]
            part = gated(read, product, function)
            for each in (weight, other):
                part = part if each is None else part * each
            parts.append(part)
        return reduce(torch.add, parts)

    def _at(self, node: int, part: str) -> list[int | str]:
        if (node, part) in self._places:
            return self._rows[self._places.index((node, part))]
        return [0] if part == "input" else [self._fixed.get(node) or "tanh"]


def _value(cell: object) -> int | str:
    """What a single choice chooses."""
    if not isinstance(cell, RecurrentCell) or cell.is_whole:
        raise TypeError(f"a {type(cell).__name__} among the choices of a recurrent cell")
    node, part = cell.choice
    value = cell.sources[node] if part == "input" else cell.functions[node]
    return 0 if value is None else value


def _key(node: int, source: int | str, function: int | str) -> str:
    return f"{node}_{source}_{function}"


def recurrent_supernet(space: Space, seed: int, device: torch.device | str) -> Supernet:
    """A supernet over the recurrent cells of a space: the same weights for equal seeds.

    Raises:
        SpaceError: whole cells are candidates.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "supernet"))
        return placed(RecurrentSupernet(TokenModel(space.skeleton), space), device)
