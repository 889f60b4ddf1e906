"""What a generation costs as things grow, what a run spends outside the scorer, and how it starts.

    python benchmarks/generations.py growth outside start-up --out FILE.json

Processor time of one thread. Sizes grow one at a time from a small network; every measurement has a
process of its own, since one never gives back its peak of memory. Each part is written when it is
done, beside those that are there. Together they take a quarter of an hour of one core.
"""

import contextlib
import math
import multiprocessing
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

import torch
from performance import CANDIDATE, measure

from autospace.bench.workload import Size, make_setting, spread
from autospace.compute.machine import peak_memory
from autospace.evolution import learn as run
from autospace.evolution.folder import RunFolder
from autospace.evolution.settings import make_config, preset
from autospace.progress import Silent
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig

BASE: Final = Size((16, 32), 2, 16, 2, 32)
METHODS: Final = ("probe", "local", "mixture")
POPULATIONS: Final = (8, 32, 128)
STARTS: Final = {
    "autospace --help": ["--help"],
    "autospace evolve --help": ["evolve", "--help"],
    "autospace show mbconv@cifar": ["show", "mbconv@cifar"],
}
START_REPEATS: Final = 9
CPU: Final = torch.device("cpu")


def grown() -> Iterator[tuple[str, int, Size]]:
    """What grows, to how much, and the size that this makes."""
    for factor in (1, 2, 4):
        depth = BASE.depth * factor
        yield "layers", depth * len(BASE.channels), replace(BASE, depth=depth)
    for k in (1, 2, 4, 8):
        yield "candidates", k, replace(BASE, candidates=k)
    for batch in (16, 32, 64, 128):
        yield "batch", batch, replace(BASE, batch=batch)
    for side in (8, 16, 32):
        yield "pixels", side * side, replace(BASE, resolution=side)


def generation(method: str, size: Size) -> dict[str, float]:
    """Seconds of a first round and of a second one, and the bytes by which the process grew."""
    torch.set_num_threads(1)
    before = peak_memory()
    options = ScoringConfig(method=method, steps=6, validation_batches=2, batch=size.batch)
    scorer = make_scorer(make_setting(size, options, CPU))
    cells = [[CANDIDATE] * size.candidates for _ in size.skeleton.layers]
    seconds = []
    for _ in range(3):
        started = time.process_time()
        scorer.score(cells, 0)
        seconds.append(round(time.process_time() - started, 4))
    grown_by = (peak_memory() - before) / 2**20
    return {"first": seconds[0], "later": min(seconds[1:]), "memory_mb": round(grown_by, 1)}


def growth() -> dict[str, Any]:
    """A round of every method at every size, and the exponents of power laws through them."""
    generation("probe", replace(BASE, depth=1, batch=4))  # Loads what is loaded on first use.
    rows = []
    for method in METHODS:
        for what, value, size in grown():
            with multiprocessing.get_context("fork").Pool(1) as pool:
                found = pool.apply(generation, (method, size))
            rows.append({"method": method, "grows": what, "to": value, **found})
            print(rows[-1], flush=True)
    exponents = [
        {"method": method, "grows": what}
        | {
            name: exponent([(r["to"], r[name]) for r in rows if same(r, method, what)])
            for name in ("first", "later", "memory_mb")
        }
        for method in METHODS
        for what in dict.fromkeys(row["grows"] for row in rows)
    ]
    return {"rows": rows, "exponents": exponents}


def same(row: dict[str, Any], method: str, what: str) -> bool:
    return bool(row["method"] == method and row["grows"] == what)


def exponent(points: list[tuple[float, float]]) -> float:
    """The slope of a line through the logarithms."""
    xs, ys = ([math.log(max(each, 1e-9)) for each in axis] for axis in zip(*points, strict=True))
    return round(statistics.linear_regression(xs, ys).slope, 2)


def outside() -> dict[str, Any]:
    """Where the time of the demo's generations goes, with ever larger populations."""
    rows = []
    for population in POPULATIONS:
        with TemporaryDirectory() as folder:
            rows.append(spent(Path(folder) / "run", population))
        print(rows[-1], flush=True)
    return {"rows": rows}


def spent(path: Path, population: int) -> dict[str, Any]:
    """Seconds of a short run by what took them; founders are scored before the clock starts."""
    config = make_config(preset("demo"))
    shortened = {"generations": 6, "population": population}
    evolution = config.evolution.model_copy(update=shortened)
    warm_up = config.warm_up.model_copy(update={"steps": 20})
    config = config.model_copy(update={"evolution": evolution, "warm_up": warm_up})
    folder, seconds = RunFolder.create(path, config), defaultdict(float)
    scorer_of = run.make_scorer

    def timed_scorer(*arguments: Any) -> Any:
        scorer = scorer_of(*arguments)
        scorer.score = timed(scorer.score, "scorer", seconds)
        return scorer

    with (
        patch.object(run, "make_scorer", timed_scorer),
        patch.object(RunFolder, "save_state", timed(RunFolder.save_state, "checkpoint", seconds)),
        patch.object(RunFolder, "append_event", timed(RunFolder.append_event, "events", seconds)),
        patch.object(run, "evolve", timed_rounds(run.evolve, seconds)),
        patch.object(run, "_evolved", timed(run._evolved, "whole", seconds)),
    ):
        run.learn(folder, Silent())
    seconds["variation"] = seconds.pop("rounds") - seconds["scorer"]
    share = 1 - seconds["scorer"] / seconds["whole"]
    return {"population": population, "share_outside": round(share, 4)} | {
        name: round(value, 4) for name, value in seconds.items()
    }


def timed(work: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def timing(*arguments: Any, **options: Any) -> Any:
        started = time.process_time()
        try:
            return work(*arguments, **options)
        finally:
            seconds[name] += time.process_time() - started

    return timing


def timed_rounds(evolve: Callable[..., Any], seconds: dict[str, float]) -> Callable[..., Any]:
    """The generator of rounds, with what it spends until each is handed over."""

    def rounds(*arguments: Any) -> Any:
        following = timed(evolve(*arguments).__next__, "rounds", seconds)
        with contextlib.suppress(StopIteration):
            while True:
                yield following()

    return rounds


def start_up() -> dict[str, Any]:
    """Wall and processor seconds of commands that train nothing, a process each."""
    rows = []
    for name, words in STARTS.items():
        wall, work = [], []
        for _ in range(START_REPEATS):
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [str(Path(sys.executable).with_name("autospace")), *words]
            subprocess.run(command, capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall.append(time.perf_counter() - started)
            work.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        rows.append(
            {
                "command": name,
                "wall": round(statistics.median(wall), 3),
                "cpu": round(statistics.median(work), 3),
                "spread": round(spread(wall), 3),
            }
        )
        print(rows[-1], flush=True)
    return {"rows": rows}


PARTS: Final = {"growth": growth, "outside": outside, "start-up": start_up}


if __name__ == "__main__":
    measure(PARTS, __doc__)
