"""Checks and measures everything that has to do with a GPU; see gpu.sh.

    benchmarks/gpu.sh [--only PART,...] [--data cifar10:PATH] [--out FILE] [--run FOLDER] [--smoke]

Every part is written as soon as it is there, and one that fails leaves its error in its place; the
exit code is 1 then, and also if a scorer is wrong. Last comes a whole `evolve` with the preset
`cifar` (images of noisy gratings where no --data is given: it takes as long). It stops when the
time is up, and the same command goes on with it; other parts do not begin once it is up. With
--only, the parts that are not named keep what the file says of them.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gpu_kernels
import gpu_steps
import torch

from autospace.compute.machine import this_machine, versions
from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import RoundEvent, learn
from autospace.evolution.settings import make_config, preset
from autospace.progress import Event, Silent
from autospace.runs.files import write_atomically

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / "runs"
TIME_LIMIT = 570.0
PARTS = (
    "correctness",
    "card",
    "search_step",
    "kernels",
    "profile",
    "rounds",
    "lanes",
    "training_images_per_s",
    "depthwise",
    "candidates",
    "evolve",
)
TARGETS = {"search_step_times_plain": 5.0, "evolve_seconds": 600.0}
GRATINGS = "synthetic:classes=10,train=50000,test=1000,channels=3"
SMOKE_RUN: dict[str, Any] = {
    "data": {"source": "synthetic:classes=3,train=120,test=20,channels=3", "resolution": 8},
    "cells": {"reference_expansion": 1},
    "evolution": {"generations": 1, "population": 4, "tournament": 2, "candidates": 2, "keep": 1},
    "scoring": {"steps": 1, "batch": 8, "validation_batches": 1},
    "warm_up": {"steps": 2, "batch": 8},
}


class TimeUpError(Exception):
    """The time that a run was given is over."""


class Watch(Silent):
    """Follows a run, and stops it when its time is up; a run can be resumed after that."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.rounds, self.remarks = 0, list[str]()

    def message(self, text: str) -> None:
        self.remarks.append(text)

    def tick(self, phase: str, done: int, total: int) -> None:
        del phase, done, total
        if time.monotonic() > self._deadline:
            raise TimeUpError

    def event(self, event: Event) -> None:
        if isinstance(event, RoundEvent):
            self.rounds = event.state.round
            print(f"evolve: round {self.rounds} of {event.plan.rounds}", file=sys.stderr)


def evolved(
    folder: Path, settings: dict[str, Any], device: str, limit: float, before: dict[str, Any]
) -> dict[str, Any]:
    """The preset end to end; a run whose time was up goes on, its seconds are those of all calls.

    `before` is what the earlier call returned.
    """
    config = make_config(preset("cifar"), {"data": {"source": GRATINGS}}, settings)
    resumed = (folder / "config.toml").is_file() and not RunFolder.open(folder).finished
    run = RunFolder.open(folder) if resumed else RunFolder.create(folder, config, force=True)
    watch, started = Watch(limit), time.monotonic()
    try:
        learn(run, watch, device)
    except TimeUpError:
        watch.message("the time was up; the same command goes on")
    seconds = time.monotonic() - started + (before.get("seconds", 0.0) if resumed else 0.0)
    return {"finished": run.finished, "seconds": seconds, "remarks": watch.remarks}


class Report:
    """What has been found so far, on disk after every part."""

    def __init__(
        self,
        path: Path,
        head: dict[str, Any],
        only: Sequence[str] = (),
        limit: float = TIME_LIMIT,
    ) -> None:
        self._path = path
        self.before: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        self.found: dict[str, Any] = {**head, "seconds": {}, "remarks": []}
        self.failed = False
        self._only, self._end = only, time.monotonic() + limit
        for name in (name for name in PARTS if only and name not in only and name in self.before):
            self.found[name] = self.before[name]
            self.found["seconds"][name] = self.before["seconds"][name]
        path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def seconds_left(self) -> float:
        """Until the time is up; below 0 after that."""
        return self._end - time.monotonic()

    def part(self, name: str, work: Callable[[], Any]) -> None:
        """Does a part, if it is wanted; what goes wrong is written down, and the others go on."""
        if self._only and name not in self._only:
            return
        if self.seconds_left < 0:
            self.found["remarks"].append(f"{name}: not measured, the time was up")
            return
        print(f"{name} ...", file=sys.stderr)
        started = time.monotonic()
        try:
            self.found[name] = work()
        except Exception as error:
            traceback.print_exc()
            self.found[name], self.failed = {"error": f"{type(error).__name__}: {error}"}, True
        self.found["seconds"][name] = time.monotonic() - started
        text = json.dumps(self.found, indent=1, sort_keys=True) + "\n"
        write_atomically(self._path, text)


