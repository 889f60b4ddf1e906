"""What a round takes with one process and with several, and what recomputing costs.

    python benchmarks/processes.py processes recompute --out FILE.json

`processes` is wall clock, so it needs as many idle cores as there are processes; both ways in turn,
the first round of each is not counted. `recompute` is processor time of one thread. Ten minutes of
two cores.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import torch
from performance import measure

from autospace.bench.workload import MIDDLE, Size, make_setting, spread
from autospace.compute.executor import open_pool
from autospace.compute.machine import cores
from autospace.compute.pool import POOL
from autospace.data.batches import Batches, Normaliser
from autospace.data.examples import Examples
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig

CPU: Final = torch.device("cpu")
ROUNDS: Final = 3
STEPS: Final = 10
SIZES: Final = {
    "demo": Size((16, 32), 2, 8, 4, 32),
    "cifar-small": Size((16, 32, 64), 4, 16, 4, 64),
    "32x32": Size((16, 32, 64), 4, 32, 2, 64),
}
METHODS: Final = ("gated", "mixture")
RECOMPUTED: Final = replace(MIDDLE, candidates=2)


def in_turn(ways: dict[str, Callable[[], object]], clock: Callable[[], float]) -> dict[str, Any]:
    """Median seconds of each way, and the ratio of the first to the second with its deviation."""
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):
        for name, work in ways.items():
            started = clock()
            work()
            seen[name].append(clock() - started)
    first, second = (each[1:] for each in seen.values())
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    seconds = {name: round(statistics.median(each[1:]), 3) for name, each in seen.items()}
    return {
        "seconds": seconds,
        "ratio": round(statistics.median(ratios), 3),
        "spread": round(spread(ratios), 3),
        "rounds": ROUNDS,
    }


def batches(size: Size) -> Batches:
    """Noise; workers take batches of images, not those that are made up on the way."""
    generator = torch.Generator().manual_seed(0)
    shape = (4 * size.batch, 3, size.resolution, size.resolution)
    images = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (4 * size.batch,), generator=generator)
    norm = Normaliser((127.5,) * 3, (74.0,) * 3)
    return Batches(Examples(images, labels), size.batch, 0, CPU, norm)


def processes() -> dict[str, Any]:
    """A later round of the default scorer, in this process and in one for each core."""
    rows = []
    for name, size in SIZES.items():
        options = ScoringConfig(steps=STEPS, batch=size.batch)
        images = batches(size)
        setting = replace(make_setting(size, options, CPU), training=images, validation=images)
        with (
            TemporaryDirectory() as folder,
            open_pool(cores(), Path(folder) / POOL, ahead=True) as several,
        ):
            here, beside = make_scorer(setting), make_scorer(setting, several)
            ways: dict[str, Callable[[], object]] = {
                "one": partial(here.score, size.cells, 0),
                "several": partial(beside.score, size.cells, 0),
            }
            rows.append({"size": name, **in_turn(ways, time.perf_counter)})
        print(rows[-1], flush=True)
    return {"rows": rows, "processes": cores()}


def recompute() -> dict[str, Any]:
    """A later round of the scorers that train all candidates at once, with and without."""
    rows = []
    for method in METHODS:
        options = ScoringConfig(
            method=method, steps=2, validation_batches=1, batch=RECOMPUTED.batch
        )
        scorers = {
            name: make_scorer(make_setting(RECOMPUTED, each, CPU))
            for name, each in (
                ("with", options.model_copy(update={"recompute": True})),
                ("without", options),
            )
        }
        ways: dict[str, Callable[[], object]] = {
            name: partial(scorer.score, RECOMPUTED.cells, 0) for name, scorer in scorers.items()
        }
        rows.append({"method": method, **in_turn(ways, time.process_time)})
        print(rows[-1], flush=True)
    return {"rows": rows}


if __name__ == "__main__":
    measure({"processes": processes, "recompute": recompute}, __doc__)
