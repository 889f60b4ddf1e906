"""Dense cells and the fixed blocks between them as torch modules, activations before convolutions.

The modules are those of Dong and Yang, "NAS-Bench-201", ICLR 2020, except in one point: what
nothing connects to the input is zero here, where a convolution there gives the shift of its batch
normalisation.
"""

from typing import cast

import torch
from torch import nn

from autospace.networks.cells import CellModule, initialise, recomputed
from autospace.networks.fused import Node, applied, summed
from autospace.networks.operations import AveragePool, ConvNorm
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.dense_cell import OPERATIONS, DenseCell


class ActivatedConvolution(nn.Sequential):
    """ReLU, convolution without bias, batch normalisation: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        convolution = ConvNorm(in_channels, out_channels, kernel, stride=stride, activate=False)
        super().__init__(nn.ReLU(), convolution)


class DenseModule(CellModule):
    """A dense cell: [N, C, H, W] -> [N, C, H, W].

    All its operations have weights, but only those between input and output are computed.
    """

    def __init__(self, cell: DenseCell, shape: LayerShape) -> None:
        nn.Module.__init__(self)
        # Where cells are typed, they are those of family `mobile`.
        self.dense, self.cell, self.shape = cell, cast(Cell, cell), shape
        self.last = cell.nodes - 1
        self.expand, self.project = nn.Identity(), None
        self.mixes = nn.ModuleDict()
        self.operations = nn.ModuleDict(
            {
                f"{source}_{target}": dense_operation(name, shape.in_channels)
                for source, target, name in cell.edges
            }
        )
        initialise(self)

    @property
    def parts(self) -> dict[str, str]:
        """Paths of the parts that have weights, by their edge and operation."""
        return {
            f"dense {source}-{target} {name}": f"operations.{source}_{target}"
            for source, target, name in self.dense.edges
            if OPERATIONS[name].kind == "dense"
        }

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the cell gives: nothing follows its graph."""
        live = self.dense.pruned()
        if live.is_zero:
            return torch.zeros_like(x)
        nodes = {0: Node(x)}
        for target in sorted(live.live_nodes - {0}):
            terms = [
                applied(self.operations[f"{edge.source}_{target}"], nodes[edge.source])
                for edge in live.edges
                if edge.target == target
            ]
            nodes[target] = summed(terms)
        return nodes[live.nodes - 1].finished()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output, before the skeleton's shortcut if it adds one."""
        if self.recomputes and torch.is_grad_enabled():
            return recomputed(self, self.features, x)
        return self.features(x)


class ResidualBlock(nn.Module):
    """A fixed layer: two 3x3 convolutions, and a shortcut: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        before, width, stride = shape.in_channels, shape.out_channels, shape.stride
        self.first = ActivatedConvolution(before, width, 3, stride)
        self.second = ActivatedConvolution(width, width, 3)
        pool = [nn.AvgPool2d(2, ceil_mode=True)] if stride == 2 else []
        mix = [nn.Conv2d(before, width, 1, bias=False)] if stride == 2 or before != width else []
        self.shortcut = nn.Sequential(*pool, *mix)
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of convolutions and shortcut."""
        found: torch.Tensor = self.second(self.first(x)) + self.shortcut(x)
        return found


class NormActivation(nn.Sequential):
    """Batch normalisation and ReLU: what stands before pooling if activations come first."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.BatchNorm2d(channels), nn.ReLU())


def dense_operation(name: str, channels: int) -> nn.Module:
    """The module of an operation other than `none`: [N, C, H, W] -> [N, C, H, W]."""
    operation = OPERATIONS[name]
    if operation.kind == "dense":
        return ActivatedConvolution(channels, channels, operation.kernel)
    if operation.kind == "average_pool":
        return AveragePool(operation.kernel, 1)
    return nn.Identity()
