"""Interference of shared weights on networks that read sentences: does MAGIC's observation hold?

MAGIC (Xu et al., ICML 2022) observed on BERT that the gradients of two networks for a layer that
both share agree less, the more of their other layers differ, and that they agree more where the
inputs and outputs of the layer are alike. It trains shared weights in three ways: successive paths
differ in one layer (T), features are aligned to those of an anchor (A), or both (AT).

For each seed and way of training, shared weights over `nas-bert@bert-small` are trained, and

* pairs of networks with 0, 1, 2, ... differing layers are drawn. For every layer that both have,
  the cosine of the two gradients is written down, with the number of differing layers in front of
  it (with none, its inputs are the same) and behind it (with none, what its outputs go through is
  the same), and how far inputs and outputs are apart.
* networks that were trained alone are ranked by the shared weights: Kendall's tau.

The results are lines of JSON, one per task; tasks that are there are skipped. With `--workers N`,
process number `--worker I` does every N-th task. `--report` prints tables from what is there.
"""

import argparse
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch

from autospace.data.images import Halves
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig
from autospace.evaluators.make import load_halves
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.networks.encoder import filled
from autospace.seeds import derived_seed, stream
from autospace.spaces import load
from autospace.spaces.choices import Choice, Choices
from autospace.supernets.encoder import EncoderSupernet
from autospace.supernets.interference import draw_pair
from autospace.supernets.path_training import make_path_training
from autospace.supernets.settings import MagicConfig, SupernetConfig
from autospace.supernets.shared_weights import Problem, SharedWeights, evaluate_path

SPACE: Final = "nas-bert@bert-small"
TRAININGS: Final = ("uniform", "magic-t", "magic-a", "magic-at")
NAMES: Final = {"uniform": "none", "magic-t": "T", "magic-a": "A", "magic-at": "AT"}
Row = dict[str, Any]


def problem_of(options: argparse.Namespace, halves: Halves, training: Any, seed: int) -> Problem:
    """A problem over the space, fitted to the sentences."""
    settings = SupernetConfig(
        training=training,
        steps=options.steps,
        batch=options.batch,
        learning_rate=options.rate,
    )
    choices = Choices(halves.fitted(load(SPACE)))
    return Problem(choices, halves, settings, MagicConfig(), seed)


def networks_of(choices: Choices, count: int) -> list[Choice]:
    """The networks that are ranked: different ones, the same in every run."""
    rng, found = random.Random(0), dict[Choice, None]()
    while len(found) < min(count, choices.space.size):
        found[choices.draw(rng)] = None
    return [*found]


def alone(options: argparse.Namespace, halves: Halves, index: int, seed: int) -> Row:
    """Accuracy and loss of a network that is trained alone."""
    choices = problem_of(options, halves, "uniform", 0).choices
    path = networks_of(choices, options.networks)[index]
    config = EvaluatorConfig(
        steps=options.alone_steps,
        batch=options.batch,
        learning_rate=options.rate,
        split="validation",
    )
    network = choices.architecture(path)
    found = StandAloneEvaluator(halves, config).evaluate(network, seed)
    return {"accuracy": found.score, "loss": found.loss, "params": network.cost.params}


def shared(options: argparse.Namespace, halves: Halves, training: str, seed: int) -> Row:
    """What weights that were trained in some way say of all networks, and of pairs of others."""
    problem = problem_of(options, halves, training, seed)
    weights = SharedWeights(problem)
    steps = make_path_training(weights)
    for index in range(options.steps):
        steps.step(index)
    ranked = []
    for path in networks_of(problem.choices, options.networks):
        measured = halves.measured_batches().evaluation_batches()
        found = evaluate_path(weights.supernet, path, (), measured)
        ranked.append({"accuracy": found.accuracy, "loss": found.loss})
    return {"ranked": ranked, "pairs": list(pairs_of(options, weights))}


def pairs_of(options: argparse.Namespace, weights: SharedWeights) -> Iterator[Row]:
    """A row for every layer that the networks of a pair share."""
    problem = weights.problem
    for differing in range(len(problem.choices.sizes)):
        for index in range(options.pairs):
            rng = stream(problem.seed, "pairs", differing, index)
            pair = draw_pair(problem.choices, differing, rng)
            if pair is not None:
                batch = problem.training.batch(derived_seed(index, "batch") % 10_000)
                for row in shared_layers(weights, *pair, batch):
                    yield {"differing": differing, **row}


