"""How well the sum over a latency table predicts whole networks, on several skeletons.

    python benchmarks/latency.py --out benchmarks/results/latency.json

For every skeleton: the table, a correction fitted to half of the random networks, and the error and
rank correlation on the other half, with and without it. Beside it, the same with the cells of a
network timed as wholes instead of part by part. About four minutes on one core.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from scipy.stats import spearmanr

from autospace.compute.machine import this_machine, versions
from autospace.latency.parts import Part, cell_parts, fixed_parts
from autospace.latency.profile import TimedNetwork, checked, fitted, of_skeleton
from autospace.latency.table import Correction
from autospace.latency.timing import LatencyBench, Timed, largest_first, stopwatch_of, timed
from autospace.networks.network import Network
from autospace.seeds import stream
from autospace.spaces import Cell, Skeleton, load_skeleton

NETWORKS = 40
CASES = (("digits", 1), ("cifar", 1), ("digits", 64))
PASSES = 32
DEVICE = torch.device("cpu")


class Case:
    """Parts, random networks and their cells on one skeleton, all timed together."""

    def __init__(self, skeleton: Skeleton, batch: int, rng: random.Random) -> None:
        self.skeleton = skeleton
        subject = of_skeleton(skeleton, rng)
        self.parts = largest_first(subject.parts)
        self.architectures = [list(subject.draw()) for _ in range(NETWORKS)]
        bench = LatencyBench(DEVICE, torch.float32, batch)
        networks = [Network(skeleton, cells) for cells in self.architectures]
        work = [*map(bench.part, self.parts), *map(bench.network, networks)]
        for network in networks:
            for shape, cell in network.stages():
                work.append(bench.module(cell, shape.in_channels, shape.resolution))
        times = timed(work, stopwatch_of(DEVICE, 1), PASSES)
        self.found = dict(zip(self.parts, times, strict=False))
        rest = times[len(self.parts) :]
        self.networks, self.cells = rest[:NETWORKS], rest[NETWORKS:]

    def by_parts(self) -> list[TimedNetwork]:
        pairs = zip(self.architectures, self.networks, strict=True)
        return [_sample(self._parts_of(cells), self.found, whole) for cells, whole in pairs]

    def by_cells(self) -> list[TimedNetwork]:
        """Cells as wholes; stem, head and shortcuts by their parts."""
        layers = len(self.skeleton.layers)
        samples = []
        for index, whole in enumerate(self.networks):
            own = self.cells[index * layers : (index + 1) * layers]
            others = list(fixed_parts(self.skeleton))
            for shape in self.skeleton.shapes:
                others.extend(cell_parts(Cell.from_edges([], expansion=1), shape))
            sample = _sample(others, self.found, whole)
            total = sample.parts_ms + sum(each.mean_ms for each in own)
            samples.append(TimedNetwork(total, sample.parts + layers, whole.mean_ms))
        return samples

    def _parts_of(self, cells: Sequence[Cell]) -> list[Part]:
        parts = list(fixed_parts(self.skeleton))
        for cell, shape in zip(cells, self.skeleton.shapes, strict=True):
            parts.extend(cell_parts(cell, shape))
        return parts


def _sample(parts: Sequence[Part], found: dict[Part, Timed], whole: Timed) -> TimedNetwork:
    return TimedNetwork(sum(found[part].mean_ms for part in parts), len(parts), whole.mean_ms)


def evaluated(samples: Sequence[TimedNetwork], correction: Correction) -> dict[str, float]:
    """Errors and rank correlations on the networks that took no part in the fit."""
    check = checked(samples, correction)
    predicted = [sample.predicted_ms(correction) for sample in samples]
    measured = [sample.measured_ms for sample in samples]
    plain = {**check.model_dump(), "spearman": float(spearmanr(predicted, measured)[0])}
    return {name: round(value, 4) for name, value in plain.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    machine = this_machine(DEVICE).model_dump()
    cases = []
    for name, batch in CASES:
        started = time.process_time()
        case = Case(load_skeleton(name), batch, stream(0, "latency", name, batch))
        half = NETWORKS // 2
        row = {"skeleton": name, "batch": batch, "table_rows": len(case.parts)}
        times = [whole.mean_ms for whole in case.networks[half:]]
        row["network_ms"] = {"min": round(min(times), 4), "max": round(max(times), 4)}
        for way, samples in (("parts", case.by_parts()), ("cells", case.by_cells())):
            correction = fitted(samples[:half])
            row[way] = {
                "sum": evaluated(samples[half:], Correction()),
                "corrected": evaluated(samples[half:], correction),
                "correction": correction.model_dump(),
            }
        row["seconds"] = round(time.process_time() - started, 1)
        cases.append(row)
        print(json.dumps(row, indent=1), flush=True)
    found = {"machine": machine, "versions": versions(), "passes": PASSES, "cases": cases}
    arguments.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
