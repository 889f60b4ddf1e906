"""Binary convolutions and cells as torch modules, with a straight-through estimator for the sign.

A layer is as in BATS (Bulat et al., ECCV 2020): batch normalisation, sign, a grouped convolution
with signs of weights and a learned scale alpha per output channel (XNOR-Net++, Bulat and
Tzimiropoulos, BMVC 2019), and a PReLU per channel. A network is trained in stages of precision:

    real            conv(x, w) alpha
    binary_inputs   conv(sign x, w) alpha
    binary          conv(sign x, sign w) alpha

A network is `binary` unless `set_precision` says otherwise. Interpreters compute signs as floating
point numbers: without kernels that count bits, nothing is faster than with real weights.
"""

from typing import Any, Final, Literal, cast

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import CellModule, initialise, recomputed, zeros
from autospace.networks.operations import AveragePool, StridedConvolution
from autospace.spaces.cells.binary import BINARY_OPERATIONS, BinaryCell
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.operations import Operation, binary_groups

PrecisionStage = Literal["real", "binary_inputs", "binary"]
SHUFFLED: Final = 4
"""Parts of the channels that are shuffled after a grouped convolution, if they divide them."""


class _StraightThrough(torch.autograd.Function):
    """sign(x); the gradient passes where |x| < 1 (Courbariaux et al., 2016)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return plain_sign(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (x,), (g,) = ctx.saved_tensors, gradients
        passed: torch.Tensor = g * (x.abs() < 1).to(g.dtype)
        return passed


def plain_sign(x: torch.Tensor) -> torch.Tensor:
    """+1 where x >= 0, -1 below: torch.sign has a third value. What is no number stays so."""
    return torch.where(x >= 0, 1.0, torch.where(x < 0, -1.0, x)).to(x.dtype)


def sign(x: torch.Tensor) -> torch.Tensor:
    """The sign of every entry; where a gradient is wanted, by the straight-through estimator."""
    if not (torch.is_grad_enabled() and x.requires_grad):
        return plain_sign(x)
    found: torch.Tensor = _StraightThrough.apply(x)  # type: ignore[no-untyped-call]
    return found


class BinaryConvolution(StridedConvolution):
    """A convolution of signs with signs, times alpha: [N, C, H, W] -> [N, C', H/s, W/s].

    Zeros at the border are neither sign: they add 0, where a count of bits would add or subtract 1.

    Attributes:
        precision: which of inputs and weights are signs.
    """

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        super().__init__(before, after, kernel, stride, padding, dilation, groups, bias=False)
        self.precision: PrecisionStage = "binary"
        self.alpha = nn.Parameter(torch.ones(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The convolution with signs or real numbers, as `precision` says."""
        if self.precision != "real":
            x = sign(x)
        weight = sign(self.weight) if self.precision == "binary" else self.weight
        found: torch.Tensor = self._conv_forward(x, weight, None)
        return found * self.alpha[:, None, None]

    @property
    def magnitudes(self) -> torch.Tensor:
        """Mean |w| of each output channel: the scale of XNOR-Net (Rastegari et al., ECCV 2016)."""
        return self.weight.detach().abs().mean((1, 2, 3)).clamp_min(1e-12)

    @torch.no_grad()
    def set_precision(self, stage: PrecisionStage) -> None:
        """Goes to a stage; alpha takes up the size of weights that become signs, or gives it back.

        So the function changes as little as it can: not at all if all weights of a channel have one
        magnitude.
        """
        if (stage == "binary") != (self.precision == "binary"):
            factor = self.magnitudes if stage == "binary" else 1 / self.magnitudes
            self.alpha.mul_(factor)
        self.precision = stage


class BinaryLayer(nn.Module):
    """BN, binary convolution, PReLU, shuffle, and a residual: [N, C, H, W] -> [N, C', H/s, W/s]."""

    def __init__(
        self,
        before: int,
        after: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        shuffled: int = 1,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.convolution = BinaryConvolution(
            before, after, kernel, stride=stride, dilation=dilation, groups=groups
        )
        self.activation = nn.PReLU(after)
        self.shuffled, self.residual = shuffled, stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The activations of the convolution, plus the input where shapes agree."""
        y: torch.Tensor = self.activation(self.convolution(self.norm(x)))
        if self.shuffled > 1:
            y = F.channel_shuffle(y, self.shuffled)
        return x + y if self.residual else y


def binary_operation(operation: Operation, channels: int, stride: int) -> nn.Module:
    """The module of an operation of kind `binary`: [N, C, H, W] -> [N, C, H/s, W/s]."""
    return BinaryLayer(
        channels,
        channels,
        operation.kernel,
        stride=stride,
        dilation=operation.dilation,
        groups=binary_groups(channels, operation.groups),
        shuffled=SHUFFLED if channels % SHUFFLED == 0 else 1,
    )


def start_scales(module: nn.Module) -> None:
    """Sets alpha to the mean magnitude of the weights, in place, as XNOR-Net does.

    BATS starts alpha at 1, which is what stays of it where weights are real.
    """
    for part in module.modules():
        if isinstance(part, BinaryConvolution):
            part.alpha.data.copy_(part.magnitudes)


def has_signs(module: nn.Module) -> bool:
    """Whether a module has binary convolutions."""
    return any(isinstance(part, BinaryConvolution) for part in module.modules())


def set_precision(module: nn.Module, stage: PrecisionStage) -> None:
    """Sets the stage of all binary convolutions of a module, in place; others stay as they are."""
    for part in module.modules():
        if isinstance(part, BinaryConvolution):
            part.set_precision(stage)


class BinaryModule(CellModule):
    """A binary cell: [N, C, H, W] -> [N, C', H/s, W/s]; one without a path gives zeros."""

    def __init__(self, cell: BinaryCell, shape: LayerShape) -> None:
        nn.Module.__init__(self)
        pruned = cell.pruned()
        # Where cells are typed, they are those of family `mobile`.
        self.binary, self.cell, self.shape = pruned, cast(Cell, pruned), shape
        self.last = pruned.nodes - 1
        self.project = None
        self.mixes = nn.ModuleDict()
        self.expand = nn.Identity()
        if not pruned.is_zero:
            self.expand = BinaryLayer(shape.in_channels, shape.out_channels)
        self.operations = nn.ModuleDict(
            {
                f"{source}_{target}": binary_cell_operation(
                    name, shape.out_channels, shape.stride if target == self.last else 1
                )
                for source, target, name in pruned.edges
            }
        )
        initialise(self)
        start_scales(self)

    @property
    def parts(self) -> dict[str, str]:
        """Paths of the parts that have weights, by what decides which cells they fit."""
        named = {} if self.binary.is_zero else {"binary expand": "expand"}
        for source, target, name in self.binary.edges:
            if BINARY_OPERATIONS[name].kind == "binary":
                path = f"operations.{source}_{target}"
                named[f"binary {source}-{self._place(target)} {name}"] = path
        return named

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of what reaches the last node."""
        if self.binary.is_zero:
            return zeros(x, self.shape.out_channels, self.shape.out_resolution)
        nodes: dict[int, torch.Tensor] = {0: self.expand(x)}
        for source, target, _ in self.binary.edges:
            term = self.operations[f"{source}_{target}"](nodes[source])
            nodes[target] = nodes[target] + term if target in nodes else term
        return nodes[self.last]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output, before the skeleton's shortcut."""
        if self.recomputes and torch.is_grad_enabled() and not self.binary.is_zero:
            return recomputed(self, self.features, x)
        return self.features(x)


def binary_cell_operation(name: str, channels: int, stride: int) -> nn.Module:
    """The module of an operation of a cell with one input: [N, C, H, W] -> [N, C, H/s, W/s]."""
    operation = BINARY_OPERATIONS[name]
    if operation.kind == "binary":
        return binary_operation(operation, channels, stride)
    if operation.kind == "skip":
        return nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)
    return pool(operation, stride)


def pool(operation: Operation, stride: int) -> nn.Module:
    """The module of a pooling of any kind; padded pixels do not count."""
    kernel = operation.kernel
    if operation.kind == "average_pool":
        return AveragePool(kernel, stride)
    return nn.MaxPool2d(kernel, stride, kernel // 2)
