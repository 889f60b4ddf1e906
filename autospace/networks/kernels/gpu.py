"""Autograd functions over the Triton kernels: batch normalisation with ReLU6, dilated convolutions.

Training mode, channels last, first derivatives only. cuDNN's depthwise convolutions are fast unless
they are dilated; then it copies tensors into another layout and takes five times as long. For all
other convolutions PyTorch computes z, and only what follows is computed here.
"""

import importlib.util
import os
import warnings
from functools import cache
from types import ModuleType
from typing import Any, Final

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from autospace.spaces.errors import shown

VARIABLE: Final = "AUTOSPACE_TRITON"
"""Environment variable; 1 turns these kernels on."""
OLDEST: Final = (8, 0)
"""The first compute capability with bfloat16."""
MOST_NUMBERS: Final = 2**31
"""Places in a tensor are numbers of 32 bits."""
CHUNKS: Final = 256
"""About so many parts of the pixels: enough programs, and enough to do for each of them."""
ROWS: Final = 64
"""Pixels of a tile where one number of the input makes one of the output."""
TAPS: Final = 16
"""Pixels of a tile of a convolution: more do not fit into the registers of 128 threads."""
LANES: Final = 32
"""Channels of a tile: 64 bytes of bfloat16."""
JOINED: Final = 64
"""Chunks that are read at a time where their sums are joined."""


def asked_for() -> bool:
    """Whether the environment turns the kernels on."""
    return os.environ.get(VARIABLE, "0") == "1"


def usable(device: torch.device) -> bool:
    """Whether the kernels are asked for, and Triton is installed and works on this GPU."""
    return _usable(torch.cuda.current_device() if device.index is None else device.index)


def look_again() -> None:
    """Forgets what was found about GPUs, because `VARIABLE` has changed."""
    _usable.cache_clear()


@cache
def _usable(index: int) -> bool:
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "0", "1"):
        warnings.warn(f"{VARIABLE}: {shown(value)} has no effect; allowed: 0, 1", stacklevel=2)
    if not asked_for():
        return False
    reason = _hindrance(index)
    if reason:
        warnings.warn(f"{VARIABLE}=1 has no effect on cuda:{index}: {reason}", stacklevel=2)
    return not reason


