"""The claim at real size: are spaces that were learned at 32x32 pixels better than others?

    python benchmarks/claim.py --data folder:PATH --work FOLDER --part recipe --steps 4000
    python benchmarks/claim.py --data folder:PATH --work FOLDER --part learn
    python benchmarks/claim.py --data folder:PATH --work FOLDER --part compare --steps N
    python benchmarks/claim.py --data folder:PATH --work FOLDER --part report --steps N

The first three take `--workers`, `--executor` and `--address` as `autospace evolve` does.

`results/claim` has the spaces of the three seeds, learned on a GPU in bfloat16, with a gradient of
average pooling that PyTorch computed wrongly (docs/evidence/gpu.md). They are used where no run of
a seed has been begun here.

`recipe` trains the three reference networks and measures them on a part of the train split: the
number of steps is chosen on them alone. `learn` learns a space for each seed; the seeds took part
in nothing else. `compare` runs `autospace compare` for each learned space, against hand-made cells
and against random cells. The other learned spaces take part in both, so that all of them are
compared on networks of the same MAdds, and a rival's networks are trained once. `report` writes
what there is to `benchmarks/results/claim-NAME.json`.

Every part goes on where it stopped, network by network.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from work_options import add_work_options, evaluating_pool, executor_of

from autospace.comparison.compare import compare
from autospace.comparison.document import read_comparison
from autospace.comparison.folder import RESULT, ComparisonFolder
from autospace.comparison.settings import CompareConfig
from autospace.compute.machine import keep_freed_memory
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluate import EvaluationCache, EvaluationJob, evaluate_all, pooled
from autospace.evaluators.evaluator import EvaluationRequest, EvaluatorConfig
from autospace.evaluators.make import Setup
from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.progress import Silent
from autospace.runs.folder import CONFIG
from autospace.runs.settings import make_settings, parse_settings, read_config
from autospace.spaces import Architecture, SpaceError, load, network_cost

HERE: Final = Path(__file__).resolve().parent
SEEDS: Final = (11, 12, 13)
RIVALS: Final = {"hand-made": ("mbconv", "mnasnet"), "random": ("random",)}
"""Per comparison, what the learned spaces are compared with.

