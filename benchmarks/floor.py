"""How close training a cell comes to what this machine's memory and arithmetic allow.

    python benchmarks/floor.py --out FILE.json

The memory floor is the least that crosses the memory bus where no tensor stays in a cache and batch
normalisation needs its whole input before it gives its first output, over the bandwidth of a copy.
The arithmetic floor is three times the forward pass over the speed of a large matrix product. Both
are measured here, in turn with the cells: processor time of one thread, medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from performance import keep, training_pass

from autospace.bench.workload import CANDIDATES, FULL, REFERENCE
from autospace.compute.machine import keep_freed_memory
from autospace.networks.cells import CellModule
from autospace.networks.fused import described
from autospace.networks.network import placed
from autospace.spaces import Cell, LayerShape
from autospace.spaces.cells.family import cell_cost

NAMES: Final = ("reference", "5x5", "3x3, 7x7", "dilated, se", "pools, 5x5, gate")
REPEATS: Final = 7
COPIED: Final = 1 << 26
"""Numbers: 256 MiB, more than any cache."""
SQUARE: Final = 1536
FLOAT: Final = 4


def passes(cell: Cell, shape: LayerShape) -> float:
    """Numbers read and written per image by the forward and backward pass of a cell, at least.

    Whoever reads the output of a convolution normalises it, and on the way back sums what the norm
    needs. Where edges meet, their sum is written, and every norm reads its slope once more; so does
    the last one, whose output is the cell's.
    """
    inner = cell.expansion * shape.in_channels
    entering, leaving = shape.resolution**2, shape.out_resolution**2
    narrow, wide = shape.in_channels * entering, inner * entering
    last = cell.nodes - 1
    total = unit(narrow, wide) if cell.expansion > 1 else 0.0
    for target in sorted({edge.target for edge in cell.edges}):
        out = inner * (leaving if target == last else entering)
        edges = [edge for edge in cell.edges if edge.target == target]
        convolutions = [edge for edge in edges if edge.operation.startswith("dw")]
        total += len(convolutions) * unit(wide, out)
        pools = [edge for edge in edges if "pool" in edge.operation]
        total += len(pools) * 2 * (wide + out)
        if len(edges) > 1:
            total += (1 + len(edges) + 2 * len(convolutions)) * out
        if cell.mix[target - 1] != "sum":
            total += 6 * out
    written = shape.out_channels * leaving
    return total + unit(inner * leaving, written) + 4 * written


def unit(read: float, written: float) -> float:
    """Of a convolution: it reads and writes; back, slope, output and both ends once more."""
    return 3 * read + 3 * written


def seconds(work: Callable[[], object]) -> float:
    """The median of some repeats after a first one."""
    found = []
    for _ in range(REPEATS + 1):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return statistics.median(found[1:])


def machine() -> dict[str, float]:
    """Bytes per second of a copy, and operations per second of a matrix product."""
    source, target = torch.ones(COPIED), torch.zeros(COPIED)
    left, right = torch.randn(2, SQUARE, SQUARE)
    copy, product = seconds(lambda: target.copy_(source)), seconds(lambda: left @ right)
    return {"gb_per_s": 2e-9 * FLOAT * COPIED / copy, "gflop_per_s": 2e-9 * SQUARE**3 / product}


def cells() -> list[dict[str, Any]]:
    """Every cell of the bench on a layer of each stage."""
    rows = []
    for stage in range(len(FULL.channels)):
        shape = FULL.skeleton.shapes[FULL.depth * stage + 1]
        for name, cell in zip(NAMES, (REFERENCE, *CANDIDATES), strict=True):
            module = placed(CellModule(cell, shape), "cpu")
            sizes = (FULL.batch, shape.in_channels, shape.resolution)
            limit, took = machine(), seconds(training_pass(module, sizes))
            moved = 1e-9 * FLOAT * FULL.batch * passes(cell.pruned(), shape)
            computed = 6e-9 * FULL.batch * cell_cost(cell, shape).madds
            floors = moved / limit["gb_per_s"], computed / limit["gflop_per_s"]
            rows.append(
                {
                    "cell": name,
                    "layer": f"{shape.in_channels} x {shape.resolution} x {shape.resolution}",
                    "ms": round(1e3 * took, 2),
                    "gb_per_s": round(moved / took, 2),
                    "gflop_per_s": round(computed / took, 2),
                    "memory_share": round(floors[0] / took, 3),
                    "arithmetic_share": round(floors[1] / took, 3),
                    "limits": {key: round(value, 1) for key, value in limit.items()},
                }
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    keep(arguments.out, "floor", {"rows": cells(), "kernels": described()})


if __name__ == "__main__":
    main()