def shared_layers(
    weights: SharedWeights, first: Choice, second: Choice, batch: Any
) -> Iterator[Row]:
    """Of every layer with weights that two networks share, how far their gradients agree."""
    supernet = weights.supernet
    if not isinstance(supernet, EncoderSupernet):
        raise TypeError(f"a {type(supernet).__name__}; allowed: one of sentences")
    differ = [one != other for one, other in zip(first, second, strict=True)]
    runs = [run_of(weights, supernet, path, batch) for path in (first, second)]
    for layer, other in enumerate(differ):
        ours, theirs = (gradients.get(layer) for gradients, _ in runs)
        if other or ours is None or theirs is None:
            continue
        length = float(ours.norm() * theirs.norm())
        if length == 0:
            continue
        features = [found for _, found in runs]
        yield {
            "layer": layer,
            "before": sum(differ[:layer]),
            "after": sum(differ[layer + 1 :]),
            "cosine": float(ours @ theirs) / length,
            "inputs": distance(features[0][layer], features[1][layer]),
            "outputs": distance(features[0][layer + 1], features[1][layer + 1]),
        }


def run_of(
    weights: SharedWeights, supernet: EncoderSupernet, path: Choice, batch: Any
) -> tuple[dict[int, torch.Tensor], list[torch.Tensor]]:
    """The gradient for every layer with weights, and what enters and leaves the layers."""
    sentences, labels = batch
    supernet.train()
    cells = supernet.active(path)
    held = {layer: list(cell.parameters()) for layer, cell in enumerate(cells)}
    flat = [weight for parameters in held.values() for weight in parameters]
    entered = supernet.frame.enter(sentences)
    handed = supernet.through(entered, cells)
    loss = weights.task.loss(supernet.frame.classify(handed[-1]), labels)
    slopes = iter(torch.autograd.grad(loss, flat))
    gradients = {
        layer: torch.cat([next(slopes).double().flatten() for _ in parameters])
        for layer, parameters in held.items()
        if parameters
    }
    return gradients, [filled(each).detach() for each in (entered, *handed)]


def distance(one: torch.Tensor, other: torch.Tensor) -> float | None:
    """Mean squared difference over the variance; None of features of different widths."""
    if one.shape != other.shape:
        return None
    return float((one - other).square().mean() / one.var().clamp_min(1e-12))


def tasks_of(options: argparse.Namespace) -> Iterator[Row]:
    """All tasks: networks alone first, because everything is compared with them."""
    for seed in range(options.seeds):
        for index in range(options.networks):
            yield {"task": "alone", "network": index, "seed": seed}
    for seed in range(options.seeds):
        for training in TRAININGS:
            yield {"task": "shared", "training": training, "seed": seed}


def done_in(path: Path) -> dict[str, Row]:
    """The results of all files beside a file with its name and a number, by task."""
    found = {}
    for each in sorted(path.parent.glob(f"{path.stem}*{path.suffix}")):
        for line in each.read_text("utf-8").splitlines():
            row = json.loads(line)
            found[json.dumps(row["key"], sort_keys=True)] = row
    return found


def work(options: argparse.Namespace) -> None:
    """Does the tasks of a worker that are not done."""
    data = DataConfig(source=options.data)
    halves = load_halves(data, "validation", 0, torch.device("cpu"))
    known = done_in(options.out)
    place = options.out.with_name(f"{options.out.stem}-{options.worker}{options.out.suffix}")
    settings = {name: value for name, value in vars(options).items() if name in SETTINGS}
    place.parent.mkdir(parents=True, exist_ok=True)
    for number, task in enumerate(tasks_of(options)):
        key = {**task, **settings}
        if number % options.workers != options.worker or json.dumps(key, sort_keys=True) in known:
            continue
        if task["task"] == "alone":
            found = alone(options, halves, task["network"], task["seed"])
        else:
            found = shared(options, halves, task["training"], task["seed"])
        with place.open("a", encoding="utf-8") as stream_:
            row = {"key": key, "digest": halves.digest, **rounded(found)}
            stream_.write(json.dumps(row, separators=(",", ":")) + "\n")
        print(*task.values(), flush=True)


def interval(values: list[float]) -> str:
    """Mean and 95 % interval over seeds, by Student's t."""
    from scipy.stats import ttest_1samp

    mean = statistics.fmean(values)
    if len(values) < 2 or max(values) - min(values) < 1e-9:
        return f"{mean:.3f} (n = {len(values)})"
    ends = ttest_1samp(values, 0).confidence_interval()
    return f"{mean:.3f} ({ends.low:.3f} to {ends.high:.3f})"


