"""The phenotype: a cell as a torch module, with gradient checkpointing if asked.

With gradient checkpointing (Chen et al., "Training deep nets with sublinear memory cost", 2016), a
cell keeps only its input and is computed again in the backward pass. This saves memory and takes
about a third more time. Torch's own checkpointing would let batch normalisation count the same
batch twice; `recomputed` does not.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from autospace.networks.fused import Node, applied, summed
from autospace.networks.operations import ConvNorm, Gate, SqueezeExcite, build_operation
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.cost import se_channels


def recomputed(
    part: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """`function(x)`, computed again in the backward pass; gradients are equal to the bit.

    The batch normalisations of the function are those of `part`.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_at_rest(part)

    # Nothing in a cell is random, so there is no state of a generator to keep.
    found: torch.Tensor = checkpoint(
        function, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return found


@contextmanager
def _statistics_at_rest(part: nn.Module) -> Iterator[None]:
    """Within the block, batches do not change the running statistics.

    The norms stay in training mode with statistics of their own: they have to keep exactly the
    tensors that they kept the first time.
    """
    kinds = (nn.BatchNorm2d, nn.SyncBatchNorm)
    norms = [each for each in part.modules() if isinstance(each, kinds)]
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


class Trace(NamedTuple):
    """A recorded forward pass: the logits, and the input and output of every layer's cell."""

    logits: torch.Tensor
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]


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

    @property
    def parts(self) -> dict[str, str]:
        """Paths of the parts that have weights, by what decides which cells they fit.

        Parts of two cells of one layer that have the same name are of the same shape and stride:
        the name holds the expansion and, inside the graph, the place and the operation.
        """
        named = {name: name for name in ("expand", "project") if getattr(self, name) is not None}
        for source, target, operation in self.cell.edges:
            path = f"operations.{source}_{target}"
            named[f"{source}-{self._place(target)} {operation}"] = path
        for node in self.mixes:
            named[f"{self._place(int(node))} {self.cell.mix[int(node) - 1]}"] = f"mixes.{node}"
        return {
            f"e{self.cell.expansion} {name}": path
            for name, path in named.items()
            if self.get_submodule(path).state_dict()
        }

    def _place(self, node: int) -> str:
        # The edges into the last node have the stride, whatever its number.
        return "out" if node == self.last else str(node)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The value of the output node before projection: [N, e * C, H/s, W/s]."""
        return self._features(x).finished()

    def _features(self, x: torch.Tensor) -> Node:
        nodes = {0: applied(self.expand, Node(x))}
        incoming: dict[int, list[tuple[int, str]]] = {}
        for source, target, _ in self.cell.edges:
            incoming.setdefault(target, []).append((source, f"{source}_{target}"))
        for target in sorted(incoming):
            edges = incoming[target]
            node = summed([applied(self.operations[key], nodes[source]) for source, key in edges])
            mix = str(target)
            nodes[target] = applied(self.mixes[mix], node) if mix in self.mixes else node
        return nodes[self.last]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output, before the skeleton's shortcut."""
        project = self.project
        if project is None:
            return zeros(x, self.shape.out_channels, self.shape.out_resolution)

        def output(x: torch.Tensor) -> torch.Tensor:
            return applied(project, self._features(x)).finished()

        if self.recomputes and torch.is_grad_enabled():
            return recomputed(self, output, x)
        return output(x)


def zeros(x: torch.Tensor, channels: int, side: int) -> torch.Tensor:
    """What no path computes, [N, channels, side, side], as a convolution of x [N, C, H, W] lies.

    In another memory format, the layers after it would copy their inputs, or run in it, too.
    """
    images = x.shape[0]  # An exported network takes any number; len(x) would fix it.
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        return x.new_zeros(images, side, side, channels).permute(0, 3, 1, 2)
    return x.new_zeros(images, channels, side, side)


def recompute_cells(module: nn.Module) -> None:
    """Makes all cells in a module keep only their inputs for the backward pass, to save memory."""
    part: Any
    for part in module.modules():
        if isinstance(getattr(part, "recomputes", None), bool):
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
