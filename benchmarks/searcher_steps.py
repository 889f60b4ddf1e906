"""What a search step of each gradient-based method costs, side by side.

    python benchmarks/searcher_steps.py --out benchmarks/results/searcher_steps.json

Every method takes the same steps in turn in one process and one thread: alpha on a validation
batch, then the weights on a training batch of the same size. Times are medians over the rounds, of
processor seconds on a CPU; ratios are medians of the ratios within a round. About three minutes on
one core.
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from autospace.bench.workload import Clock, clock_of
from autospace.compute.device import threads
from autospace.compute.machine import this_machine, versions
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

CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "darts, first order": ("darts", {"order": 1}),
    "darts, first order, weights not frozen": ("darts", {"order": 1}),
    "darts, second order": ("darts", {"order": 2}),
    "nasp": ("nasp", {"epsilon": 0.0}),
    "proxyless, two gates": ("proxyless", {"gates": "two"}),
    "proxyless, full gates": ("proxyless", {"gates": "full"}),
    "gdas, full gates": ("gdas", {"gates": "full"}),
    "gdas, active gate": ("gdas", {"gates": "active"}),
}
PLAIN = "darts, first order, weights not frozen"
RATIOS = {
    "darts, first order, weights not frozen / nasp": (PLAIN, "nasp"),
    "darts, first order / nasp": ("darts, first order", "nasp"),
    "darts, second order / first order": ("darts, second order", "darts, first order"),
    "darts, first order / proxyless, two gates": ("darts, first order", "proxyless, two gates"),
}
Seconds = dict[str, float]


def make(name: str, options: dict[str, Any], skeleton: Path, device: str) -> GradientSearch:
    """A method at the start of its search, on noisy gratings."""
    config = make_settings(
        SearchConfig,
        {
            "method": name,
            "device": device,
            "data": {"source": "synthetic:classes=10,channels=3,train=1024,test=20"},
            "supernet": {"batch": VALIDATION_BATCH, "learning_rate": 0.05},
            "options": {**options, "warm_up": 0.0},
        },
    )
    space = family_space("mbconv", load_skeleton(skeleton))
    data = config.data.model_copy(update={"resolution": space.skeleton.resolution})
    images = load_images(data, "validation", config.seed, torch.device(device))
    method = make_method(SearchProblem.of(Choices(space), images, config))
    if not isinstance(method, GradientSearch):
        raise TypeError(f"{name} is not gradient-based")
    return method


def plain_alpha_step(method: GradientSearch, index: int) -> None:
    """As one writes it down first: gradients of all weights too, which nobody uses."""
    images, labels = method.problem.validation.batch(index)
    logits = method.weights.supernet.mixture(images, method.alphas.probabilities)
    F.cross_entropy(logits, labels).backward()
    method.alphas.step([value.grad for value in method.alphas.values])


def parts(name: str, method: GradientSearch, index: int, clock: Clock) -> Seconds:
    """Seconds of an alpha step and of a weight step."""
    start = clock()
    if name == PLAIN:
        plain_alpha_step(method, index)
    else:
        method.alpha_step(index)
    middle = clock()
    method.weights.step(index, [method.weight_loss(index)])
    return {"alpha": middle - start, "weights": clock() - middle, "step": clock() - start}


def measured(skeleton: Path, device: str, rounds: int) -> dict[str, list[Seconds]]:
    """All contenders in turn, round by round; the first round only warms up."""
    methods = {name: make(*each, skeleton, device) for name, each in CONTENDERS.items()}
    clock = clock_of(torch.device(device))
    found: dict[str, list[Seconds]] = {name: [] for name in methods}
    for index in range(rounds + 1):
        for name, method in methods.items():
            found[name].append(parts(name, method, index, clock))
    return {name: each[1:] for name, each in found.items()}


def report(found: dict[str, list[Seconds]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians, and ratios within rounds with their extremes."""
    ratios = {}
    for title, (above, below) in RATIOS.items():
        pairs = zip(found[above], found[below], strict=True)
        values = sorted(a["step"] / b["step"] for a, b in pairs)
        ratios[title] = {
            "median": round(statistics.median(values), 2),
            "least": round(values[0], 2),
            "most": round(values[-1], 2),
        }
    seconds = {
        name: {
            part: round(statistics.median(each[part] for each in rounds), 4) for part in rounds[0]
        }
        for name, rounds in found.items()
    }
    return {
        "space": f"mbconv on {arguments.skeleton.name}",
        "batch": VALIDATION_BATCH,
        "rounds": arguments.rounds,
        "seconds": seconds,
        "ratios": ratios,
        "machine": this_machine(torch.device(arguments.device)).model_dump(),
        "versions": versions(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    small = Path(__file__).with_name("small.json")
    parser.add_argument("--skeleton", type=Path, default=small, metavar="FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with threads(1):
        found = measured(arguments.skeleton, arguments.device, arguments.rounds)
    text = json.dumps(report(found, arguments), indent=1) + "\n"
    print(text, end="")
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
