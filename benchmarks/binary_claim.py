"""Binary against real-valued search: is it worse to search with real numbers and to binarise after?

BATS (Bulat et al., ECCV 2020) searches with signs, because the network that a search with real
numbers finds need not be a good one once it is binary. For every seed and arm, the same method
searches the same space of binary cells on the same images, for the same number of steps:

* `binary`: the shared weights have signs for inputs and weights, as the network in the end;
* `binary_inputs`: signs for inputs, real weights, as in BATS;
* `real`: no signs at all;
* `random`: nothing is searched, a network is drawn.

What was found is trained alone in two stages, as binary networks are, and measured on the test
images. All arms of a seed train it with the same seeds.

The results are lines of JSON, one per arm and seed; what is there is skipped. `--report` prints
the table from them.
"""

import argparse
import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from autospace.data.images import load_images
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig
from autospace.evaluators.make import load_halves
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.runs.settings import make_settings
from autospace.searchers.make import make_method
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.seeds import stream
from autospace.spaces import load
from autospace.spaces.choices import Choices
from autospace.spaces.space import Architecture

ARMS: Final = ("binary", "binary_inputs", "real", "random")
SETTINGS: Final = ("data", "space", "method", "steps", "train_steps", "batch", "trainings")
Row = dict[str, Any]


def searched(options: argparse.Namespace, arm: str, seed: int) -> Architecture:
    """The network that a search in this arm finds."""
    config = make_settings(
        SearchConfig,
        {
            "seed": seed,
            "method": options.method,
            "device": "cpu",
            "data": {"source": options.data},
            "supernet": {"steps": options.steps, "batch": options.batch},
            "options": {"temperature": 0.2} if options.method == "darts" else {},
        },
        {} if arm == "random" else {"supernet": {"precision_stage": arm}},
    )
    space = load(options.space)
    data = config.data.model_copy(update={"resolution": space.skeleton.resolution})
    images = load_images(data, "validation", seed, torch.device("cpu"))
    choices = Choices(images.fitted(space))
    if arm == "random":
        return choices.architecture(choices.draw(stream(seed, "random network")))
    method = make_method(SearchProblem.of(choices, images, config))
    for index in range(method.steps):
        method.step(index)
    return choices.architecture(method.ranked()[0].path)


def measured(options: argparse.Namespace, found: Architecture, seed: int) -> list[float]:
    """Test accuracies of a network after trainings with some seeds."""
    data = DataConfig(source=options.data, resolution=found.skeleton.resolution)
    halves = load_halves(data, "test", 0, torch.device("cpu"))
    config = EvaluatorConfig(steps=options.train_steps, batch=options.batch, split="test")
    evaluator = StandAloneEvaluator(halves, config)
    seeds = range(options.trainings * seed, options.trainings * (seed + 1))
    return [evaluator.evaluate(found, each).score for each in seeds]


def done_in(path: Path) -> dict[str, Row]:
    """The results that are there, by arm, seed and settings."""
    if not path.is_file():
        return {}
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return {json.dumps(row["key"], sort_keys=True): row for row in rows}


def work(options: argparse.Namespace) -> None:
    """Does what is not done."""
    known = done_in(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for arm in ARMS:
            key = {"arm": arm, "seed": seed, **{name: getattr(options, name) for name in SETTINGS}}
            if json.dumps(key, sort_keys=True) in known:
                continue
            found = searched(options, arm, seed)
            accuracies = measured(options, found, seed)
            row = {
                "key": key,
                "accuracies": [round(each, 5) for each in accuracies],
                "ops": round(found.cost.ops),
                "params": found.cost.params,
                "choices": dict(found.choices),
            }
            with options.out.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(row, separators=(",", ":")) + "\n")
            print(arm, seed, *row["accuracies"], flush=True)


def interval(values: Sequence[float], unit: str = "%") -> str:
    """Mean, standard deviation, number, and the 95 % interval of the mean by Student's t."""
    from scipy.stats import ttest_1samp

    mean, spread = statistics.fmean(values), statistics.stdev(values)
    if spread < 1e-9:
        return f"{mean:.1f}{unit} | 0.0 | {len(values)} | -"
    ends = ttest_1samp(values, 0).confidence_interval()
    low, high = (f"{end:.1f}" for end in (ends.low, ends.high))
    return f"{mean:.1f}{unit} | {spread:.1f} | {len(values)} | {low} to {high}"


def report(options: argparse.Namespace) -> None:
    """Prints the tables: every arm, and by how much it differs from `binary` seed by seed."""
    found: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in done_in(options.out).values():
        key = row["key"]
        if all(key[name] == getattr(options, name) for name in SETTINGS):
            found[key["arm"]][key["seed"]] = row
    seeds = sorted(set.intersection(*(set(found[arm]) for arm in ARMS)))
    if len(seeds) < 2:
        print(f"{len(seeds)} seeds have all arms; a table needs 2")
        return
    rows = {arm: [found[arm][seed] for seed in seeds] for arm in ARMS}
    points = {arm: [100 * statistics.fmean(row["accuracies"]) for row in rows[arm]] for arm in ARMS}
    print("| search | test accuracy | sd | n | 95 % interval | OPs |\n|---|---|---|---|---|---|")
    for arm in ARMS:
        ops = statistics.fmean(row["ops"] for row in rows[arm])
        print(f"| `{arm}` | {interval(points[arm])} | {ops:,.0f} |")
    print("\n| compared with `binary` | points | sd | n | 95 % interval |\n|---|---|---|---|---|")
    for arm in ARMS[1:]:
        differences = [a - b for a, b in zip(points[arm], points["binary"], strict=True)]
        print(f"| `{arm}` | {interval(differences, '')} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the options, and works or reports."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="binary@digits")
    parser.add_argument("--method", default="darts")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/binary_claim.jsonl"))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=200, help="of the search")
    parser.add_argument("--train-steps", type=int, default=300, help="of a network alone")
    parser.add_argument("--trainings", type=int, default=2, help="of every network")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args(arguments)
    if options.report:
        report(options)
        return
    torch.set_num_threads(1)
    work(options)


if __name__ == "__main__":
    main()
