"""What the card itself can do: memory, matrices, launches, and depthwise convolutions."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from autospace.bench.workload import clock_of

ROUNDS = 5
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LAYOUTS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
PASSES = {
    "forward": None,
    "grad_input": [True, False, False],
    "grad_weight": [False, True, False],
}


@dataclass(frozen=True)
class Amount:
    """How much a measurement does; `shapes` are channels and side of depthwise convolutions."""

    calls: int
    copied: int
    side: int
    batch: int
    shapes: tuple[tuple[int, int], ...]


FULL = Amount(20, 1 << 29, 8192, 128, ((96, 32), (192, 16), (384, 8)))
SMOKE = Amount(2, 1 << 16, 64, 2, ((8, 8),))


def milliseconds(work: Callable[[], object], calls: int, device: torch.device) -> float:
    """Median over rounds of the time of one call among many; the first round only warms up."""
    clock = clock_of(device)
    rounds = []
    for _ in range(ROUNDS + 1):
        started = clock()
        for _ in range(calls):
            work()
        rounds.append((clock() - started) / calls)
    return 1000 * statistics.median(rounds[1:])


def card(amount: Amount, device: torch.device) -> dict[str, float]:
    """Bandwidth of a copy (read and written), matrix products, and the cost of a launch."""
    source = torch.zeros(amount.copied // 4, device=device)
    target = torch.empty_like(source)
    copied = milliseconds(lambda: target.copy_(source), amount.calls, device)
    found = {"copy_gb_per_s": 2 * amount.copied / copied / 1e6}
    for name, dtype in DTYPES.items():
        a, b = torch.randn(2, amount.side, amount.side, device=device).to(dtype)
        took = milliseconds(lambda a=a, b=b: a @ b, max(2, amount.calls // 5), device)
        found[f"gemm_{name}_tflop_per_s"] = 2 * amount.side**3 / took / 1e9
    one = torch.zeros(1, device=device)
    found["launch_us"] = 1000 * milliseconds(lambda: one.add_(1), 20 * amount.calls, device)
    return found


def depthwise(amount: Amount, device: torch.device) -> list[dict[str, Any]]:
    """Milliseconds of each pass by shape, kernel, layout and numbers; bytes are those it must move.

    Which layout is faster for which kernel, and whether a kernel of one's own could pay, is what
    these rows are for.
    """
    return [
        {
            "channels": channels,
            "side": side,
            "kernel": kernel,
            "layout": layout,
            "dtype": dtype,
            **_passes((amount.batch, channels, side, side), kernel, layout, dtype, amount, device),
        }
        for channels, side in amount.shapes
        for kernel in (3, 5, 7)
        for layout in LAYOUTS
        for dtype in DTYPES
    ]


def _passes(
    shape: tuple[int, ...],
    kernel: int,
    layout: str,
    dtype: str,
    amount: Amount,
    device: torch.device,
) -> dict[str, float]:
    channels = shape[1]
    x, g = (
        torch.randn(shape, device=device).to(DTYPES[dtype]).to(memory_format=LAYOUTS[layout])
        for _ in range(2)
    )
    weight = torch.randn(channels, 1, kernel, kernel, device=device).to(DTYPES[dtype])
    rest = ([1, 1], [kernel // 2] * 2, [1, 1], False, [0, 0], channels)

    def run(wanted: list[bool] | None) -> object:
        if wanted is None:
            return torch.ops.aten.convolution(x, weight, None, *rest)
        return torch.ops.aten.convolution_backward(g, x, weight, None, *rest, wanted)

    found = {}
    for name, wanted in PASSES.items():
        took = milliseconds(lambda wanted=wanted: run(wanted), amount.calls, device)
        found[f"{name}_ms"] = took
        found[f"{name}_gb_per_s"] = 2 * x.numel() * x.element_size() / took / 1e6
    return found