def report(options: argparse.Namespace) -> None:
    """Prints the tables of what is there."""
    rows = [row for row in done_in(options.out).values() if chosen(options, row)]
    truth: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row["key"]["task"] == "alone" and row["loss"] is not None:
            truth[row["key"]["network"]].append(row["accuracy"])
    runs = [row for row in rows if row["key"]["task"] == "shared"]
    print_ranks(truth, runs)
    for training in TRAININGS:
        print_cosines(training, [row for row in runs if row["key"]["training"] == training])


def rounded(value: Any) -> Any:
    """Numbers to five digits after the point, at any depth: nobody needs more of them."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value


def chosen(options: argparse.Namespace, row: Row) -> bool:
    """Whether a result is of these settings."""
    return all(row["key"][name] == getattr(options, name) for name in SETTINGS)


def print_ranks(truth: dict[int, list[float]], runs: list[Row]) -> None:
    """Kendall's tau of shared weights with networks alone, per way of training."""
    from scipy.stats import kendalltau

    known = sorted(truth)
    wanted = [statistics.fmean(truth[index]) for index in known]
    print(f"\n{len(known)} networks alone, accuracy {min(wanted):.3f} to {max(wanted):.3f}")
    seeds = list(zip(*(truth[index] for index in known), strict=False))
    ceilings = [float(kendalltau(one, other).statistic)
                for place, one in enumerate(seeds) for other in seeds[:place]]  # fmt: skip
    if ceilings:
        print(f"tau between two seeds of networks alone: {statistics.fmean(ceilings):.3f}")
    print("| remedy | tau by loss | tau by accuracy |\n|---|---|---|")
    for training in TRAININGS:
        found: dict[str, list[float]] = {"loss": [], "accuracy": []}
        for row in runs:
            if row["key"]["training"] == training:
                for name, sign in (("loss", -1), ("accuracy", 1)):
                    scores = [sign * row["ranked"][index][name] for index in known]
                    found[name].append(float(kendalltau(scores, wanted).statistic))
        if found["loss"]:
            cells = " | ".join(interval(values) for values in found.values())
            print(f"| {NAMES[training]} | {cells} |")


def print_cosines(training: str, runs: list[Row]) -> None:
    """Cosines by the number of differing layers, and by where these are; intervals over seeds."""
    if not runs:
        return
    groups = {
        "all": lambda row: True,
        "same inputs": lambda row: not row["before"],
        "same way out": lambda row: not row["after"],
        "neither": lambda row: row["before"] and row["after"],
    }
    print(f"\ncosine of gradients, remedy {NAMES[training]}")
    print(f"| differing | {' | '.join(groups)} |\n|---|{'---|' * len(groups)}")
    for differing in sorted({row["differing"] for run in runs for row in run["pairs"]}):
        cells = []
        for fits in groups.values():
            means = []
            for run in runs:
                own = [row["cosine"] for row in run["pairs"]
                       if row["differing"] == differing and fits(row)]  # fmt: skip
                means += [statistics.fmean(own)] if own else []
            cells.append(interval(means) if means else "-")
        print(f"| {differing} | {' | '.join(cells)} |")
    print_distances([row for run in runs for row in run["pairs"]])


def print_distances(rows: list[Row]) -> None:
    """How far the cosine goes with the distance of inputs and of outputs: Spearman's rho."""
    from scipy.stats import spearmanr

    for name in ("inputs", "outputs"):
        pairs = [
            (row[name], row["cosine"]) for row in rows if row["differing"] and row[name] is not None
        ]
        if len(pairs) > 2:
            rho = float(spearmanr(*zip(*pairs, strict=True)).statistic)
            print(f"rho of the cosine with the distance of {name}: {rho:.3f} ({len(pairs)} layers)")


SETTINGS: Final = ("data", "networks", "steps", "alone_steps", "batch", "rate", "pairs")


def main() -> None:
    """Reads the options, and works or reports."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", default="sentences:length=24,vocabulary=1500")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/interference.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--steps", type=int, default=900, help="of shared weights")
    parser.add_argument("--alone-steps", type=int, default=250, help="of a network alone")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.03)
    parser.add_argument("--pairs", type=int, default=12, help="per number of differing layers")
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.report:
        report(options)
    else:
        work(options)


if __name__ == "__main__":
    main()
