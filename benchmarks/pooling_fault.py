"""Is what a GPU gave the fault of PyTorch in average pooling? Imitates the fault on the CPU.

    python benchmarks/pooling_fault.py [--gpu benchmarks/results/gpu.json]

On a GPU, PyTorch 2.11 computes the gradient of a padded average pooling with channels last as if
the window were moved by the padding (pytorch/pytorch#188344). Printed is, for each scorer, how far
fitness on the CPU is from that on the GPU, as a share of the largest: as it is, and with the fault.
The figures of the GPU have to be of a version that did not go around the fault yet.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import gpu_steps
import torch
from torch.nn import functional as F

from autospace.compute.execution import PLAIN
from autospace.networks.operations import AveragePool

SCORERS = ("calibrated", "probe", "local", "in-place", "distilled")


def windows(side: int, pooled: int, kernel: int, stride: int) -> torch.Tensor:
    """Which windows reach which pixel, [side, pooled], by the formula without the padding."""
    found = torch.zeros(side, pooled)
    for place in range(side):
        first = 0 if place < kernel else (place - kernel) // stride + 1
        found[place, first : min(place // stride + 1, pooled)] = 1
    return found


class Faulty(torch.autograd.Function):
    """Average pooling, with the gradient as it is computed there."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, kernel: int, stride: int, edge: int) -> torch.Tensor:
        ctx.shape, ctx.given = x.shape, (kernel, stride, edge)
        return F.avg_pool2d(x, kernel, stride, edge, count_include_pad=False)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        kernel, stride, edge = ctx.given
        ones = torch.ones(1, 1, *ctx.shape[2:])
        counts = kernel**2 * F.avg_pool2d(ones, kernel, stride, edge)
        rows, columns = (
            windows(side, pooled, kernel, stride)
            for side, pooled in zip(ctx.shape[2:], gradient.shape[2:], strict=True)
        )
        found = torch.einsum("hp,ncpq,wq->nchw", rows, gradient / counts, columns)
        return found, None, None, None


def faulty(pool: AveragePool, x: torch.Tensor) -> torch.Tensor:
    """Stands for the forward pass of a pooling."""
    return Faulty.apply(x, pool.kernel_size, pool.stride, pool.edge)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).parent / "results" / "gpu.json"
    parser.add_argument("--gpu", type=Path, default=default, metavar="FILE")
    found = json.loads(parser.parse_args().gpu.read_text("utf-8"))["correctness"]
    torch.set_num_threads(1)
    own, rows = AveragePool.forward, {}
    for name, forward in (("as it is", own), ("with the fault", faulty)):
        AveragePool.forward = forward
        rows[name] = [gpu_steps._fitness(gpu_steps.FULL, each, PLAIN) for each in SCORERS]
    for place, scorer in enumerate(SCORERS):
        gpu = found[scorer]["fitness"]
        moved = {name: gpu_steps._furthest(gpu, row[place]) for name, row in rows.items()}
        print(scorer, *(f"{name}: {value:.6f}" for name, value in moved.items()), sep=", ")


if __name__ == "__main__":
    main()
