"""Every search method on the same three spaces, at equal evaluations or equal processor seconds.

    python benchmarks/searchers.py LEARNED --data cifar10:PATH --out FILE.jsonl --seconds 30

LEARNED is a learned space or a finished run; `mbconv` and random cells stand on the same skeleton,
with as many random cells per layer, none more expensive. A search is evaluated by its first choice,
trained from scratch on all train images and measured on the test images, which no search uses. How
well a method ranks is measured on a common set of architectures, trained alone under one recipe.

Without `--seconds` all methods have the same training steps and evaluations. With it, both are
scaled by what a short search of the method took, so that a search takes about so many processor
seconds of one thread; what it really took is noted.

One line of JSON per training, search and plan; a second call skips what the file already holds, and
several calls may share it: `--worker I --workers N`. `searchers_report.py` makes the tables.
"""

import argparse
import fcntl
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from autospace.comparison.setup import load_source
from autospace.compute.machine import peak_memory
from autospace.data.images import Images, load_images
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig, Split
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.runs.settings import make_settings
from autospace.searchers.make import METHODS, make_method
from autospace.searchers.method import SearchMethod
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.seeds import stream
from autospace.spaces import Architecture, Budget, Space
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.sampling import sample_within
from autospace.spaces.space import fitted_space

CPU = torch.device("cpu")
SPACES = ["mbconv", "random-cells", "learned"]
FIRST_SHARE = 1 / 16
SECOND_SHARE = 1 / 4
"""Of a search's time, for the two short ones that say how long it will take."""

JUDGING = {"recalibration": 2, "validation_batches": 4}
"""Fewer batches than by default: at 16x16, judging would take more time than training."""

Row = dict[str, Any]


class Task(NamedTuple):
    """A line of the file. `name` is a method, or the number of an architecture of the set."""

    kind: str
    space: str
    name: str
    seed: int


class Size(NamedTuple):
    """How large a search is."""

    steps: int
    evaluations: int

    def times(self, factor: float) -> "Size":
        return Size(*(max(1, round(factor * each)) for each in self))


class Bench:
    """What all tasks share."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        learned = arguments.learned
        self._sources = {
            "mbconv": f"mbconv@{learned}",
            "random-cells": f"random@{learned}",
            "learned": learned,
        }
        self.budget = Budget(max_madds=arguments.max_madds)
        self._images: dict[tuple[Split, int], Images] = {}

    def images(self, split: Split, seed: int) -> Images:
        """The train split halved, or all of it and the test split; read once per process."""
        if (split, seed) in self._images:
            return self._images[split, seed]
        side = load_source(self.arguments.learned, 0).skeleton.resolution
        data = DataConfig(source=self.arguments.data, limit=self.arguments.limit, resolution=side)
        cache = self.arguments.out.parent / "cache"
        found = load_images(data, split, seed, CPU, cache)
        return self._images.setdefault((split, seed), found)

    def space(self, name: str, images: Images) -> Space:
        """A space for these images."""
        channels, side = images.training.images.shape[1:3]
        classes = len(images.data.classes)
        given = load_source(self._sources[name], 0)
        return fitted_space(given, in_channels=channels, resolution=side, classes=classes)

    def common(self, space: Space) -> list[Architecture]:
        """The architectures of a space that every method rates."""
        rng = stream(0, "common set", space.name)
        return sample_within(space, self.budget, self.arguments.truth, rng)

    def accuracy(self, architecture: Architecture, seed: int) -> float:
        """On the test images, after a training from scratch on all train images."""
        recipe = EvaluatorConfig(steps=self.arguments.training_steps, split="test")
        evaluator = StandAloneEvaluator(self.images("test", 0), recipe)
        return evaluator.evaluate(architecture, seed).score

    def known(self, task: Task, architecture: Architecture) -> float | None:
        """What the same training of the same architecture has given before."""
        for other, row in held(self.arguments.out).items():
            same = (other.space, other.seed) == (task.space, task.seed)
            if same and row.get("choices") == architecture.choices:
                return float(row["accuracy"])
        return None

    def problem(self, task: Task, size: Size) -> SearchProblem:
        """What a search of this size is given."""
        images = self.images("validation", task.seed)
        config = make_settings(
            SearchConfig,
            {
                "method": task.name,
                "seed": task.seed,
                "device": "cpu",
                "evaluations": size.evaluations,
                "supernet": {"steps": size.steps, "batch": self.arguments.batch, **JUDGING},
                "trial": {"steps": self.arguments.trial_steps, "batch": self.arguments.batch},
            },
        )
        space = self.space(task.space, images)
        return SearchProblem.of(Choices(space, limits_of(space, self.budget)), images, config)


def truth(bench: Bench, task: Task) -> Row:
    """An architecture of the common set, trained alone."""
    space = bench.space(task.space, bench.images("test", 0))
    architecture = bench.common(space)[int(task.name)]
    return {"accuracy": bench.accuracy(architecture, task.seed)} | described(architecture)


def search(bench: Bench, task: Task, size: Size) -> Row:
    """A whole search: its first choice trained alone, and what it makes of the common set."""
    problem, before = bench.problem(task, size), peak_mb()
    method, seconds = searched(problem)
    best = method.ranked()[0]
    found = {
        "seconds": round(seconds, 2),
        "memory_mb": peak_mb() - before,
        "steps": size.steps,
        "evaluations": method.evaluations,
        "predicted": best.accuracy,
    }
    choices, started = problem.choices, time.process_time()
    common = [choices.path(each) for each in bench.common(choices.space)]
    unrated = task.name in bench.arguments.unrated
    found["rated"] = None if unrated else method.rated(common)
    found["rating_seconds"] = round(time.process_time() - started, 2)
    architecture = choices.architecture(best.path)
    known = bench.known(task, architecture)
    found["accuracy"] = known or bench.accuracy(architecture, task.seed)
    return found | described(architecture)


def searched(problem: SearchProblem) -> tuple[SearchMethod, float]:
    """A method after its last step, and the processor seconds that took."""
    started = time.process_time()
    method = make_method(problem)
    for index in range(method.steps):
        method.step(index)
    return method, time.process_time() - started


def plan(bench: Bench, task: Task) -> Row:
    """The size at which a search of the method takes the seconds asked for."""
    wanted, size = bench.arguments.seconds, bench.arguments.size.times(FIRST_SHARE)
    for share in (SECOND_SHARE, 1.0):
        _, seconds = searched(bench.problem(task, size))
        size = size.times(share * wanted / seconds)
    return {"steps": size.steps, "evaluations": size.evaluations}


def described(architecture: Architecture) -> Row:
    cost = architecture.cost
    return {"choices": architecture.choices, "madds": cost.madds, "params": cost.params}


def peak_mb() -> int:
    return peak_memory() // 2**20


def alone(work: Callable[..., Row], *arguments: Any) -> Row:
    """Done in a process of its own: one never gives back its peak of memory."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(work, arguments)