Random cells cost less than hand-made ones: networks of all of them at equal MAdds hardly exist.
"""
AUGMENT: Final = {"crop": 4, "flip": True}
RECIPE: Final = {"batch": 64, "learning_rate": 0.1}
REFERENCES: Final = ("mbconv_k3_e3", "mbconv_k5_e3", "mbconv_k7_e3")
GOAL: Final = 0.88
"""Accuracy that every reference network has to pass before spaces are compared."""


def evaluator(arguments: argparse.Namespace, **changes: object) -> dict[str, object]:
    """The settings of every training from scratch."""
    return {**RECIPE, "steps": arguments.steps, **changes}


def recipe(arguments: argparse.Namespace) -> None:
    """Trains the reference networks; measured on a part of the train split."""
    config = EvaluatorConfig.model_validate(evaluator(arguments, split="validation"))
    data = DataConfig.model_validate({"source": arguments.data, "validation": 0.1, **AUGMENT})
    cache_folder = arguments.work / "cache"
    setup = Setup(config, data, (), 0, arguments.device, cache_folder)
    images = setup.images()
    cache = EvaluationCache(cache_folder / "evaluations", setup.conditions(images))
    cache.open()
    space = load("mbconv@cifar")
    tasks = [
        EvaluationRequest(
            Architecture(space.skeleton, tuple(layer.by_id[name] for layer in space.layers)), 0
        )
        for name in REFERENCES
    ]
    started = time.perf_counter()
    job = EvaluationJob(setup, images)
    with evaluating_pool(executor_of(arguments), arguments.work) as pool:
        found = evaluate_all(tasks, cache, pooled(pool, job))
    for name, task, evaluation in zip(REFERENCES, tasks, found, strict=True):
        cost = network_cost(space.skeleton, task.architecture.cells)
        passed = "passes" if evaluation.score >= GOAL else "does not pass"
        print(f"{name}: {evaluation.score:.4f} at {cost.madds:,} MAdds, {passed} {GOAL:.2f}")
    print(f"{arguments.steps} steps, {time.perf_counter() - started:.0f} s")


def learn_all(arguments: argparse.Namespace) -> None:
    """Learns the space of every seed that is not there yet."""
    for seed in arguments.seeds:
        path = run_folder(arguments, seed)
        config = make_config(
            read_config(HERE / "claim.toml"),
            {"seed": seed, "device": arguments.device, "data": {"source": arguments.data}},
            parse_settings(arguments.set),
        )
        there = (path / CONFIG).is_file()
        folder = RunFolder.open(path) if there else RunFolder.create(path, config)
        learn(folder, Silent(), workers=executor_of(arguments))
        print(path, flush=True)


def run_folder(arguments: argparse.Namespace, seed: int) -> Path:
    """Where the space of a seed is learned."""
    path: Path = arguments.work / "runs" / f"learned-{seed}"
    return path


def learned(arguments: argparse.Namespace, seed: int) -> Path:
    """The space of a seed: the run that learned it here, or the file of an earlier one."""
    run = run_folder(arguments, seed)
    if run.exists():
        return run
    shipped = HERE / "results" / "claim" / f"learned-{seed}.json"
    print(f"seed {seed}: {shipped}", flush=True)
    return shipped


def sources(arguments: argparse.Namespace, kind: str, first: int) -> list[str]:
    """The spaces of a comparison; the learned space of one seed comes first.

    What is drawn from a space does not depend on its place in the list.
    """
    runs = {seed: str(learned(arguments, seed)) for seed in arguments.seeds}
    others = [runs[seed] for seed in arguments.seeds if seed != first]
    like = runs[arguments.seeds[0]]
    return [runs[first], *others, *(f"{rival}@{like}" for rival in RIVALS[kind])]


def comparisons(arguments: argparse.Namespace) -> dict[tuple[str, int], Path]:
    """The folder of every comparison, by its kind and the seed of the learned space that leads."""
    place = arguments.work / f"compare-{arguments.steps}-n{arguments.samples}"
    return {(kind, seed): place / f"{kind}-{seed}" for kind in RIVALS for seed in arguments.seeds}


def compare_all(arguments: argparse.Namespace) -> None:
    """Every learned space against all others."""
    for (kind, seed), path in comparisons(arguments).items():
        config = make_settings(
            CompareConfig,
            {
                "seed": 0,
                "device": arguments.device,
                "cache": str(arguments.work / "cache"),
                "spaces": sources(arguments, kind, seed),
                "sampling": {"samples": arguments.samples},
                "data": {"source": arguments.data, **AUGMENT},
                "evaluator": evaluator(arguments),
            },
        )
        there = (path / CONFIG).is_file()
        folder = ComparisonFolder.open(path) if there else ComparisonFolder.create(path, config)
        print(compare(folder, Silent(), workers=executor_of(arguments)).sentence, flush=True)


def report(arguments: argparse.Namespace) -> None:
    """Writes the verdicts that there are, and prints them."""
    found = {
        f"{kind} {seed}": read_comparison(path / RESULT).model_dump(mode="json")
        for (kind, seed), path in comparisons(arguments).items()
        if (path / RESULT).is_file()
    }
    text = json.dumps({"steps": arguments.steps, "comparisons": found}, indent=1, sort_keys=True)
    (HERE / "results" / f"claim-{arguments.name}.json").write_text(text + "\n")
    for name, comparison in found.items():
        print(f"{name}: {comparison['sentence']}")
        for each in comparison["spaces"] if comparison["comparable"] else ():
            accuracy = 100 * (1 - np.array(each["errors"]))
            print(f"  {each['label']}: {accuracy.mean():.2f} % ± {accuracy.std(ddof=1):.2f}")
        for pair in comparison["pairs"]:
            print(f"  {pair['sentence']}")


PARTS: Final = {"recipe": recipe, "learn": learn_all, "compare": compare_all, "report": report}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--name", default="cifar10", help="of the result")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--samples", type=int, default=8, help="networks per space")
    parser.add_argument("--steps", type=int, default=6000)
    add_work_options(parser)
    parser.add_argument("--device", default="cpu", help="cpu or cuda[:n]")
    parser.add_argument("--set", nargs="+", default=[], help="of every run: section.name=value")
    arguments = parser.parse_args()
    arguments.work = arguments.work.resolve()
    torch.set_num_threads(1)
    keep_freed_memory()  # as every process does that trains
    try:
        PARTS[arguments.part](arguments)
    except SpaceError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
