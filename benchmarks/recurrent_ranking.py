"""Does fitness order recurrent cells as training them alone does?

    python benchmarks/recurrent_ranking.py --part fitness
    python benchmarks/recurrent_ranking.py --part truth
    python benchmarks/recurrent_ranking.py --part report

The skeleton is `rnn-small`, the text is the help of Python. Cells are drawn uniformly. `fitness` is
what `evolve --preset text` gives them, for several seeds of reference and scoring; it is to be
committed before `truth`, which trains every cell alone from scratch, for other seeds. Both go on
where they stopped. `report` prints Kendall's tau with the mean of the truth, whose own agreement
between seeds says how well any score could do.
"""

import argparse
import json
import random
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from scipy.stats import kendalltau

from autospace.evolution.families import reference_network, references_on
from autospace.evolution.parts import TextParts
from autospace.evolution.reference import new_reference
from autospace.evolution.settings import make_config, preset
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.recurrent import CLIP, RecurrentScorer
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.recurrent import Recurrent, RecurrentPrior
from autospace.spaces.cells.recurrent_cell import FUNCTIONS, recurrent_notation
from autospace.spaces.files.library import load_skeleton
from autospace.text.corpus import load_text
from autospace.training.short import Recipe, measure, train
from autospace.training.task import LanguageModelling

RESULTS: Final = Path(__file__).resolve().parent / "results" / "recurrent_ranking.jsonl"
CELLS: Final = 16
DRAWN_BY: Final = 20
"""The seed that draws the cells."""
FITNESS_SEEDS: Final = (0, 1, 2)
TRUTH_SEEDS: Final = (10, 11)
TRUTH_STEPS: Final = 600
CPU: Final = torch.device("cpu")
TASK: Final = LanguageModelling()
CONFIG: Final = make_config(preset("text"))


def cells() -> list[Cell]:
    """Random whole cells with four nodes, no two of which are the same tree."""
    rng, family, prior = random.Random(DRAWN_BY), Recurrent(), RecurrentPrior(tuple(FUNCTIONS), 4)
    found: dict[str, Cell] = {}
    while len(found) < CELLS:
        cell = family.canonical(family.random_cell(prior, rng))
        found.setdefault(recurrent_notation(cell), cast(Cell, cell))
    return list(found.values())


def rows() -> list[dict[str, Any]]:
    """What is known."""
    if not RESULTS.is_file():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def fitness(parts: TextParts) -> Iterator[dict[str, Any]]:
    """A row for every seed that is not there yet."""
    known = {row["seed"] for row in rows() if row["part"] == "fitness"}
    skeleton = load_skeleton("rnn-small").for_vocabulary(len(parts.corpus.vocabulary)).undivided
    ((_, chain),) = references_on(skeleton, CONFIG.cells)
    for seed in sorted({*FITNESS_SEEDS} - known):
        config = CONFIG.model_copy(update={"seed": seed})
        network = new_reference(*reference_network(skeleton, chain), seed, CPU)
        training, validation, warming = parts.batches(config, CPU)
        recipe = Recipe(config.warm_up.steps, config.warm_up.learning_rate)
        train(network, warming, recipe, task=TASK)
        reference = parts.measured(network, seed, CPU)
        context = ScoringContext(
            freeze(network), training, validation, config.scoring, seed, task=TASK
        )
        (found,) = RecurrentScorer(context).score([cells()], 0)
        yield {
            "part": "fitness",
            "seed": seed,
            "reference_accuracy": reference.accuracy,
            "values": [round(each, 6) for each in found],
        }


def truth(parts: TextParts) -> Iterator[dict[str, Any]]:
    """A row for every cell and seed that is not there yet: its validation loss in nats."""
    known = {(row["seed"], row["cell"]) for row in rows() if row["part"] == "truth"}
    skeleton = load_skeleton("rnn-small").for_vocabulary(len(parts.corpus.vocabulary)).undivided
    *_, warming = parts.batches(CONFIG, CPU)
    for seed in TRUTH_SEEDS:
        for index, cell in enumerate(cells()):
            if (seed, index) in known:
                continue
            network = new_reference(skeleton, [cell], seed, CPU)
            recipe = Recipe(TRUTH_STEPS, CONFIG.warm_up.learning_rate, clip=CLIP)
            train(network, warming, recipe, task=TASK)
            found = measure(network, parts.judged(CPU).evaluation_batches(), TASK)
            yield {
                "part": "truth",
                "seed": seed,
                "cell": index,
                "notation": recurrent_notation(cast(Any, cell)),
                "loss": round(found.loss, 6),
            }


def report() -> None:
    """Kendall's tau of every seed of fitness with the mean of the truth."""
    found = rows()
    losses = np.array(
        [
            [row["loss"] for row in found if row["part"] == "truth" and row["seed"] == seed]
            for seed in TRUTH_SEEDS
        ]
    )
    pairs = combinations(range(len(losses)), 2)
    agreement = [float(kendalltau(losses[a], losses[b]).statistic) for a, b in pairs]
    print(f"truth: {losses.shape[1]} cells, losses {losses.min():.3f} to {losses.max():.3f}")
    print(f"seeds of truth agree at tau {np.mean(agreement):.2f}")
    taus = []
    for row in found:
        if row["part"] == "fitness":
            tau = float(kendalltau(row["values"], -losses.mean(0)).statistic)
            taus.append(tau)
            accuracy = row["reference_accuracy"]
            print(f"fitness, seed {row['seed']} (reference {accuracy:.1%}): tau {tau:.2f}")
    print(f"mean {np.mean(taus):.2f}, standard deviation {np.std(taus, ddof=1):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("fitness", "truth", "report"), required=True)
    part = parser.parse_args().part
    torch.set_num_threads(1)
    if part == "report":
        report()
        return
    work = {"fitness": fitness, "truth": truth}[part]
    for row in work(TextParts(load_text("text"))):
        with RESULTS.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
