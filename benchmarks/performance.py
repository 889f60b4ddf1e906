"""What the compiled kernels spare: operation by operation, cell by cell, in K, in a whole step.

    python benchmarks/performance.py operations attention cells candidates vectors --out FILE.json
    python benchmarks/performance.py large --out FILE.json

Processor time of one thread; both ways in turn in one process, the least of the repeats each. Every
part is written when it is done, beside those that are there. `large` takes ten minutes of one core,
the others together two.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autospace.bench.speed import FULL_STEP_REPEATS, METRICS, generation_ratio, search_step_ratio
from autospace.bench.workload import CANDIDATES, FULL, MIDDLE, Size, make_setting
from autospace.compute.machine import keep_freed_memory, this_machine, versions
from autospace.networks.cells import CellModule
from autospace.networks.fused import described
from autospace.networks.kernels.native import VARIABLE
from autospace.networks.network import placed
from autospace.networks.operations import Gate, SqueezeExcite, build_operation
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces import DEFAULT_OPERATIONS, Cell, LayerShape, mbconv
from autospace.spaces.cells.cell import EXPANSIONS

WAYS = {"kernels": "1", "pytorch": "0"}
WIDTHS = {"avx512": "avx512", "avx2": "avx2"}
SHAPES = ((64, 48, 32), (64, 96, 16), (64, 192, 8))
CELL_SHAPES = (LayerShape("early", 16, 16, 1, 16), LayerShape("late", 32, 32, 1, 8))
WIDE = ((16, 32), (24, 32), (40, 16), (80, 8))
CELLS = 8
REPEATS = 4
CANDIDATE = CANDIDATES[0]
COUNTS = (1, 2, 4, 8)
METHODS = ("probe", "local", "mixture")
K_SIZE = Size((16, 32), 2, 16, 1, 32)


def both(
    work: Callable[[], object], repeats: int = REPEATS, ways: Mapping[str, str] = WAYS
) -> dict[str, float]:
    """Least milliseconds of each way; the first round only warms up."""
    seen: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats + 1):
        for way, value in ways.items():
            os.environ[VARIABLE] = value
            started = time.process_time()
            work()
            seen[way].append(time.process_time() - started)
    del os.environ[VARIABLE]
    return {way: round(1e3 * min(times[1:]), 3) for way, times in seen.items()}


def training_pass(module: nn.Module, shape: tuple[int, int, int]) -> Callable[[], None]:
    images, channels, side = shape
    x = torch.randn(images, channels, side, side).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    module.train()

    def work() -> None:
        output = module(x)
        output.backward(torch.ones_like(output))

    return work


def operations() -> list[dict[str, object]]:
    rows = []
    for name in (each for each in DEFAULT_OPERATIONS if each.startswith("dw")):
        for shape in SHAPES:
            module = placed(build_operation(name, shape[1], 1), "cpu")
            rows.append({"operation": name, "shape": shape, **both(training_pass(module, shape))})
            print(rows[-1], flush=True)
    return rows


def attention() -> list[dict[str, object]]:
    rows = []
    for shape in SHAPES:
        channels = shape[1]
        for module in (Gate(), SqueezeExcite(channels, channels // 4)):
            times = both(training_pass(placed(module, "cpu"), shape))
            rows.append({"mix": type(module).__name__, "shape": shape, **times})
            print(rows[-1], flush=True)
    return rows


def random_cells() -> list[dict[str, object]]:
    rng, rows = random.Random(0), []
    for index in range(CELLS):
        edges = [
            (source, target, rng.choice(DEFAULT_OPERATIONS))
            for target in range(1, 4)
            for source in range(target)
        ]
        cell = Cell.from_edges(
            [*edges[:-3], (0, 3, "dw_conv_3x3"), *edges[-2:]], expansion=rng.choice(EXPANSIONS)
        )
        for shape in CELL_SHAPES:
            module = placed(CellModule(cell, shape), "cpu")
            sizes = (64, shape.in_channels, shape.resolution)
            rows.append({"cell": index, "layer": shape.name, **both(training_pass(module, sizes))})
            print(rows[-1], flush=True)
    return rows


def in_candidates(method: str) -> list[dict[str, object]]:
    """A scorer's round, after a first one, with ever more candidates of one cost per layer."""
    rows = []
    for count in COUNTS:
        size = K_SIZE
        options = ScoringConfig(method=method, steps=4, validation_batches=1, batch=size.batch)
        scorer = make_scorer(make_setting(size, options, torch.device("cpu")))
        cells = [[CANDIDATE] * count for _ in size.skeleton.layers]
        times = both(partial(scorer.score, cells, 0), 2)
        rows.append({"method": method, "k": count, **times})
        print(rows[-1], flush=True)
    return rows


def large() -> list[dict[str, object]]:
    """The hot loop against the plain path, and by how many MB a process grows that runs it."""
    device, rows = torch.device("cpu"), []
    steps = search_step_ratio(FULL, FULL_STEP_REPEATS, device, print)
    for entry in (steps, generation_ratio(MIDDLE, REPEATS, device, print)):
        measured = {name: getattr(entry, name) for name in ("metric", "value", "spread", "n")}
        rows.append(measured)
    for side in ("plain", *METRICS):
        command = [sys.executable, "-m", "autospace.bench.speed", side, "full", "cpu"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append({"side": side, "memory_mb": int(done.stdout) // 2**20})
        print(rows[-1], flush=True)
    return rows


def vectors() -> list[dict[str, object]]:
    """Cells of growing width by the kernels for AVX-512, and by those for AVX2."""
    rows = []
    for shape in (LayerShape("w", c, c, 1, side) for c, side in WIDE):
        for cell in (mbconv(3, 3), mbconv(5, 6), mbconv(7, 6)):
            module = placed(CellModule(cell, shape), "cpu")
            sizes = (64, shape.in_channels, shape.resolution)
            kernel = cell.edges[0].operation
            times = both(training_pass(module, sizes), 2 * REPEATS, WIDTHS)
            rows.append({"channels": sizes[1], "side": sizes[2], "cell": kernel, **times})
            print(rows[-1], flush=True)
    return rows


PARTS = {
    "operations": operations,
    "attention": attention,
    "cells": random_cells,
    "candidates": lambda: [row for name in METHODS for row in in_candidates(name)],
    "large": large,
    "vectors": vectors,
}


def main() -> None:
    measure({name: partial(_rows, part) for name, part in PARTS.items()}, __doc__)


def _rows(part: Callable[[], list[dict[str, object]]]) -> dict[str, Any]:
    return {"rows": part(), "kernels": described()}


def measure(parts: Mapping[str, Callable[[], dict[str, Any]]], description: str | None) -> None:
    """Measures the parts that the command line names, each kept when it is done."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("parts", nargs="+", choices=list(parts))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every process does that trains
    for name in arguments.parts:
        torch.manual_seed(0)
        keep(arguments.out, name, parts[name]())


def keep(path: Path, name: str, measured: dict[str, Any]) -> None:
    """Writes a part, and on what it was measured, into a file that keeps its other parts."""
    found = json.loads(path.read_text()) if path.exists() else {}
    found[name] = measured | {
        "machine": this_machine(torch.device("cpu")).model_dump(),
        "versions": versions(),
        "load": [round(value, 1) for value in os.getloadavg()],
    }
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
