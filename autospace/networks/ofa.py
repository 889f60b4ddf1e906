"""The layers of Once-for-All as torch modules (Cai et al., ICLR 2020; MobileNetV3, ICCV 2019)."""

from typing import Final, cast

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import CellModule, initialise, recomputed, zeros
from autospace.networks.operations import ConvNorm
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.ofa import OfaCell, squeezed
from autospace.spaces.skeleton import Skeleton

ACTIVATIONS: Final[dict[str, type[nn.Module]]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "h_swish": nn.Hardswish,
}


class Activated(ConvNorm):
    """Convolution, batch normalisation and any of `ACTIVATIONS`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        activation: str,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel, stride=stride, groups=groups, activate=False
        )
        self.append(ACTIVATIONS[activation]())


class HardAttention(nn.Module):
    """Squeeze-and-excitation with a hard sigmoid: [N, C, H, W] -> [N, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = squeezed(channels)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The channels of x, weighted by a function of all averages."""
        averages = x.mean((2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(averages))))


class OfaModule(CellModule):
    """Expansion, depthwise convolution, attention, projection: [N, C, H, W] -> [N, C', H/s, W/s].

    A skipped layer gives zeros; the skeleton's shortcut hands its input on.
    """

    def __init__(self, cell: OfaCell, shape: LayerShape) -> None:
        nn.Module.__init__(self)
        # Where cells are typed, they are those of family `mobile`.
        self.cell, self.shape = cast(Cell, cell), shape
        self.last = cell.nodes - 1
        self.expand, self.project = nn.Identity(), None
        self.operations, self.mixes = nn.ModuleDict(), nn.ModuleDict()
        if not cell.is_zero:
            self._make(cell, shape)
        initialise(self)

    def _make(self, cell: OfaCell, shape: LayerShape) -> None:
        inner, activation = cell.expansion * shape.in_channels, shape.activation
        if cell.expansion != 1:
            self.expand = Activated(shape.in_channels, inner, activation=activation)
        self.operations["0_1"] = Activated(
            inner, inner, cell.kernel, activation=activation, stride=shape.stride, groups=inner
        )
        if shape.attention:
            self.mixes["1"] = HardAttention(inner)
        self.project = ConvNorm(inner, shape.out_channels, activate=False)

    @property
    def parts(self) -> dict[str, str]:
        """Paths of the parts that have weights, by what decides which cells they fit."""
        named = {"expand": "expand", "project": "project", "se": "mixes.1"}
        named[f"depthwise {self.cell.operations[0]}"] = "operations.0_1"
        held = {path for path, _ in self.named_modules()}
        return {
            f"ofa e{self.cell.expansion} {name}": path
            for name, path in named.items()
            if path in held and self.get_submodule(path).state_dict()
        }

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The value before the projection: [N, e * C, H/s, W/s]."""
        found: torch.Tensor = self.operations["0_1"](self.expand(x))
        if len(self.mixes):
            found = self.mixes["1"](found)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output, before the skeleton's shortcut."""
        project = self.project
        if project is None:
            return zeros(x, self.shape.out_channels, self.shape.out_resolution)

        def output(x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = project(self.features(x))
            return found

        if self.recomputes and torch.is_grad_enabled():
            return recomputed(self, output, x)
        return output(x)


class Shortcut(nn.Module):
    """A module, with an identity around it."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input plus what the module makes of it."""
        found: torch.Tensor = x + self.cell(x)
        return found


class Mixing(nn.Sequential):
    """A linear layer without bias, and an activation: [N, C] -> [N, C']."""

    def __init__(self, in_channels: int, out_channels: int, activation: str) -> None:
        linear = nn.Linear(in_channels, out_channels, bias=False)
        super().__init__(linear, ACTIVATIONS[activation]())
        # As the 1x1 convolution that it is in the released code.
        nn.init.kaiming_normal_(linear.weight, mode="fan_out", nonlinearity="relu")


def staged_stem(skeleton: Skeleton) -> list[nn.Module]:
    """The stem of a network of stages: a convolution and, where there is one, the block."""
    stem = skeleton.stem
    parts: list[nn.Module] = [
        Activated(
            skeleton.in_channels,
            stem.channels,
            3,
            stride=stem.stride,
            activation=skeleton.activation,
        )
    ]
    if stem.block is not None:
        shape = LayerShape(
            "stem",
            stem.channels,
            stem.block,
            1,
            skeleton.stem_resolution,
            activation=skeleton.stages[0].activation,
        )
        block = OfaModule(OfaCell.of(3, 1), shape)
        parts.append(Shortcut(block) if shape.shortcut else block)
    return parts