def _hindrance(index: int) -> str:
    """Why the kernels cannot be used on a GPU; empty if they can."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    try:
        major, minor = torch.cuda.get_device_capability(index)
        if (major, minor) < OLDEST:
            return f"compute capability {major}.{minor}; allowed: 8.0 or higher"
        # It compiles what it starts, with tools that may be missing.
        with torch.cuda.device(index):
            _joined(torch.zeros(1, 1, device="cuda"))
            torch.cuda.synchronize(index)
    except Exception as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return ""


@cache
def _code() -> ModuleType:
    # Products and sums are rounded once, as Triton does without being asked up to version 3.9.
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
    # Imported only on a GPU: it takes half a second.
    from autospace.networks.kernels import gpu_code

    return gpu_code


def norm_act(z: torch.Tensor, norm: nn.BatchNorm2d, *, activate: bool) -> torch.Tensor:
    """Batch normalisation of z [N, C, H, W] and, if asked, ReLU6."""
    # Triton starts on the current device; backward passes are on that of their forward pass.
    with torch.cuda.device_of(z):
        found: torch.Tensor = _NormAct.apply(  # type: ignore[no-untyped-call]
            norm, activate, z, norm.weight, norm.bias
        )
    return found


def depthwise_norm_act(
    x: torch.Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d, *, activate: bool
) -> torch.Tensor:
    """Depthwise convolution [C, 1, k, k] of x [N, C, H, W], batch normalisation, maybe ReLU6."""
    with torch.cuda.device_of(x):
        found: torch.Tensor = _DepthwiseNormAct.apply(  # type: ignore[no-untyped-call]
            convolution, norm, activate, x, convolution.weight, norm.weight, norm.bias
        )
    return found


class _NormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, norm: nn.BatchNorm2d, activate: bool, z: torch.Tensor, *_: torch.Tensor
    ) -> torch.Tensor:
        z = _laid_out(z)
        chunk, chunks, blocks = _parts(z)
        moments = _numbers(z, chunks, 2, z.shape[1])
        _code().measure[(chunks, blocks)](
            z,
            moments,
            z.shape[1],
            _pixels(z),
            chunk,
            STEPS=chunk // ROWS,
            PIXELS=ROWS,
            CHANNELS=LANES,
        )
        ctx.activate = activate
        return _normalised(ctx, norm, z, moments, activate, z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        z, factors = ctx.saved_tensors
        slopes, weight, bias = _norm_slopes(gradient, z, factors, activate=ctx.activate)
        return None, None, slopes, weight, bias


class _DepthwiseNormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        convolution: nn.Conv2d,
        norm: nn.BatchNorm2d,
        activate: bool,
        x: torch.Tensor,
        weight: torch.Tensor,
        *_: torch.Tensor,
    ) -> torch.Tensor:
        x, weight = _laid_out(x), weight.contiguous()
        images, channels, height, width = x.shape
        stride, dilation, side = (
            convolution.stride[0],
            convolution.dilation[0],
            convolution.kernel_size[0],
        )
        out_height, out_width = -(-height // stride), -(-width // stride)
        size = (images, channels, out_height, out_width)
        z = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        chunk, chunks, blocks = _parts(z)
        moments = _numbers(z, chunks, 2, channels)
        ctx.sizes = (height, width, channels, out_height, out_width)
        ctx.steps, ctx.side, ctx.activate = (stride, dilation), side, activate
        _code().depthwise[(chunks, blocks)](
            x,
            weight,
            z,
            moments,
            *ctx.sizes,
            _pixels(z),
            *ctx.steps,
            chunk,
            STEPS=chunk // TAPS,
            SIDE=side,
            PIXELS=TAPS,
            CHANNELS=LANES,
        )
        return _normalised(ctx, norm, z, moments, activate, x, weight, z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, z, factors = ctx.saved_tensors
        slopes, norm_weight, norm_bias = _norm_slopes(gradient, z, factors, activate=ctx.activate)
        found = weight_found = None
        chunk, chunks, blocks = _parts(z)
        tile = {"SIDE": ctx.side, "PIXELS": TAPS, "CHANNELS": LANES}
        if ctx.needs_input_grad[3]:
            found = torch.empty_like(x)
            tiles = -(-_pixels(x) // TAPS)
            _code().input_slopes[(tiles, blocks)](
                slopes, weight, found, *ctx.sizes, _pixels(x), *ctx.steps, **tile
            )
        if ctx.needs_input_grad[4]:
            sums = _numbers(z, chunks, weight.numel())
            _code().weight_slopes[(chunks, blocks, ctx.side**2)](
                x,
                slopes,
                sums,
                *ctx.sizes,
                _pixels(z),
                *ctx.steps,
                chunk,
                STEPS=chunk // TAPS,
                **tile,
            )
            weight_found = _joined(sums).reshape(weight.shape)
        return None, None, None, found, weight_found, norm_weight, norm_bias


def _normalised(
    ctx: Any,
    norm: nn.BatchNorm2d,
    z: torch.Tensor,
    moments: torch.Tensor,
    activate: bool,
    *kept: torch.Tensor,
) -> torch.Tensor:
    """Normalises z by its moments; keeps tensors for the backward pass, then the factors."""
    channels, pixels = z.shape[1], _pixels(z)
    chunk, chunks, blocks = _parts(z)
    factors = _numbers(z, 4, channels)
    tracks = norm.running_mean is not None and norm.track_running_stats
    if tracks and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    code = _code()
    code.coefficients[(blocks,)](
        moments,
        norm.weight,
        norm.bias,
        norm.running_mean if tracks else moments,
        norm.running_var if tracks else moments,
        factors,
        channels,
        pixels,
        chunk,
        chunks,
        norm.eps,
        norm.momentum or 0.0,
        STEPS=-(-chunks // JOINED),
        TRACKS=tracks,
        CHUNKS=JOINED,
        CHANNELS=LANES,
    )
    y = torch.empty_like(z)
    code.normalise[(-(-pixels // ROWS), blocks)](
        z, factors, y, channels, pixels, ACTIVATES=activate, PIXELS=ROWS, CHANNELS=LANES
    )
    ctx.save_for_backward(*kept, factors)
    return y


def _norm_slopes(
    gradient: torch.Tensor, z: torch.Tensor, factors: torch.Tensor, *, activate: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of z, and of the weight and bias of its normalisation."""
    gradient, channels, pixels = _laid_out(gradient), z.shape[1], _pixels(z)
    chunk, chunks, blocks = _parts(z)
    sums = _numbers(z, chunks, 2, channels)
    tile = {"ACTIVATES": activate, "PIXELS": ROWS, "CHANNELS": LANES}
    code = _code()
    code.sum_slopes[(chunks, blocks)](
        gradient, z, factors, sums, channels, pixels, chunk, STEPS=chunk // ROWS, **tile
    )
    joined = _joined(sums)
    slopes = torch.empty_like(z)
    code.norm_slopes[(-(-pixels // ROWS), blocks)](
        gradient, z, factors, joined, slopes, channels, pixels, **tile
    )
    bias, weight = joined
    return slopes, weight, bias


def _joined(sums: torch.Tensor) -> torch.Tensor:
    """Sums [chunks, ...] added up over the chunks, always in one order."""
    chunks, width = len(sums), sums[0].numel()
    found = _numbers(sums, *sums.shape[1:])
    _code().join[(-(-width // LANES),)](
        sums, found, width, chunks, STEPS=-(-chunks // JOINED), CHUNKS=JOINED, COLUMNS=LANES
    )
    return found


def _parts(z: torch.Tensor) -> tuple[int, int, int]:
    """Pixels of a chunk, chunks, and blocks of channels."""
    pixels = _pixels(z)
    chunk = ROWS * max(1, -(-pixels // (ROWS * CHUNKS)))
    return chunk, -(-pixels // chunk), -(-z.shape[1] // LANES)


def _pixels(z: torch.Tensor) -> int:
    return z.shape[0] * z.shape[2] * z.shape[3]


def _numbers(like: torch.Tensor, *size: int) -> torch.Tensor:
    return torch.empty(size, dtype=torch.float32, device=like.device)


def _laid_out(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)
