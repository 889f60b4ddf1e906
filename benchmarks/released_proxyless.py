"""What a step of a ProxylessNAS search costs, beside the code that its authors released.

    git clone https://github.com/mit-han-lab/proxylessnas CLONE
    python benchmarks/released_proxyless.py --released CLONE/search --batch 128 --out FILE.json

Both search the same network, with as many weights and decisions: that of the paper without the
strides of its stem and its first stage, for images of 32x32 pixels. A step moves alpha on one batch
and the weights on another. All four ways, two gates and full gates of either code, take their steps
in turn in one process and one thread. The released code is imported from the clone as it is; only
its reader of images is left out. About ten minutes on one core.
"""

import argparse
import importlib
import json
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from autospace.bench.workload import Clock, clock_of
from autospace.compute.device import threads
from autospace.compute.machine import keep_freed_memory, this_machine, versions
from autospace.data.images import load_images
from autospace.runs.settings import make_settings
from autospace.searchers.gradient.search import GradientSearch
from autospace.searchers.make import make_method
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.spaces import load_skeleton
from autospace.spaces.choices import Choices
from autospace.spaces.files.families import family_space
from autospace.supernets.shared_weights import VALIDATION_BATCH

CLASSES: Final = 10
RESOLUTION: Final = 32
WIDTHS: Final = (24, 40, 80, 96, 192, 320)
DEPTHS: Final = (4, 4, 4, 4, 4, 1)
STRIDES: Final = (2, 2, 2, 1, 2, 1)
CANDIDATES: Final = tuple(f"{side}x{side}_MBConv{e}" for side in (3, 5, 7) for e in (3, 6))
MODES: Final = {"two": "two", "full": "full_v2"}
"""Our names of the gates, and the released ones."""
Half = Callable[[int], None]


def ours(gates: str, batch: int) -> tuple[GradientSearch, int]:
    """Our search on the network, and the number of its weights."""
    mobile = load_skeleton("mobile")
    first, *others = mobile.layers
    skeleton = replace(
        mobile,
        resolution=RESOLUTION,
        classes=CLASSES,
        stem=replace(mobile.stem, stride=1),
        layers=(replace(first, stride=1), *others),
    )
    config = make_settings(
        SearchConfig,
        {
            "method": "proxyless",
            "data": {
                "source": f"synthetic:classes={CLASSES},channels=3,train=1024,test=20",
                "resolution": RESOLUTION,
            },
            "supernet": {"batch": batch, "learning_rate": 0.025},
            "options": {"gates": gates, "warm_up": 0.0, "cost_weight": 0.0},
        },
    )
    images = load_images(config.data, "validation", config.seed, torch.device("cpu"))
    space = family_space("mbconv", skeleton)
    problem = SearchProblem.of(Choices(images.fitted(space)), images, config)
    # A search has one size of these batches; a cached property keeps what is put in its place.
    vars(problem)["validation"] = problem.data.judging_batches(batch, problem.seed)
    method = make_method(problem)
    assert isinstance(method, GradientSearch)
    return method, sum(each.numel() for each in method.weights.supernet.parameters())


