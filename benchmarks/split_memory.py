"""What few-shot searches pay to compare the candidates of a layer: gradients or dimensions.

    python benchmarks/split_memory.py --out benchmarks/results/split_memory.json

GM-NAS compares by gradients, NAS-LID by local intrinsic dimensions, which needs no backward pass.
Both compare all candidates of the first layer on 128 images, each in a process of its own, because
a process never gives back its peak; memory is by how much that grew. Beside them, a weight step on
one path, which both searches take anyway. Medians over repeats; times are processor seconds of one
thread on a CPU. About a minute.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from autospace.bench.speed import memory_now, memory_peak
from autospace.bench.workload import clock_of
from autospace.compute.device import threads
from autospace.compute.machine import this_machine, versions
from autospace.data.images import load_images
from autospace.runs.settings import make_settings
from autospace.searchers.few_shot import Similarity, dimension_matching, gradient_matching
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.spaces import load_skeleton
from autospace.spaces.choices import Choices
from autospace.spaces.files.families import family_space
from autospace.supernets.shared_weights import VALIDATION_BATCH, SharedWeights

NEIGHBOURS = 20
Work = Callable[[SharedWeights], object]


def comparing(similarity: Similarity) -> Work:
    """Compares all candidates of the first layer."""

    def work(weights: SharedWeights) -> object:
        choices = weights.problem.choices
        rest = choices.draw(random.Random(0))
        paths = [(index, *rest[1:]) for index in range(choices.sizes[0])]
        return similarity(weights, 0, paths, 0)

    return work


def training(weights: SharedWeights) -> None:
    """A weight step on one path."""
    weights.step(0, [weights.loss_of(weights.problem.choices.draw(random.Random(0)))])


CONTENDERS: dict[str, Work] = {
    "gradients": comparing(gradient_matching),
    "dimensions": comparing(dimension_matching(NEIGHBOURS)),
    "weight step": training,
}


def make(skeleton: Path, device: str) -> SharedWeights:
    """A supernet over the mbconv space, and noisy gratings."""
    config = make_settings(
        SearchConfig,
        {
            "device": device,
            "data": {"source": "synthetic:classes=10,channels=3,train=1024,test=20"},
            "supernet": {"batch": VALIDATION_BATCH},
        },
    )
    space = family_space("mbconv", load_skeleton(skeleton))
    data = config.data.model_copy(update={"resolution": space.skeleton.resolution})
    images = load_images(data, "validation", config.seed, torch.device(device))
    return SharedWeights(SearchProblem.of(Choices(space), images, config))


def measured(name: str, skeleton: Path, device: str) -> dict[str, float]:
    """Bytes by which this process grows at its peak, then seconds of the same once more."""
    chosen, work = torch.device(device), CONTENDERS[name]
    with threads(1):
        weights = make(skeleton, device)
        # Libraries that are loaded on first use do not count.
        first = (0,) * len(weights.problem.choices.sizes)
        with torch.no_grad():
            weights.supernet.single_path(weights.problem.training.batch(0)[0][:2], first)
        before = memory_now(chosen)
        work(weights)
        grown = memory_peak(chosen) - before
        clock = clock_of(chosen)
        start = clock()
        work(weights)
        return {"bytes": max(1, grown), "seconds": clock() - start}


def elsewhere(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """The same in a fresh process."""
    words = [sys.executable, __file__, "--only", name, "--device", arguments.device]
    command = [*words, "--skeleton", str(arguments.skeleton)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians, and dimensions over gradients within repeats with their extremes."""
    rounds = [
        {name: elsewhere(name, arguments) for name in CONTENDERS} for _ in range(arguments.repeats)
    ]
    medians = {
        name: {
            part: round(statistics.median(each[name][part] for each in rounds), 3)
            for part in ("bytes", "seconds")
        }
        for name in CONTENDERS
    }
    ratios = {}
    for part in ("bytes", "seconds"):
        values = sorted(each["dimensions"][part] / each["gradients"][part] for each in rounds)
        ratios[part] = {
            "median": round(statistics.median(values), 3),
            "least": round(values[0], 3),
            "most": round(values[-1], 3),
        }
    return {
        "space": f"mbconv on {arguments.skeleton.name}",
        "images": VALIDATION_BATCH,
        "repeats": arguments.repeats,
        "medians": medians,
        "dimensions / gradients": ratios,
        "machine": this_machine(torch.device(arguments.device)).model_dump(),
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    small = Path(__file__).with_name("small.json")
    parser.add_argument("--skeleton", type=Path, default=small, metavar="FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.only:
        found: dict[str, Any] = measured(arguments.only, arguments.skeleton, arguments.device)
    else:
        found = report(arguments)
    text = json.dumps(found, indent=1) + "\n"
    sys.stdout.write(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
