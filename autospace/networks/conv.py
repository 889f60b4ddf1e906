"""Blocks of ordinary convolutions as torch modules, activations before convolutions.

ResNets: He et al., CVPR 2016 and ECCV 2016; ConvNeXt: Liu et al., CVPR 2022, here with batch
normalisation and without a scale per channel.
"""

from typing import cast

import torch
from torch import nn

from autospace.networks.cells import CellModule, initialise, recomputed
from autospace.networks.dense import ActivatedConvolution
from autospace.networks.fused import Node, applied, summed
from autospace.networks.operations import AveragePool, ConvNorm
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.conv import (
    CONV_OPERATIONS,
    MLP_RATIOS,
    ConvCell,
    inner_width,
    keeps_shape,
)


class Mlp(nn.Sequential):
    """1x1 convolution, GELU, 1x1 convolution, batch normalisation: [N, C, H, W] -> [N, C', H, W].

    It is `ratio` times as wide as its output in between.
    """

    def __init__(self, before: int, after: int, ratio: int) -> None:
        inner = ratio * after
        last = ConvNorm(inner, after, activate=False)
        super().__init__(nn.Conv2d(before, inner, 1), nn.GELU(), last)


class ConvModule(CellModule):
    """A cell of convolutions: [N, C, H, W] -> [N, C', H/s, W/s].

    Where the skeleton adds no shortcut, the cell's own one is part of the output. Elsewhere a cell
    without a path gives zeros.
    """

    def __init__(self, cell: ConvCell, shape: LayerShape) -> None:
        nn.Module.__init__(self)
        pruned = cell.pruned()
        # Where cells are typed, they are those of family `mobile`.
        self.conv, self.cell, self.shape = pruned, cast(Cell, pruned), shape
        self.last, self.project = pruned.nodes - 1, None
        self.mixes = nn.ModuleDict()
        before, after = shape.in_channels, shape.out_channels
        inner = inner_width(pruned, shape)
        self.expand: nn.Module = nn.Identity()
        self.narrow = pruned.reduction != 1
        self.widen: nn.Module = nn.Identity()
        if self.narrow:
            self.expand = ActivatedConvolution(before, inner, 1)
            self.widen = ActivatedConvolution(inner, after, 1)
            before = inner
        self.operations = nn.ModuleDict(
            {
                f"{source}_{target}": conv_operation(
                    name,
                    before if source == 0 else inner,
                    inner,
                    shape.stride if source == 0 else 1,
                )
                for source, target, name in pruned.edges
            }
        )
        self.shortcut: nn.Module | None = None
        if not keeps_shape(shape):
            self.shortcut = conv_shortcut(shape.in_channels, after, shape.stride)
        elif not shape.shortcut:
            self.shortcut = nn.Identity()
        initialise(self)

    @property
    def parts(self) -> dict[str, str]:
        """Paths of the parts that have weights, by what decides which cells they fit."""
        reduced = f"conv r{self.conv.reduction}"
        named = {f"{reduced} {name}": name for name in ("expand", "widen")} if self.narrow else {}
        if self.shortcut is not None and self.shortcut.state_dict():
            named["conv shortcut"] = "shortcut"
        for source, target, name in self.conv.edges:
            path = f"operations.{source}_{target}"
            if self.get_submodule(path).state_dict():
                named[f"{reduced} {source}-{self._place(target)} {name}"] = path
        return named

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the cell gives: [N, C', H/s, W/s]."""
        if self.conv.is_zero:
            if self.shortcut is not None:
                found: torch.Tensor = self.shortcut(x)
                return found
            return torch.zeros_like(x)
        nodes = {0: applied(self.expand, Node(x))}
        for target in sorted(self.conv.live_nodes - {0}):
            terms = [
                applied(self.operations[f"{edge.source}_{target}"], nodes[edge.source])
                for edge in self.conv.edges
                if edge.target == target
            ]
            nodes[target] = summed(terms)
        output = applied(self.widen, nodes[self.last])
        if self.shortcut is None:
            return output.finished()
        return summed([output, applied(self.shortcut, Node(x))]).finished()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output, before the skeleton's shortcut if it adds one."""
        if self.recomputes and torch.is_grad_enabled() and self.parts:
            return recomputed(self, self.features, x)
        return self.features(x)


def conv_operation(name: str, before: int, after: int, stride: int) -> nn.Module:
    """The module of an operation: [N, before, H, W] -> [N, after, H/stride, W/stride].

    One that keeps the width has a 1x1 convolution with normalisation behind it where it changes.
    """
    operation = CONV_OPERATIONS[name]
    if operation.kind == "dense":
        return ActivatedConvolution(before, after, operation.kernel, stride)
    if operation.kind == "mlp":
        mlp = Mlp(before, after, MLP_RATIOS[name])
        return mlp if stride == 1 else nn.Sequential(_halved(), *mlp)
    made: nn.Module
    if operation.kind == "depthwise":
        made = ConvNorm(
            before, before, operation.kernel, stride=stride, groups=before, activate=False
        )
    elif operation.kind == "average_pool":
        made = AveragePool(operation.kernel, stride)
    elif operation.kind == "max_pool":
        made = nn.MaxPool2d(operation.kernel, stride, operation.kernel // 2)
    else:
        made = nn.Identity() if stride == 1 else _halved()
    if before == after:
        return made
    return nn.Sequential(made, ConvNorm(before, after, activate=False))


def _halved() -> nn.Module:
    return nn.AvgPool2d(2, ceil_mode=True)


def conv_shortcut(before: int, after: int, stride: int) -> nn.Module:
    """What brings the input of a layer to the shape of its output."""
    parts: list[nn.Module] = [_halved()] if stride != 1 else []
    return nn.Sequential(*parts, ConvNorm(before, after, activate=False))
