"""Measures what screening and shrinkage by the predictor of fitness are worth.

    python benchmarks/predictor.py --out benchmarks/results/predictor.jsonl [--seeds N ...]
    python benchmarks/predictor.py --out benchmarks/results/predictor.jsonl --report

Per seed, the preset `demo` learns a space with every variant of selection. All variants score
equally many cells, in one reference network; a cell that two variants score alike is trained once.
Then the evolved cells of all spaces are scored afresh: four more repeats, with weights and batches
that no run used. The quality of a space is the mean of these scores, first over the kept cells of a
layer, then over the layers. One line per seed and variant; a second call skips what is there.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from scipy.stats import t

from autospace.data.batches import Augment, Batches
from autospace.evolution.folder import RunFolder
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.parts import ImageParts
from autospace.evolution.preparation import PreparedRun, prepare
from autospace.evolution.reference import new_reference
from autospace.evolution.settings import make_config, preset
from autospace.networks.network import Network
from autospace.progress import Silent
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import Scorer
from autospace.seeds import derived_seed
from autospace.spaces import Candidate, Cell, Space, cell_key
from autospace.training.short import Recipe, train

CPU = torch.device("cpu")
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "screen 4": {"screen": 4},
    "screen 8": {"screen": 8},
    "shrink": {"shrink": True},
    "screen 4 and shrink": {"screen": 4, "shrink": True},
}
REPEATS = range(1, 5)
BATCH_FACTOR = 2
KEYS = ("r2", "tau")


class Remembered:
    """A scorer that trains no cell twice for one repeat."""

    def __init__(self, scorer: Scorer, prepared: PreparedRun) -> None:
        self._scorer, self._shapes = scorer, prepared.skeleton.shapes
        self._known: dict[tuple[int, str, int], float] = {}

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        names = [
            [(layer, cell_key(cell, shape), repeat) for cell in row]
            for layer, (row, shape) in enumerate(zip(candidates, self._shapes, strict=True))
        ]
        new = [
            {key: cell for key, cell in zip(keys, row, strict=True) if key not in self._known}
            for keys, row in zip(names, candidates, strict=True)
        ]
        if any(new):
            found = self._scorer.score([list(row.values()) for row in new], repeat)
            for row, values in zip(new, found, strict=True):
                self._known |= zip(row, values, strict=True)
        return [[self._known[key] for key in keys] for keys in names]


def prepared_run(seed: int, work: Path) -> PreparedRun:
    """The demo with a seed; nothing is trained."""
    config = make_config(preset("demo"), {"seed": seed, "device": "cpu"})
    return prepare(config, RunFolder.create(work / str(seed), config), Silent())


def reference_of(prepared: PreparedRun) -> Network:
    """The warmed-up reference network."""
    config, cell = prepared.config, prepared.plan.references[0][1]
    network = new_reference(
        prepared.skeleton, [cell] * len(prepared.skeleton.layers), config.seed, CPU
    )
    recipe = Recipe(config.warm_up.steps, config.warm_up.learning_rate)
    train(network, _batches(prepared, "warm-up", config.warm_up.batch), recipe)
    return freeze(network)


def scorer_of(prepared: PreparedRun, reference: Network, purpose: str) -> Scorer:
    """The scorer of the demo, with batches and initial weights of their own for a purpose."""
    options = prepared.config.scoring
    context = ScoringContext(
        reference,
        _batches(prepared, f"{purpose} train", options.batch),
        _batches(prepared, f"{purpose} validate", BATCH_FACTOR * options.batch),
        options,
        derived_seed(prepared.config.seed, "predictor", purpose),
    )
    return Remembered(make_scorer(context), prepared)


def _batches(prepared: PreparedRun, name: str, size: int) -> Batches:
    data, parts = prepared.config.data, prepared.parts
    if not isinstance(parts, ImageParts):
        raise TypeError(f"{parts.name}: allowed: images")
    seed = derived_seed(prepared.config.seed, "batches", name)
    if name.endswith("validate"):
        return Batches(parts.fitness, size, seed, CPU, parts.normaliser)
    augment = Augment(data.crop, data.flip, data.cutout)
    return Batches(parts.weights, size, seed, CPU, parts.normaliser, augment)


def learned(prepared: PreparedRun, scorer: Scorer, changes: dict[str, Any]) -> tuple[Space, Any]:
    """The space that a variant learns, and how well its predictor predicts."""
    plan = replace(prepared.plan, **changes)
    *_, state = evolve(plan, scorer)
    space = learned_space(plan, state, name="learned", budget=prepared.budget, provenance={})
    return space, state.archive and state.archive.predictor.quality


def rows_of(seed: int, work: Path, wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row for each wanted variant."""
    prepared = prepared_run(seed, work)
    reference = reference_of(prepared)
    scorer, afresh = (scorer_of(prepared, reference, each) for each in ("run", "afresh"))
    for name in wanted:
        started = time.process_time()
        space, quality = learned(prepared, scorer, VARIANTS[name])
        evolved = [_evolved(layer.candidates) for layer in space.layers]
        cells = [[each.cell for each in row] for row in evolved]
        scores = [afresh.score(cells, repeat) for repeat in REPEATS]
        yield {
            "seed": seed,
            "variant": name,
            "predictor": quality and quality._asdict(),
            "layers": [
                [
                    [each.id, each.fitness, each.uncertainty, [s[layer][place] for s in scores]]
                    for place, each in enumerate(row)
                ]
                for layer, row in enumerate(evolved)
            ],
            "seconds": round(time.process_time() - started),
        }


