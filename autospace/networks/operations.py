"""Builds torch modules from the names of operations: one builder per kind of operation."""

from collections.abc import Callable
from itertools import product
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.fused import FusibleAttention, FusibleConvolution
from autospace.spaces.cells.operations import (
    OPERATIONS,
    Operation,
    OperationCost,
    known_operation,
    own_operation,
)
from autospace.spaces.errors import SpaceError, located, named, raised

LEAST_CHANNELS: Final = 8
"""Floats of a vector of AVX2."""


class StridedConvolution(nn.Conv2d):
    """PyTorch's, but a 1x1 convolution of few channels takes the pixels of its stride first.

    It computes the same. On a CPU with AVX2 and no AVX-512, the gradient of such weights, of inputs
    that lie channels-last, is written past its memory: torch 2.13, uxlfoundation/oneDNN#6035.
    """

    def _conv_forward(
        self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        few = self.in_channels < LEAST_CHANNELS and self.groups == 1
        if not few or self.kernel_size != (1, 1) or self.stride == (1, 1) or any(self.padding):
            found: torch.Tensor = super()._conv_forward(input, weight, bias)
            return found
        down, across = self.stride
        return F.conv2d(input[:, :, ::down, ::across], weight, bias)


class ConvNorm(FusibleConvolution):
    """Convolution without bias, batch normalisation and, if `activate`, ReLU6.

    Padding keeps the resolution at stride 1 and gives ceil(side / stride) at stride 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        # All others stay PyTorch's own class, by which kernels of ours know what they can replace.
        few = kernel == 1 and stride > 1 and in_channels < LEAST_CHANNELS
        kind = StridedConvolution if few else nn.Conv2d
        convolution = kind(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False
        )
        parts: list[nn.Module] = [convolution, nn.BatchNorm2d(out_channels)]
        super().__init__(*parts, *([nn.ReLU6()] if activate else []))

    @property
    def convolution(self) -> nn.Conv2d:
        """The convolution itself."""
        first = self[0]
        if not isinstance(first, nn.Conv2d):
            raise TypeError("the first part of a ConvNorm is its convolution")
        return first

    @property
    def norm(self) -> nn.BatchNorm2d:
        """The batch normalisation after the convolution."""
        second = self[1]
        if not isinstance(second, nn.BatchNorm2d):
            raise TypeError("the second part of a ConvNorm is its batch normalisation")
        return second


class SqueezeExcite(FusibleAttention):
    """Channel attention with a hidden layer (Hu et al., CVPR 2018, equations 2-4)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """The channels of x [N, C, H, W], weighted by a function of all averages."""
        averages = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(averages))))

    def weights(self, averages: torch.Tensor) -> torch.Tensor:
        """The same weights as matrix products, which are faster than convolutions of one pixel."""
        hidden = F.linear(averages, self.reduce.weight.flatten(1), self.reduce.bias)
        found = F.linear(F.relu(hidden), self.expand.weight.flatten(1), self.expand.bias)
        return torch.sigmoid(found)


class Gate(FusibleAttention):
    """Channel attention without weights: x times the sigmoid of its own global average."""

    def plain(self, x: torch.Tensor) -> torch.Tensor:
        """The channels of x [N, C, H, W], each times the sigmoid of its average."""
        return x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1))

    def weights(self, averages: torch.Tensor) -> torch.Tensor:
        """The sigmoid of the averages."""
        return torch.sigmoid(averages)


class AveragePool(nn.AvgPool2d):
    """Averages of the pixels under a k x k window; pixels beyond the edge do not count.

    The gradient that PyTorch computes for this on a GPU is that of a window moved by the padding,
    if channels lie side by side as ours do (pytorch/pytorch#188344, seen with 2.11). Without
    padding it is right, so there the edge is padded before.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__(kernel, stride, kernel // 2, count_include_pad=False)
        self.edge = kernel // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C, H/stride, W/stride]."""
        if x.device.type != "cuda" or not x.requires_grad:
            return super().forward(x)
        padded = F.avg_pool2d(F.pad(x, [self.edge] * 4), self.kernel_size, self.stride)
        # The share of each window that lies on the image.
        ones = x.new_ones(1, 1, *x.shape[2:])
        return padded / F.avg_pool2d(ones, self.kernel_size, self.stride, self.edge)


def _skip(operation: Operation, channels: int, stride: int) -> nn.Module:
    return nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)


def _depthwise(operation: Operation, channels: int, stride: int) -> nn.Module:
    return ConvNorm(
        channels,
        channels,
        operation.kernel,
        stride=stride,
        dilation=operation.dilation,
        groups=channels,
    )


def _average_pool(operation: Operation, channels: int, stride: int) -> nn.Module:
    return AveragePool(operation.kernel, stride)