class Released:
    """The released search on the network, with its own optimizers, step by step."""

    def __init__(self, gates: str) -> None:
        supernets = importlib.import_module("models.super_nets.super_proxyless")
        self._edge = importlib.import_module("modules.mix_op").MixedEdge
        self._mode = MODES[gates]
        self.network = supernets.SuperProxylessNASNets(
            list(WIDTHS), list(DEPTHS), list(CANDIDATES), list(STRIDES), CLASSES
        )
        for module in self._early():
            module.stride = (1, 1)
        self.network.init_model("he_fout")
        self.network.init_arch_params()
        self.weights = list(self.network.weight_parameters())
        self._sgd = torch.optim.SGD(
            self.weights, 0.025, momentum=0.9, weight_decay=4e-5, nesterov=True
        )
        self._adam = torch.optim.Adam(
            self.network.architecture_parameters(), 1e-3, betas=(0.0, 0.999)
        )
        self._loss = torch.nn.CrossEntropyLoss()

    def _early(self) -> list[torch.nn.Conv2d]:
        """The convolutions of the stem and of the first stage that have a stride."""
        parts = (self.network.first_conv, self.network.blocks[1])
        found = [module for part in parts for module in part.modules()]
        return [m for m in found if isinstance(m, torch.nn.Conv2d) and m.stride == (2, 2)]

    def alpha(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """As `gradient_step` of the released manager."""
        self.network.train()
        self._edge.MODE = self._mode
        self.network.reset_binary_gates()
        self.network.unused_modules_off()
        loss = self._loss(self.network(images), labels)
        self.network.zero_grad()
        loss.backward()
        self.network.set_arch_param_grad()
        self._adam.step()
        if self._mode == "two":
            self.network.rescale_updated_arch_param()
        self.network.unused_modules_back()
        self._edge.MODE = None

    def weight(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """As the loop of the released manager's `train`."""
        self.network.train()
        self.network.reset_binary_gates()
        self.network.unused_modules_off()
        loss = self._loss(self.network(images), labels)
        self.network.zero_grad()
        loss.backward()
        self._sgd.step()
        self.network.unused_modules_back()


def contenders(batch: int) -> tuple[dict[str, tuple[Half, Half]], int]:
    """Each way's alpha step and weight step; the weights of a network."""
    found: dict[str, tuple[Half, Half]] = {}
    counts = set[int]()
    for gates in MODES:
        method, count = ours(gates, batch)
        released = Released(gates)
        counts |= {count, sum(each.numel() for each in released.weights)}
        problem = method.problem

        def our_weight(index: int, method: GradientSearch = method) -> None:
            method.weights.step(index, [method.weight_loss(index)])

        def their_alpha(
            index: int, released: Released = released, problem: SearchProblem = problem
        ) -> None:
            released.alpha(*problem.validation.batch(index))

        def their_weight(
            index: int, released: Released = released, problem: SearchProblem = problem
        ) -> None:
            released.weight(*problem.training.batch(index))

        found[f"ours, {gates} gates"] = (method.alpha_step, our_weight)
        found[f"released, {gates} gates"] = (their_alpha, their_weight)
    if len(counts) != 1:
        raise SystemExit(f"the networks have {counts} weights")
    return found, counts.pop()


def work(method: GradientSearch) -> dict[str, float]:
    """Millions of MAdds of an image, and GFLOP/s of a large matrix product in one thread."""
    choices, rng = method.problem.choices, random.Random(0)
    own = [[cost.madds for cost in layer.costs] for layer in choices.space.layers]
    paths = [choices.draw(rng) for _ in range(200)]
    costs = [choices.cost(path).madds for path in paths]
    fixed = costs[0] - sum(row[k] for row, k in zip(own, paths[0], strict=True))
    square = torch.randn(1024, 1024)
    clock, seconds = clock_of(torch.device("cpu")), []
    for _ in range(20):
        start = clock()
        torch.mm(square, square)
        seconds.append(clock() - start)
    return {
        "a path": round(statistics.fmean(costs) / 1e6, 1),
        "all candidates": round((fixed + sum(map(sum, own))) / 1e6, 1),
        "gflops": round(2 * 1024**3 / statistics.median(seconds) / 1e9, 1),
    }


def measured(ways: dict[str, tuple[Half, Half]], rounds: int, clock: Clock) -> dict[str, Any]:
    """Seconds of every way in every round but the first, which warms up."""
    found: dict[str, Any] = {name: [] for name in ways}
    for index in range(rounds + 1):
        for name, (alpha, weight) in ways.items():
            start = clock()
            alpha(index)
            middle = clock()
            weight(index)
            found[name].append({"alpha": middle - start, "weights": clock() - middle})
        print(index, {name: round(sum(rows[-1].values()), 2) for name, rows in found.items()})
    return {name: rows[1:] for name, rows in found.items()}


def report(
    found: dict[str, Any], batch: int, weights: int, done: dict[str, float]
) -> dict[str, Any]:
    """Medians in seconds, and ratios within rounds with their extremes."""
    ratios = {}
    for gates in MODES:
        rounds = zip(found[f"released, {gates} gates"], found[f"ours, {gates} gates"], strict=True)
        values = sorted(sum(theirs.values()) / sum(own.values()) for theirs, own in rounds)
        ratios[f"released / ours, {gates} gates"] = {
            "median": round(statistics.median(values), 2),
            "least": round(values[0], 2),
            "most": round(values[-1], 2),
        }
    seconds = {
        name: {half: round(statistics.median(r[half] for r in rows), 3) for half in rows[0]}
        for name, rows in found.items()
    }
    return {
        "weights": weights,
        "work": done,
        "batch": batch,
        "rounds": len(next(iter(found.values()))),
        "seconds": seconds,
        "ratios": ratios,
        "machine": this_machine(torch.device("cpu")).model_dump(),
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--released", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=VALIDATION_BATCH, help="of either half")
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.released))
    keep_freed_memory()
    with threads(1):
        ways, weights = contenders(arguments.batch)
        done = work(ours("two", arguments.batch)[0])
        found = measured(ways, arguments.rounds, clock_of(torch.device("cpu")))
    text = json.dumps(report(found, arguments.batch, weights, done), indent=1) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
