"""Cells with two inputs as torch modules, and what brings these inputs to one shape.

The modules are those of Liu et al., "DARTS", ICLR 2019, for networks that are trained: batch
normalisation has weights, and none follows a pool. Networks hand one tensor from layer to layer, so
the two inputs of a cell lie in it side by side. Where the skeleton is binary, so are the operations
(`autospace.networks.bats`).
"""

from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import pairwise
from typing import Final, cast

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.bats import BinaryReduction, bats_operation, start
from autospace.networks.binary import BinaryLayer
from autospace.networks.cells import CellModule, initialise, recomputed, zeros
from autospace.networks.dense import ActivatedConvolution
from autospace.networks.operations import AveragePool, StridedConvolution
from autospace.spaces.cells.cell import Cell, Edge, LayerShape
from autospace.spaces.cells.darts_cell import INPUTS, OPERATIONS, DartsCell, DartsOperation

Scales = Sequence[torch.Tensor | None]
Bring = Callable[[int, int], nn.Module]
"""From the channels of an input, and the width of a layer, to a module."""


class FactorisedReduction(nn.Module):
    """Half the resolution without losing a pixel: [N, C, H, W] -> [N, C', H/2, W/2].

    ReLU, two 1x1 convolutions of stride 2, of which the second starts at pixel (1, 1), and batch
    normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.even = StridedConvolution(in_channels, half, 1, stride=2, bias=False)
        self.odd = StridedConvolution(in_channels, out_channels - half, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Both convolutions side by side, normalised."""
        x = F.relu(x)
        # An odd side has one more pixel at even places; a zero makes up for it.
        shifted = F.pad(x[:, :, 1:, 1:], (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        both: torch.Tensor = self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))
        return both


