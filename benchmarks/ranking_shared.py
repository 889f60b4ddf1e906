"""Other ways to read fitness off shared weights: no reference in the mix, one path, sampled paths,
and one supernet that is kept while every cell is scored several times.

    python benchmarks/ranking_shared.py --data npz:PATH --out FILE.jsonl --seeds 0 1 2

Adds lines to the file of `ranking.py`: `mixture alone` (the mixture of `mixture` without the
reference; fitness is a candidate's log-odds over its company), and `nasp` and `gumbel` (one
supernet over all cells of a layer and the reference, searched by NASP and by GDAS; fitness is
what they rank candidates by).

`--only "mixture kept" "mixture again"` scores every cell four times, in companies of its own each
time, and writes the moving average after each: with weights that are kept, as in the preset
`paper`, and with new weights every time, which shows what averaging alone is worth.
"""

import argparse
import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from ranking import WARM_UP_STEPS, Table, already, in_groups, setting, variants, write
from ranking_setup import LAYERS, REFERENCE, SKELETON, Images, cells_of, load_images
from torch import nn

from autospace.data import images as evaluation
from autospace.data.batches import Augment
from autospace.data.examples import DataSet
from autospace.data.splits import divide
from autospace.evolution.settings import EvolutionConfig
from autospace.scorers.context import KeptWeights, ScoringContext
from autospace.scorers.mixture import MixtureScorer, MixtureSearch
from autospace.searchers.gradient.search import GradientSearch
from autospace.searchers.make import make_method
from autospace.searchers.problem import SearchProblem
from autospace.searchers.settings import SearchConfig
from autospace.spaces import Candidate, Cell, Layer, Space
from autospace.spaces.cells.operations import DEFAULT_OPERATIONS
from autospace.spaces.choices import Choices
from autospace.supernets.supernet import Supernet, fix_scale

STEPS_PER_CELL = 25
ALPHA_EVERY = 4
METHODS = {"nasp": "nasp", "gumbel": "gdas"}
ROUNDS = {"mixture kept": True, "mixture again": False}
"""Whether weights are kept."""
TIMES = 4
WRITE_BACK = EvolutionConfig().write_back


class MixtureAlone(MixtureScorer):
    """The mixture scorer with candidates only."""

    def company(self, candidates: list[list[Cell]]) -> Table:
        """Log-odds of every candidate over the mean of its company."""
        base = self._setting
        network = copy.deepcopy(base.reference).requires_grad_(True)
        network.layers = nn.ModuleList()
        cells = [[base.candidate(i, cell, 0) for cell in row] for i, row in enumerate(candidates)]
        supernet = Supernet(network, cells).train()
        fix_scale(supernet)
        search = MixtureSearch(supernet, base)
        self._train(search, 0)
        return [(alpha - alpha.mean()).tolist() for alpha in search.alphas]


def space_of(cells: list[list[Cell]]) -> Space:
    """The cells of the study as a space, the reference last in every layer."""
    layers = []
    for shape, row in zip(SKELETON.shapes, cells, strict=True):
        offered = [Candidate(f"c{index:02d}", cell) for index, cell in enumerate(row)]
        layers.append(Layer(shape, (*offered, Candidate("reference", REFERENCE))))
    return Space("ranking", SKELETON, DEFAULT_OPERATIONS, tuple(layers))


def searched(method: str, cells: list[list[Cell]], images: Images, seed: int) -> Table:
    """What a gradient-based search ranks the candidates by, after all its steps."""
    weights, fitness = divide(images.train, 0.5, seed=1)
    data = DataSet("ranking", tuple(map(str, range(10))), images.train, images.test, images.digest)
    parts = evaluation.Images(
        data, weights, fitness, images.normaliser, Augment(), torch.device("cpu")
    )
    size = max(map(len, cells)) + 1
    config = SearchConfig.model_validate(
        {
            "method": method,
            "seed": seed,
            "supernet": {"steps": STEPS_PER_CELL * size, "learning_rate": 0.05},
            "options": {"alpha_every": ALPHA_EVERY, "judgements": 1},
        }
    )
    search = make_method(SearchProblem.of(Choices(space_of(cells), ()), parts, config))
    if not isinstance(search, GradientSearch):
        raise TypeError(f"{method} is not a gradient-based search")
    for index in range(search.steps):
        search.step(index)
    return [row[:-1] for row in search.scores]


def averaged(name: str, base: ScoringContext, cells: list[list[Cell]]) -> Iterator[Table]:
    """The moving average of fitness after every cell was scored once, twice, and so on."""
    scorer = MixtureScorer(replace(base, kept=KeptWeights() if ROUNDS[name] else None))
    average: Table = []
    for repeat in range(TIMES):

        def score(chosen: list[list[Cell]], repeat: int = repeat) -> Table:
            return scorer.score(chosen, repeat)

        # Other companies each time, as tournaments draw them.
        found = in_groups(cells, base.seed + 1000 * repeat, score)
        average = [
            [old + WRITE_BACK * (new - old) for old, new in zip(*rows, strict=True)]
            for rows in zip(average or found, found, strict=True)
        ]
        yield average


def predicted(name: str, base: ScoringContext, cells: list[list[Cell]], images: Images) -> Table:
    """What one way says of every cell."""
    if name in METHODS:
        return searched(METHODS[name], cells, images, base.seed)
    return in_groups(cells, base.seed, lambda chosen: MixtureAlone(base).company(chosen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="*", default=["mixture alone", *METHODS])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = load_images(arguments.data)
    cells = [cells_of(layer) for layer in LAYERS.values()]
    for seed in arguments.seeds:
        base: ScoringContext | None = None
        for name in arguments.only:
            if (name, seed) in already(arguments.out):
                continue
            base = base or setting(images, seed, variants()["mixture"], WARM_UP_STEPS)
            started = time.process_time()
            if name in ROUNDS:
                tables = {
                    f"{name} times={times}" if times > 1 else name: table
                    for times, table in enumerate(averaged(name, base, cells), 1)
                }
            else:
                tables = {name: predicted(name, base, cells, images)}
            seconds = round(time.process_time() - started, 2)
            write(arguments.out, tables, seed, seconds)
            print(name, seed, seconds, flush=True)


if __name__ == "__main__":
    main()