def measure(report: Report, device: torch.device, *, smoke: bool) -> None:
    """All parts but the last."""
    kernels = gpu_kernels.SMOKE if smoke else gpu_kernels.FULL
    steps = gpu_steps.SMOKE if smoke else gpu_steps.FULL
    ways = gpu_steps.executions(device, report.found["remarks"].append)
    report.part("correctness", lambda: gpu_steps.correctness(steps, device, ways))
    report.part("card", lambda: gpu_kernels.card(kernels, device))
    report.part("search_step", lambda: gpu_steps.search_steps(steps, device, ways))
    report.part("kernels", lambda: gpu_steps.kernels(steps, ways))
    report.part("profile", lambda: gpu_steps.profile(steps, device, ways))
    report.part("rounds", lambda: gpu_steps.rounds(steps, ways))
    report.part("lanes", lambda: gpu_steps.lane_sweep(steps, device, ways))
    report.part("training_images_per_s", lambda: gpu_steps.training(steps, device, ways))
    report.part("depthwise", lambda: gpu_kernels.depthwise(kernels, device))
    report.part("candidates", lambda: gpu_steps.candidate_sweep(steps, ways))
    # If not, what is called recorded was not, or only in part; the remarks say why.
    report.found["recorded"] = ways["recorded bfloat16"].records


def wrong(report: Report) -> list[str]:
    """The scorers that are not what they are on the CPU."""
    rows = report.found.get("correctness", {}).items()
    return [name for name, row in rows if name != "error" and not row["right"]]


def parts(text: str) -> tuple[str, ...]:
    """The names of parts, in their order."""
    unknown = set(text.split(",")) - set(PARTS)
    if unknown:
        problem = f"{', '.join(sorted(unknown))}: no such part"
        raise argparse.ArgumentTypeError(f"{problem}; allowed: {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in text.split(","))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny, and on the CPU")
    parser.add_argument("--only", type=parts, default=(), metavar="PART,...", help=", ".join(PARTS))
    parser.add_argument("--data", help="for evolve: cifar10:PATH, ...; generated without")
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--limit", type=float, default=TIME_LIMIT, metavar="SECONDS")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="where evolve keeps its run")
    arguments = parser.parse_args()
    smoke = arguments.smoke
    if not smoke and not torch.cuda.is_available():
        print("error: no CUDA device here; --smoke runs everything on the CPU", file=sys.stderr)
        return 2
    device = torch.device("cpu" if smoke else "cuda:0")
    name, results = ("gpu-smoke", RUNS) if smoke else ("gpu", HERE / "results")
    head = {
        "smoke": smoke,
        "machine": this_machine(device).model_dump(mode="json"),
        "versions": {**versions(), "cuda": torch.version.cuda},
        "targets": TARGETS,
    }
    report = Report(
        arguments.out or results / f"{name}.json", head, arguments.only, arguments.limit
    )
    measure(report, device, smoke=smoke)
    settings: dict[str, Any] = SMOKE_RUN if smoke else {}
    if arguments.data:
        settings = {**settings, "data": {**settings.get("data", {}), "source": arguments.data}}
    folder, before = arguments.run or RUNS / name, report.before.get("evolve", {})
    report.part(
        "evolve", lambda: evolved(folder, settings, str(device), report.seconds_left, before)
    )
    print(f"wrong: {', '.join(wrong(report)) or 'nothing'}", file=sys.stderr)
    return 1 if wrong(report) or report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