class DartsModule(CellModule):
    """A DARTS cell: [N, 2 C + any, H, W] -> [N, nodes C, H/s, W/s].

    The first C channels are the first input, the next C the second. All operations have their
    weights, but only those that the output depends on are computed.
    """

    def __init__(self, cell: DartsCell, shape: LayerShape) -> None:
        nn.Module.__init__(self)
        # Where cells are typed, they are those of family `mobile`.
        self.darts, self.cell, self.shape = cell, cast(Cell, cell), shape
        self.last = -1
        self.expand, self.project = nn.Identity(), None
        self.mixes = nn.ModuleDict()
        self.operations = nn.ModuleDict(
            {
                f"{edge.target}_{index % INPUTS}": build_edge(edge, shape)
                for index, edge in enumerate(cell.chosen)
                if edge.operation != "none"
            }
        )

    @property
    def parts(self) -> dict[str, str]:
        """Paths of the parts that have weights, by their edge and operation."""
        named = {}
        for index, (source, target, name) in enumerate(self.darts.chosen):
            stride = self.shape.stride if source < INPUTS else 1
            if self.darts.vocabulary[name].weighted(stride):
                place = f"operations.{target}_{index % INPUTS}"
                named[f"{self.darts.kind} {target}.{index % INPUTS} from {source} {name}"] = place
        return named

    def features(self, x: torch.Tensor, scales: Scales = ()) -> torch.Tensor:
        """The concatenated nodes: nothing follows the graph; `scales` as of `dropped`."""
        width, side = self.shape.width, self.shape.out_resolution
        nodes = {0: x[:, :width], 1: x[:, width : 2 * width]}
        used = self.darts.used
        for target in range(INPUTS, INPUTS + self.darts.nodes):
            if target not in used:
                continue
            own = scales[INPUTS * (target - INPUTS) :] or (None,) * INPUTS
            terms = [
                _scaled(self.operations[f"{target}_{index}"](nodes[edge.source]), own[index])
                for index, edge in enumerate(self.darts.into(target))
                if edge.operation != "none"
            ]
            blank = () if terms else (zeros(x, width, side),)
            nodes[target] = reduce(torch.add, [*terms, *blank])
        return torch.cat([nodes[node] for node in self.darts.concat], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output."""
        return self.dropped(x, ())

    def dropped(self, x: torch.Tensor, scales: Scales) -> torch.Tensor:
        """The cell's output where some operations are scaled: the drop path of DARTS.

        Args:
            x: the cell's input.
            scales: per edge, node after node, a factor for each image, [N], or None.
        """
        if self.recomputes and torch.is_grad_enabled():
            return recomputed(self, partial(self.features, scales=scales), x)
        return self.features(x, scales)


def _scaled(y: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    return y if scale is None else y * scale.to(y.dtype)[:, None, None, None]


class TwoInputs(nn.Module):
    """Brings what the last two layers give to the width and resolution of a layer.

    The layer before the previous one may have twice the resolution.
    """

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        channels, side = shape.before or (shape.in_channels, shape.resolution)
        whole, halved = INPUT_MODULES[shape.binary_groups > 0]
        self.before: nn.Module = whole(channels, shape.width)
        if side != shape.resolution:
            self.before = halved(channels, shape.width)
        self.last = whole(shape.in_channels, shape.width)
        start(self) if shape.binary_groups else initialise(self)

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Both side by side: [N, 2 C, H, W]."""
        return torch.cat([self.before(before), self.last(last)], 1)


# Whether a layer is binary, and what brings an input to its width, and to half the resolution.
INPUT_MODULES: Final[dict[bool, tuple[Bring, Bring]]] = {
    False: (partial(ActivatedConvolution, kernel=1), FactorisedReduction),
    True: (BinaryLayer, BinaryReduction),
}


def stem_parts(widths: tuple[int, ...], stride: int, *, activated: bool = False) -> list[nn.Module]:
    """The stem of a network of DARTS: a convolution, or three of which the last is a second part.

    Args:
        widths: channels of the image and of what each convolution gives.
        stride: of each convolution.
        activated: whether ReLU follows a stem of one convolution, as in BATS.
    """
    first, *others = (
        nn.Sequential(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width))
        for before, width in pairwise(widths)
    )
    if not others:
        parts: list[nn.Module] = [nn.Sequential(*first, nn.ReLU()) if activated else first]
    else:
        second, third = others
        parts = [nn.Sequential(*first, nn.ReLU(), *second), nn.Sequential(nn.ReLU(), *third)]
    for part in parts:
        initialise(part)
    return parts


def build_edge(edge: Edge, shape: LayerShape) -> nn.Module:
    """The operation of an edge other than `none`; the stride is on edges from the inputs."""
    stride = shape.stride if edge.source < INPUTS else 1
    if shape.binary_groups:
        return bats_operation(edge.operation, shape.width, stride, shape.binary_groups)
    module = _operation(OPERATIONS[edge.operation], shape.width, stride)
    initialise(module)
    return module


def _operation(operation: DartsOperation, channels: int, stride: int) -> nn.Module:
    kernel = operation.kernel
    if operation.kind == "skip":
        return nn.Identity() if stride == 1 else FactorisedReduction(channels, channels)
    if operation.kind == "average_pool":
        return AveragePool(kernel, stride)
    if operation.kind == "max_pool":
        return nn.MaxPool2d(kernel, stride, kernel // 2)
    if operation.kind == "factorised":
        return nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, (1, 7), (1, stride), (0, 3), bias=False),
            nn.Conv2d(channels, channels, (7, 1), (stride, 1), (3, 0), bias=False),
            nn.BatchNorm2d(channels),
        )
    if operation.kind == "dilated":
        return nn.Sequential(*_separable(channels, kernel, stride, 2))
    return nn.Sequential(
        *_separable(channels, kernel, stride, 1), *_separable(channels, kernel, 1, 1)
    )


def _separable(channels: int, kernel: int, stride: int, dilation: int) -> list[nn.Module]:
    padding = dilation * (kernel - 1) // 2
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]
