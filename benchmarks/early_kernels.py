"""Trains two networks that differ in the kernels of their first four layers, for ever longer.

    python benchmarks/early_kernels.py --data folder:PATH --out FILE.jsonl

Among networks of `mbconv` on the skeleton `cifar` at 16x16 that were trained for 1,000 steps, each
kernel of 7 in the first four layers goes with 1.5 points more error at equal MAdds, and scorers
prefer such kernels. Is that so because the trainings are short? Errors are those of held-out
training images. A second call skips what the file already holds. Without --out, prints what
`results/early_kernels.jsonl` says.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

import numpy as np
import torch

from autospace.compute.machine import keep_freed_memory
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig
from autospace.evaluators.make import Setup, make_evaluator
from autospace.seeds import derived_seed
from autospace.spaces import Architecture, load

RESULTS: Final = Path(__file__).parent / "results"
EARLY: Final = 4
KERNELS: Final = (3, 7)
REST: Final = "mbconv_k5_e3"
RESOLUTION: Final = 16


def network(kernel: int) -> Architecture:
    """The network with this kernel in its early layers."""
    space = load(f"mbconv@{RESULTS / 'preset_limit' / 'limit-24.json'}")
    names = [layer.shape.name for layer in space.layers]
    ids = [f"mbconv_k{kernel}_e3"] * EARLY + [REST] * (len(names) - EARLY)
    return space.architecture(dict(zip(names, ids, strict=True)))


def measure(data: str, out: Path, every: list[int], seeds: list[int]) -> None:
    """Trains the networks and adds a line for each."""
    torch.set_num_threads(1)
    keep_freed_memory()
    lines = out.read_text().splitlines() if out.exists() else []
    done = {(each["steps"], each["seed"], each["kernel"]) for each in map(json.loads, lines)}
    config = DataConfig(source=data, resolution=RESOLUTION)
    for steps in every:
        evaluation = EvaluatorConfig(steps=steps, split="validation")
        setup = Setup(evaluation, config, (), 0, "cpu", out.parent)
        evaluator = make_evaluator(setup, setup.basis())
        for seed in seeds:
            for kernel in KERNELS:
                if (steps, seed, kernel) in done:
                    continue
                started = time.process_time()
                found = evaluator.evaluate(network(kernel), derived_seed(seed, "early kernels"))
                row: dict[str, float] = {"steps": steps, "seed": seed, "kernel": kernel}
                row |= {"error": round(1 - found.score, 8)}
                row |= {"seconds": round(time.process_time() - started, 1)}
                with out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 4000, 8000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments = parser.parse_args()
    if arguments.out:
        measure(arguments.data, arguments.out, arguments.steps, arguments.seeds)
        return
    errors: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
    for line in (RESULTS / "early_kernels.jsonl").read_text().splitlines():
        row = json.loads(line)
        errors[row["steps"], row["seed"]][row["kernel"]] = 100 * row["error"]
    pairs = defaultdict(list)
    for (steps, _), by_kernel in sorted(errors.items()):
        if len(by_kernel) == len(KERNELS):
            pairs[steps].append([by_kernel[kernel] for kernel in KERNELS])
    for steps, found in pairs.items():
        small, large = np.mean(found, axis=0)
        told = f"{small:.1f} % with kernels of 3, {large:.1f} % of 7"
        print(f"{steps:,} steps, {len(found)} seeds: {told}")


if __name__ == "__main__":
    main()
