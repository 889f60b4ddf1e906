"""What the default scorer might be improved by, in quality or in time.

    python benchmarks/probe_variants.py --data npz:PATH --out FILE.jsonl --seeds 0 1 2

Adds lines to the file of `ranking.py`: `probe averaged` (fitness read off the mean of the weights
over the second half of training), `probe extrapolated` (the loss at the end minus what the second
half of training gained, for cells that learn slowly), `probe running` (validation with running
batch statistics), `probe halving` (half way, the worse half of a layer's cells is dropped and keeps
its rank below the others) and `probe moved` (the reference network has adopted the best cells of
an earlier scoring, as a moving reference would).
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from ranking import WARM_UP_STEPS, Table, already, setting, variants, write
from ranking_setup import LAYERS, SKELETON, Images, cells_of, load_images
from torch import nn
from torch.optim.swa_utils import AveragedModel

from autospace.data.batches import Batches
from autospace.data.splits import divide
from autospace.networks.network import Network, placed
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.probe import ProbeScorer
from autospace.seeds import derived_seed
from autospace.spaces import Cell
from autospace.training.short import Recipe, train

WATCHED = ("probe averaged", "probe extrapolated", "probe running", "probe halving")
NAMES = (*WATCHED, "probe moved")


class WatchedProbe(ProbeScorer):
    """Probes whose weights are averaged, and whose loss is read, half way through training."""

    def __init__(self, base: ScoringContext) -> None:
        super().__init__(replace(base, tick=self._watch))
        self._learners: list[list[nn.Module]] = []
        self._means: list[list[AveragedModel]] = []
        self._half: Table = []
        self._repeat = 0
        self._half_way = 0.0
        self.halving_seconds = 0.0
        """What training would have cost, had the worse half of the cells stopped half way."""

    def tables(self, cells: Sequence[Sequence[Cell]], repeat: int) -> dict[str, Table]:
        """Negated losses: within a layer they rank as fitness does."""
        self._repeat = repeat
        self._learners = [
            [self.learner(layer, cell, repeat) for cell in offered]
            for layer, offered in enumerate(cells)
        ]
        started = time.process_time()
        self._train(self._learners, repeat)
        halves = self._half_way - started, time.process_time() - self._half_way
        self.halving_seconds = halves[0] + halves[1] / 2
        self._watch(self.setting.options.steps, self.setting.options.steps)
        running = self._measured_with(False)
        end = self._measured_with(True)
        means = [[mean.module for mean in layer] for layer in self._means]
        return {
            "probe averaged": [[-v for v in row] for row in self._measure(means, repeat)],
            "probe extrapolated": [
                [half - 2 * last for half, last in zip(first, second, strict=True)]
                for first, second in zip(self._half, end, strict=True)
            ],
            "probe running": [[-v for v in row] for row in running],
            "probe halving": [
                halved(first, second) for first, second in zip(self._half, end, strict=True)
            ],
        }

    def _measured_with(self, batch_statistics: bool) -> Table:
        for learner in (each for layer in self._learners for each in layer):
            learner.train(batch_statistics)
        return self._measure(self._learners, self._repeat)

    def _watch(self, done: int, total: int) -> None:
        if done == total // 2:
            self._half = self._measure(self._learners, self._repeat)
            self._half_way = time.process_time()
            self._means = [[AveragedModel(each) for each in layer] for layer in self._learners]
        if done >= total // 2:
            for means, learners in zip(self._means, self._learners, strict=True):
                for mean, learner in zip(means, learners, strict=True):
                    mean.update_parameters(learner)


def halved(half: Sequence[float], end: Sequence[float]) -> list[float]:
    """Negated losses when only the better half of the cells is trained to the end."""
    median = sorted(half)[(len(half) - 1) // 2]
    survivors = [last for first, last in zip(half, end, strict=True) if first <= median]
    # A dropped cell ranks below every survivor, by its last loss.
    worst = max(survivors) - median
    return [
        -last if first <= median else -(first + max(0.0, worst))
        for first, last in zip(half, end, strict=True)
    ]


def moved(base: ScoringContext, images: Images, best: Sequence[Cell]) -> ScoringContext:
    """The setting of a reference network that holds these cells, trained as the first one was."""
    weights, _ = divide(images.train, 0.5, seed=1)
    torch.manual_seed(derived_seed(base.seed, "moved reference"))
    network = placed(Network(SKELETON, best), "cpu")
    seed = derived_seed(base.seed, "warm-up") % 2**31
    train(network, Batches(weights, 32, seed, "cpu", images.normaliser), Recipe(WARM_UP_STEPS))
    return replace(base, reference=freeze(network))


def best_cells(path: Path, seed: int, cells: list[list[Cell]]) -> list[Cell]:
    """Per layer the cell that the probe of a scoring seed put first."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    found = [row for row in rows if (row["predictor"], row["seed"]) == ("probe", seed)]
    if not found:
        raise SystemExit(f"{path}: no line of probe for seed {seed}; run ranking.py first")
    return [
        layer[max(range(len(layer)), key=values.__getitem__)]
        for layer, values in zip(cells, found[-1]["values"], strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = load_images(arguments.data)
    cells = [cells_of(layer) for layer in LAYERS.values()]
    options = variants()["probe"]
    for seed in arguments.seeds:
        if all((name, seed) in already(arguments.out) for name in NAMES):
            continue
        base = setting(images, seed, options, WARM_UP_STEPS)
        started = time.process_time()
        watched = WatchedProbe(base)
        tables = watched.tables(cells, 0)
        seconds = time.process_time() - started
        spared = {"probe halving": tables.pop("probe halving")}
        write(arguments.out, tables, seed, round(seconds, 2))
        write(arguments.out, spared, seed, round(watched.halving_seconds, 2))
        other = moved(base, images, best_cells(arguments.out, seed, cells))
        started = time.process_time()
        tables = {"probe moved": make_scorer(other).score(cells, 0)}
        write(arguments.out, tables, seed, round(time.process_time() - started, 2))
        print(seed, flush=True)


if __name__ == "__main__":
    main()