def _max_pool(operation: Operation, channels: int, stride: int) -> nn.Module:
    kernel = operation.kernel
    return nn.MaxPool2d(kernel, stride, kernel // 2)


_BUILDERS: dict[str, Callable[[Operation, int, int], nn.Module]] = {
    "skip": _skip,
    "depthwise": _depthwise,
    "average_pool": _average_pool,
    "max_pool": _max_pool,
}


def build_operation(name: str, channels: int, stride: int) -> nn.Module:
    """The module of an operation other than `none`: [N, C, H, W] -> [N, C, H/stride, W/stride].

    Raises:
        ValueError: `none`, which has no module.
        SpaceError: an operation that is not registered in this process.
    """
    operation = known_operation(name)
    key = name if operation.kind == "own" else operation.kind
    if key not in _BUILDERS:
        raise ValueError(f"operation {name!r} has no module")
    return _BUILDERS[key](operation, channels, stride)


def register_operation(
    name: str,
    *,
    cost: OperationCost,
    build: Callable[[int, int], nn.Module],
    symbol: str | None = None,
) -> Operation:
    """Adds an operation of your own to the vocabulary of this process.

    From then on cells, settings (`cells.operations`), files and costs know its name. Other
    processes do not: call this at the top of a module that they import, for worker processes the
    main script, outside of `if __name__ == "__main__"`.

    Args:
        name: an identifier that is not in use.
        cost: gives MAdds and params (`Cost`) from channels and output pixels per channel. MAdds are
            the multiply-accumulates of convolutions and matrix products.
        build: gives the module for channels and stride (1 or 2), which makes
            [N, C, ceil(H / stride), ceil(W / stride)] of [N, C, H, W], in the type of its input.
            It must not be random, because cells may be computed twice in a step; keep fixed weights
            in buffers. It must not change its input, which other edges of the cell read.
        symbol: its name in drawings; by default the name itself.

    Raises:
        SpaceError: name, symbol or cost are not valid (see `own_operation`); `cost` or `build`
            fails; the module fails, changes its input, is random, gives an output of another shape
            or type or one that is not finite, or does not have the params and MAdds that `cost`
            states.
    """
    operation = own_operation(name, cost=cost, symbol=symbol)
    with located(name), torch.random.fork_rng(devices=[]), torch.no_grad():
        for channels, stride in product(_CHECKED_CHANNELS, (1, 2)):
            _check_build(operation, build, channels, stride)
    OPERATIONS[name] = operation
    _BUILDERS[name] = lambda operation, channels, stride: build(channels, stride)
    return operation


_CHECKED_CHANNELS: Final = (6, 16)
_CHECKED_SIDE: Final = 7
_CHECKED_IMAGES: Final = 2


def _check_build(
    operation: Operation, build: Callable[[int, int], nn.Module], channels: int, stride: int
) -> None:
    case = f"with {channels} channels and stride {stride}"
    x = torch.randn(_CHECKED_IMAGES, channels, _CHECKED_SIDE, _CHECKED_SIDE)
    side = -(-_CHECKED_SIDE // stride)
    try:
        module = build(channels, stride)
        if not isinstance(module, nn.Module):
            raise SpaceError(
                "build", f"{named(type(module).__name__)} {case}; allowed: torch.nn.Module"
            )
        _check_outputs(module, x, [_CHECKED_IMAGES, channels, side, side], case)
        madds = _counted_madds(module, x)
    except SpaceError:
        raise
    except Exception as error:
        allowed = f"a module that takes {list(x.shape)}"
        raise SpaceError("build", f"{case}, {raised(error)}; allowed: {allowed}") from error
    params = sum(parameter.numel() for parameter in module.parameters())
    _check_stated("params", operation.params(channels), params, case)
    if madds:  # Otherwise nothing in it is counted by torch: a product of tensors is not.
        _check_stated("MAdds", operation.madds(channels, side**2), madds, case)


def _check_outputs(module: nn.Module, x: torch.Tensor, wanted: list[int], case: str) -> None:
    """Refuses a module that changes its input x, or whose output is not usable."""
    kept, version = x.clone(), x._version
    found = module(x)
    # The version counts writes that happen to change no number.
    if x._version != version or not torch.equal(x, kept):
        raise SpaceError("build", f"{case}, it changes its input; allowed: a new output")
    if not isinstance(found, torch.Tensor):
        problem = f"{case}, the output is {named(type(found).__name__)}; allowed: a tensor"
        raise SpaceError("build", problem)
    if list(found.shape) != wanted:
        problem = f"{case}, {list(x.shape)} becomes {list(found.shape)}; allowed: {wanted}"
        raise SpaceError("build", problem)
    if found.dtype != x.dtype:
        problem = f"{case}, {x.dtype} becomes {found.dtype}; allowed: the type of the input"
        raise SpaceError("build", problem)
    if not found.isfinite().all():
        raise SpaceError("build", f"{case}, the output is not finite; allowed: finite numbers")
    if not torch.equal(found, module(x)):
        problem = f"{case}, two outputs for one input differ; allowed: equal outputs"
        raise SpaceError("build", problem)


def _counted_madds(module: nn.Module, x: torch.Tensor) -> int:
    """Multiply-accumulates of one image, as far as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        module(x)
    return int(counter.get_total_flops()) // (2 * len(x))


def _check_stated(what: str, stated: int, counted: int, case: str) -> None:
    if stated != counted:
        problem = f"{stated} {what} {case}; allowed: {counted}, as the module has"
        raise SpaceError("cost", problem)
