"""Are learned spaces better, what of the method makes them so, and what does the budget do?

    python benchmarks/results.py --data npz:PATH --work FOLDER --workers 2
    python benchmarks/results.py --data npz:PATH --work FOLDER --executor ray --address HOST:PORT
    python benchmarks/results_report.py FOLDER/steps-1000 --out benchmarks/results

Learns the spaces of docs/evidence/results.md, compares them with hand-made and random ones by
`autospace.comparison`, and trains networks drawn from the variants of the method at equal MAdds.
Resumable: what is in the folder is not made again. Everything is measured on the test split,
which chooses nothing. Parts are made in their order; `--parts` chooses some.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from results_setup import (
    BUDGETS,
    COMPARISONS,
    FIRST,
    FULL,
    ROWS,
    TARGETS,
    VARIANTS,
    Study,
    learn_all,
)
from work_options import add_work_options, evaluating_pool, executor_of, processor_seconds

from autospace.comparison.compare import compare
from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.settings import CompareConfig
from autospace.compute.executor import Executor
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluate import EvaluationCache, EvaluationJob, evaluate_all, pooled
from autospace.evaluators.evaluator import EvaluationRequest, EvaluatorConfig
from autospace.evaluators.make import Setup
from autospace.progress import Silent
from autospace.runs.files import write_atomically
from autospace.runs.settings import make_settings, parse_settings
from autospace.seeds import derived_seed, stream
from autospace.spaces import Architecture, Space, network_cost

TOLERANCE: Final = 0.1
"""How far from its target the MAdds of a network may be."""
DRAWS: Final = 20_000
BATCH: Final = 32
NO_ABLATIONS: Final = {FULL, FIRST, "mixture", *(double for _, double in BUDGETS)}
ABLATIONS: Final = tuple(name for name in VARIANTS if name not in NO_ABLATIONS)


def headline(study: Study, seed: int, samples: int, executor: Executor, kind: str) -> None:
    """The learned space of a seed against rivals on the same skeleton."""
    variant, rivals = COMPARISONS[kind]
    run = study.run_folder(variant, seed)
    config = make_settings(
        CompareConfig,
        {
            "seed": seed,
            "device": "cpu",
            "cache": str(study.work / "cache"),
            "spaces": [str(run), *(f"{rival}@{run}" for rival in rivals)],
            "sampling": {"samples": samples},
            "data": {"source": study.data},
            "evaluator": {"batch": BATCH, "steps": study.steps},
        },
    )
    path = study.measured / "compare" / f"{kind}-{seed}-n{samples}"
    there = (path / "config.toml").is_file()
    folder = ComparisonFolder.open(path) if there else ComparisonFolder.create(path, config)
    print(compare(folder, Silent(), workers=executor).sentence, flush=True)


def drawn(space: Space, target: int, count: int, seed: int) -> tuple[list[Architecture], float]:
    """Networks of evolved cells whose MAdds are near the target, and the share of such draws.

    The reference cells are left out: they are the same in all spaces.
    """
    rng = stream(seed, "results", target)
    evolved = [
        [each for each in layer.candidates if each.origin.kind != "reference"]
        for layer in space.layers
    ]
    found = []
    for _ in range(DRAWS):
        chosen = tuple(rng.choice(layer) for layer in evolved)
        madds = network_cost(space.skeleton, [each.cell for each in chosen]).madds
        if abs(madds / target - 1) <= TOLERANCE:
            found.append(Architecture(space.skeleton, chosen))
    return found[:count], len(found) / DRAWS


def evaluated(
    study: Study, variant: str, target: str, seeds: Sequence[int], count: int, executor: Executor
) -> None:
    """Trains networks drawn from the spaces of a variant; writes one file per seed.

    The i-th networks of a seed see the same batches in every variant.
    """
    started = processor_seconds()
    data = DataConfig(
        source=study.data, resolution=study.space(variant, seeds[0]).skeleton.resolution
    )
    config = EvaluatorConfig(steps=study.steps, batch=BATCH)
    setup = Setup(config, data, (), 0, "cpu", study.work / "cache")
    images = setup.images()
    cache = EvaluationCache(study.work / "cache" / "evaluations", setup.conditions(images))
    job = EvaluationJob(setup, images)
    with evaluating_pool(executor, study.work) as pool:
        for seed in seeds:
            networks, share = drawn(study.space(variant, seed), TARGETS[target], count, seed)
            tasks = [
                EvaluationRequest(each, derived_seed(seed, "results", number))
                for number, each in enumerate(networks)
            ]
            found = evaluate_all(tasks, cache, pooled(pool, job))
            costs = [network_cost(each.skeleton, each.cells) for each in networks]
            row = {
                "version": ROWS,
                "variant": variant,
                "target": target,
                "seed": seed,
                "share": share,
                "accuracies": [each.score for each in found],
                "madds": [cost.madds for cost in costs],
                "params": [cost.params for cost in costs],
                "networks": [[each.id for each in one.candidates] for one in networks],
            }
            name = f"{study.run_folder(variant, seed).name}-{target}.json"
            write_atomically(study.measured / "drawn" / name, json.dumps(row, indent=1) + "\n")
            print(variant, target, seed, row["accuracies"], flush=True)
    study.spent(f"evaluate {variant} {target}", processor_seconds() - started)


def make(study: Study, arguments: argparse.Namespace) -> None:
    """The parts that are asked for."""
    seeds, executor, count = arguments.seeds, executor_of(arguments), arguments.networks
    (study.measured / "drawn").mkdir(parents=True, exist_ok=True)
    for part in arguments.parts:
        if part == "learn":
            learn_all(study, FULL, seeds, executor)
        elif part == "headline":
            for kind in arguments.comparisons:
                learn_all(study, COMPARISONS[kind].variant, seeds, executor)
                for seed in seeds:
                    headline(study, seed, arguments.samples, executor, kind)
        elif part == "ablations":
            for variant in (FULL, *arguments.variants):
                learn_all(study, variant, seeds, executor)
                evaluated(study, variant, "low", seeds, count, executor)
        elif part == "budgets":
            for variant in (each for pair in BUDGETS for each in pair):
                learn_all(study, variant, seeds, executor)
                for target in TARGETS:
                    evaluated(study, variant, target, seeds, count, executor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=24, help="per space and seed")
    parser.add_argument("--networks", type=int, default=8, help="per variant and seed")
    add_work_options(parser)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--parts", nargs="+", default=["learn", "headline", "ablations", "budgets"])
    parser.add_argument("--comparisons", nargs="+", default=[*COMPARISONS], choices=COMPARISONS)
    parser.add_argument("--variants", nargs="+", default=ABLATIONS, choices=VARIANTS)
    parser.add_argument("--set", nargs="+", default=[], help="of every run: section.name=value")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    work = arguments.work.resolve()
    make(Study(arguments.data, work, arguments.steps, parse_settings(arguments.set)), arguments)


if __name__ == "__main__":
    main()
