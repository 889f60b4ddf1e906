"""The phenotype: a cell as a torch module.

Gradient checkpointing: a part keeps its input alone and is computed again on the way back.

Chen et al., "Training deep nets with sublinear memory cost", 2016: memory for about a third more
time. Batch normalisation must not count the same batch twice, which plain checkpointing lets it do.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from autospace.networks.kernels import Pending, node_sum, transparent
from autospace.networks.operations import ConvNorm, Gate, SqueezeExcite, build_operation
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.cost import se_channels


def recomputed(
    part: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """`function(x)`; its batch normalisations are in `part`. Gradients are equal to the bit."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_at_rest(part)

    # Nothing in a cell is random, so there is no state of a generator to keep.
    found: torch.Tensor = checkpoint(
        function, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return found


@contextmanager
def _statistics_at_rest(part: nn.Module) -> Iterator[None]:
    """As long as it lasts, batches leave no trace in running statistics.

    The norms stay in training mode with statistics of their own: they have to keep exactly the
    tensors that they kept the first time.
    """
    norms = [each for each in part.modules() if isinstance(each, nn.BatchNorm2d)]
    held = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, held, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


Node = Pending | torch.Tensor
"""What a node holds; if it has one edge, maybe what its readers will normalise."""


class CellModule(nn.Module):
    """Expansion, graph of operations and projection: [N, C, H, W] -> [N, C', H/s, W/s].

    The skeleton's shortcut is not part of it. A cell without a path gives zeros.

    Attributes:
        recomputes: whether the backward pass computes the cell again instead of keeping what is
            inside; set by `recompute_cells`.
    """

    recomputes = False

    def __init__(self, cell: Cell, shape: LayerShape) -> None:
        super().__init__()
        pruned = cell.pruned()
        self.cell, self.shape = pruned, shape
        inner = pruned.expansion * shape.in_channels
        self.last = pruned.nodes - 1
        self.expand: nn.Module = nn.Identity()
        if pruned.expansion != 1:
            self.expand = ConvNorm(shape.in_channels, inner)
        self.operations = nn.ModuleDict(
            {
                f"{source}_{target}": build_operation(
                    name, inner, shape.stride if target == self.last else 1
                )
                for source, target, name in pruned.edges
            }
        )
        mixes: dict[str, nn.Module] = {}
        for node, mix in enumerate(pruned.mix, start=1):
            if mix == "gate":
                mixes[str(node)] = Gate()
            elif mix == "se":
                mixes[str(node)] = SqueezeExcite(inner, se_channels(shape.in_channels))
        self.mixes = nn.ModuleDict(mixes)
        self.project: ConvNorm | None = None
        if not pruned.is_zero:
            self.project = ConvNorm(inner, shape.out_channels, activate=False)
        initialise(self)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the output node holds before projection: [N, e * C, H/s, W/s]."""
        return _finished(self._features(x))

    def _features(self, x: torch.Tensor) -> Node:
        nodes: dict[int, Node] = {0: _pending(self.expand, x) or self.expand(x)}
        incoming: dict[int, list[tuple[int, str]]] = {}
        for source, target, _ in self.cell.edges:
            incoming.setdefault(target, []).append((source, f"{source}_{target}"))
        for target in sorted(incoming):
            values = [_applied(self.operations[key], nodes, j) for j, key in incoming[target]]
            mix = str(target)
            if mix in self.mixes:
                nodes[target] = self.mixes[mix](_summed(values))
            else:
                nodes[target] = values[0] if len(values) == 1 else _summed(values)
        return nodes[self.last]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output, before the skeleton's shortcut."""
        project = self.project
        if project is None:
            side = self.shape.out_resolution
            return x.new_zeros(x.shape[0], self.shape.out_channels, side, side)

        def output(x: torch.Tensor) -> torch.Tensor:
            features = self._features(x)
            pending = project.pending(features)
            found: torch.Tensor = pending.finished() if pending else project(_finished(features))
            return found

        if self.recomputes and torch.is_grad_enabled():
            return recomputed(self, output, x)
        return output(x)


def _pending(operation: nn.Module, x: Node) -> Pending | None:
    return operation.pending(x) if isinstance(operation, ConvNorm) else None


def _applied(operation: nn.Module, nodes: dict[int, Node], source: int) -> Node:
    """An edge's value; a node that has to be finished for it stays so for the edges to come."""
    if transparent(operation):
        return nodes[source]
    pending = _pending(operation, nodes[source])
    if pending is not None:
        return pending
    nodes[source] = finished = _finished(nodes[source])
    found: torch.Tensor = operation(finished)
    return found


def _finished(x: Node) -> torch.Tensor:
    return x.finished() if isinstance(x, Pending) else x


def _summed(values: list[Node]) -> torch.Tensor:
    if any(isinstance(value, Pending) for value in values):
        return node_sum(values)
    return added(_finished(value) for value in values)


def recompute_cells(module: nn.Module) -> None:
    """Makes all cells in a module keep their inputs alone for the backward pass: less memory."""
    for part in module.modules():
        if isinstance(part, CellModule):
            part.recomputes = True


def initialise(module: nn.Module) -> None:
    """He initialisation of convolutions (fan out), normal 0.01 of linear layers, in place."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, 0.01)
            nn.init.zeros_(part.bias)


def added(values: Iterable[torch.Tensor]) -> torch.Tensor:
    """Sum of at least one tensor, without a copy of the first."""
    total: torch.Tensor | None = None
    for value in values:
        total = value if total is None else total + value
    if total is None:
        raise ValueError("nothing to add: at least one tensor is needed")
    return total