def tasks(arguments: argparse.Namespace) -> Iterator[Task]:
    """All that is to be done, seed by seed."""
    for seed in range(max(arguments.seeds, arguments.truth_seeds)):
        for space in arguments.spaces:
            if seed < arguments.truth_seeds:
                for index in range(arguments.truth):
                    yield Task("truth", space, str(index), seed)
            if seed < arguments.seeds:
                for method in arguments.only or METHODS:
                    yield Task("search", space, method, seed)


def held(path: Path) -> dict[Task, Row]:
    """What a file holds; of two equal tasks the first."""
    found: dict[Task, Row] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        row = json.loads(line)
        found.setdefault(Task(*(row[name] for name in Task._fields)), row)
    return found


def write(path: Path, task: Task, row: Row) -> None:
    """Appends a line; safe beside other processes that do the same."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(task._asdict() | row) + "\n")
    print(*task, {name: row[name] for name in ("accuracy", "seconds") if name in row}, flush=True)


def sized(bench: Bench, task: Task) -> Size:
    """As asked for, or as planned once for all seeds."""
    arguments = bench.arguments
    if arguments.seconds is None:
        return Size(*arguments.size)
    wanted = task._replace(kind="plan", seed=0)
    if wanted not in held(arguments.out):
        write(arguments.out, wanted, alone(plan, bench, wanted))
    row = held(arguments.out)[wanted]
    return Size(row["steps"], row["evaluations"])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("learned", help="a space file or a run folder")
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, help="train images")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=SPACES)
    parser.add_argument("--only", nargs="+", choices=METHODS)
    parser.add_argument(
        "--unrated",
        nargs="+",
        choices=METHODS,
        default=[],
        help="are not asked for the common set: random trains all of it alone",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, help="processor seconds of a search")
    parser.add_argument("--steps", type=int, default=600, help="of the shared weights")
    parser.add_argument("--evaluations", type=int, default=30)
    parser.add_argument("--batch", type=int, default=32, help="in searches")
    parser.add_argument("--trial-steps", type=int, default=60, help="where each is trained alone")
    parser.add_argument("--training-steps", type=int, default=600, help="of a search's choice")
    parser.add_argument("--truth", type=int, default=32, help="architectures that all rate")
    parser.add_argument("--truth-seeds", type=int, default=2)
    parser.add_argument("--max-madds", type=int)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    arguments.size = Size(arguments.steps, arguments.evaluations)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    return arguments


def main() -> None:
    arguments = parsed()
    torch.set_num_threads(1)
    bench, done = Bench(arguments), held(arguments.out)
    for number, task in enumerate(tasks(arguments)):
        if number % arguments.workers != arguments.worker or task in done:
            continue
        # Here, so that the processes to come have them already.
        bench.images("test", 0)
        if task.kind == "truth":
            row = alone(truth, bench, task)
        else:
            bench.images("validation", task.seed)
            row = alone(search, bench, task, sized(bench, task))
        write(arguments.out, task, row)


if __name__ == "__main__":
    main()
