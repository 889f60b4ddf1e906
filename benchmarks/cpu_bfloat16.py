"""Measures bfloat16 on a CPU: convolutions of a cell, and whole scores, against float32.

    python benchmarks/cpu_bfloat16.py --out benchmarks/results/cpu_bfloat16.json

One thread, processor seconds, both precisions in turn, medians. Convolutions are PyTorch's, forward
only. Scores in float32 use the compiled kernels, those in bfloat16 PyTorch's operations under
autocast: there are no kernels of ours for bfloat16. Images are random, so scores mean nothing; how
far both precisions agree does.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional as F

from autospace.compute.execution import Execution
from autospace.compute.machine import keep_freed_memory
from autospace.data.batches import Batches, Normaliser
from autospace.data.examples import Examples
from autospace.evolution.reference import new_reference
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces import load, mbconv

CPU: Final = torch.device("cpu")
PRECISIONS: Final = (torch.float32, torch.bfloat16)
WIDTHS: Final = ((16, 96, 32), (32, 192, 16), (64, 384, 8))
"""Channels, expanded channels, and pixels a side of the three stages of `cifar`."""
ROUNDS: Final = 5


def seconds(work: Callable[[], Any], calls: int) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - start) / calls


def in_turn(works: list[Callable[[], Any]], calls: int) -> list[float]:
    """Medians over rounds that measure every work once, after one call of each."""
    for work in works:
        work()
    rounds = [[seconds(work, calls) for work in works] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def convolution(channels: int, out: int, side: int, kernel: int) -> list[Callable[[], Any]]:
    """A convolution of 64 images in each precision; depthwise if the kernel is no 1x1."""
    groups = channels if kernel > 1 else 1
    works: list[Callable[[], Any]] = []
    for precision in PRECISIONS:
        x = torch.randn(64, channels, side, side, dtype=precision)
        weight = torch.randn(out, channels // groups, kernel, kernel, dtype=precision)
        x, weight = (each.to(memory_format=torch.channels_last) for each in (x, weight))
        padding = kernel // 2
        works.append(lambda x=x, w=weight, p=padding: F.conv2d(x, w, padding=p, groups=groups))
    return works


def scorers(side: int) -> list[Callable[[], list[list[float]]]]:
    """Scores by `probe` of two cells in each of twelve layers, in each precision."""
    skeleton = replace(load("mbconv@cifar").skeleton, resolution=side)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (512, 3, side, side), generator=generator, dtype=torch.uint8)
    examples = Examples(images, torch.randint(0, 10, (512,), generator=generator))
    norm = Normaliser.from_examples(examples)
    training, validation = (Batches(examples, size, 0, CPU, norm) for size in (64, 128))
    reference = freeze(new_reference(skeleton, [mbconv(3, 3)] * len(skeleton.shapes), 0, CPU))
    options = ScoringConfig(method="probe", steps=6, validation_batches=2)
    rows = [[mbconv(3, 6), mbconv(5, 3)]] * len(skeleton.shapes)
    context = ScoringContext(reference, training, validation, options, 0)
    found = [
        make_scorer(replace(context, execution=Execution(CPU, precision)))
        for precision in PRECISIONS
    ]
    return [lambda scorer=scorer: scorer.score(rows, 0) for scorer in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    flags = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []
    report: dict[str, Any] = {
        "torch": torch.__version__,
        "instructions": [name for name in ("avx512_bf16", "amx_bf16") if name in flags],
        "convolutions": [],
        "scores": [],
    }
    with torch.no_grad():
        for channels, wide, side in WIDTHS:
            for name, works in (
                ("expand", convolution(channels, wide, side, 1)),
                ("depthwise 3x3", convolution(wide, wide, side, 3)),
                ("project", convolution(wide, channels, side, 1)),
            ):
                plain, narrow = in_turn(works, 10)
                row = {"name": name, "channels": channels, "side": side, "ratio": plain / narrow}
                report["convolutions"].append(row)
                print(row, flush=True)
    for side in (16, 32):
        works = scorers(side)
        first, second = (np.concatenate([np.array(row) for row in work()]) for work in works)
        plain, narrow = in_turn(works, 1)
        row = {
            "method": "probe",
            "side": side,
            "ratio": plain / narrow,
            "correlation": float(np.corrcoef(first, second)[0, 1]),
        }
        report["scores"].append(row)
        print(row, flush=True)
    arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