def _evolved(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [each for each in candidates if each.origin.kind != "reference"]


def quality_of(row: dict[str, Any]) -> float:
    """The mean fresh fitness of the kept cells, averaged over the layers."""
    return fmean(fmean(fmean(cell[3]) for cell in layer) for layer in row["layers"])


def stated_of(row: dict[str, Any]) -> float:
    """The mean fitness that the space states."""
    return fmean(fmean(cell[1] for cell in layer) for layer in row["layers"])


def coverage_of(row: dict[str, Any]) -> float | None:
    """How often fitness plus or minus 1.96 standard deviations holds the fresh fitness."""
    held = []
    for _, fitness, sd, scores in (cell for layer in row["layers"] for cell in layer):
        if sd is not None:
            error = math.hypot(sd, stdev(scores) / math.sqrt(len(scores)))
            held.append(abs(fmean(scores) - fitness) <= 1.96 * error)
    return fmean(held) if held else None


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half of the 95 % interval of Student's t."""
    half = t.ppf(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values), float(half)


def report(rows: Sequence[dict[str, Any]]) -> str:
    """A table over the seeds that have all variants."""
    seeds = sorted(
        {row["seed"] for row in rows}
        - {
            seed
            for seed in {row["seed"] for row in rows}
            if len({row["variant"] for row in rows if row["seed"] == seed}) < len(VARIANTS)
        }
    )
    found = {(row["seed"], row["variant"]): row for row in rows}
    lines = [
        f"{len(seeds)} seeds: {', '.join(map(str, seeds))}",
        "",
        "| selection | quality | spread | beyond default, 95 % | seeds better | stated minus fresh "
        "| coverage of ± 1.96 sd | R² | tau |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    base = [quality_of(found[seed, "default"]) for seed in seeds]
    for name in VARIANTS:
        own = [found[seed, name] for seed in seeds]
        values = [quality_of(row) for row in own]
        gains = [value - other for value, other in zip(values, base, strict=True)]
        mean, half = interval(gains) if name != "default" else (0.0, 0.0)
        gain = "" if name == "default" else f"{mean:+.4f} ± {half:.4f}"
        better = "" if name == "default" else f"{sum(each > 0 for each in gains)} of {len(seeds)}"
        excess = fmean(stated_of(row) - quality_of(row) for row in own)
        covered = [each for row in own if (each := coverage_of(row)) is not None]
        told = [row["predictor"] for row in own if row["predictor"]]
        r2, tau = (f"{fmean(each[key] for each in told):.2f}" if told else "" for key in KEYS)
        share = f"{fmean(covered):.0%}" if covered else ""
        lines.append(
            f"| {name} | {fmean(values):.4f} | {stdev(values):.4f} | {gain} | {better} "
            f"| {excess:+.4f} | {share} | {r2} | {tau} |"
        )
    return "\n".join(lines)


def _known(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []


def main() -> None:
    """Measures the seeds, or prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(100, 106)))
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    if arguments.report:
        print(report(_known(arguments.out)))
        return
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        done = {row["variant"] for row in _known(arguments.out) if row["seed"] == seed}
        wanted = [name for name in VARIANTS if name not in done]
        with tempfile.TemporaryDirectory() as work:
            for row in rows_of(seed, Path(work), wanted) if wanted else ():
                with arguments.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
