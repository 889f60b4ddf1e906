"""Does fitness order decoders of captions as training them alone does?

    python benchmarks/caption_ranking.py --out FILE.jsonl --part fitness
    python benchmarks/caption_ranking.py --out FILE.jsonl --part truth
    python benchmarks/caption_ranking.py --out FILE.jsonl --part report

The skeleton is `captions-small`, the data are synthetic captions over real images. Decoders are
drawn uniformly. The cells of each layer are scored in that layer as `evolve --preset captions` does
it, for several seeds; the fitness of a decoder is the sum over its layers. The truth
is the loss of a token on the test split, in nats, of every decoder trained from scratch; fitness is
measured on the validation split. Each part goes on where it stopped.
"""

import math
import random
import time
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from macro_fitness import CPU, known
from network_truth import Truth, rows_of, study, written

from autospace.captions.passages import CaptionBatches, fitted_skeleton, load_captioned
from autospace.data.images import Split
from autospace.evolution.families import reference_network, references_on
from autospace.evolution.parts import CaptionParts
from autospace.evolution.reference import new_reference
from autospace.evolution.settings import Config, make_config, preset
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.seeds import derived_seed
from autospace.spaces import Architecture, load
from autospace.spaces.captions import CaptionSkeleton
from autospace.training.short import Recipe, train
from autospace.training.task import task_of

RESULT: Final = Path(__file__).parent / "results" / "caption_ranking.json"
SPACE: Final = load("autocaption@captions-small")
NETWORKS: Final = 24
FITNESS_SEEDS: Final = (0, 1, 2)
TRUTH_SEEDS: Final = (10, 11)
TRUTH_STEPS: Final = 1500


def networks() -> list[Architecture]:
    """Random decoders, the same for everyone."""
    rng = random.Random(0)
    return [SPACE.sample(rng) for _ in range(NETWORKS)]


def setting(
    source: str, seed: int, split: Split = "validation"
) -> tuple[Config, CaptionParts, CaptionSkeleton]:
    """The settings of the preset, the data, and the skeleton for them."""
    config = make_config(preset("captions"), {"seed": seed, "data": {"source": source}})
    skeleton = cast(CaptionSkeleton, SPACE.skeleton)
    data = config.data.model_copy(update={"resolution": skeleton.resolution})
    halves = load_captioned(data, split, seed, CPU)
    fitted = fitted_skeleton(skeleton, halves.data).undivided
    return config, CaptionParts(halves), cast(CaptionSkeleton, fitted)


def measure_fitness(source: str, out: Path) -> None:
    """A line for every seed that is not there yet: the fitness of every decoder's cells."""
    for seed in FITNESS_SEEDS:
        row: dict[str, Any] = {"part": "fitness", "seed": seed, "scorer": "in-place"}
        if known(out, row):
            continue
        config, parts, skeleton = setting(source, seed)
        training, validation, warming = parts.batches(config, CPU)
        reference = references_on(skeleton, config.cells)[0][1]
        network = new_reference(*reference_network(skeleton, reference), seed, CPU)
        task = task_of(skeleton)
        recipe = Recipe(config.warm_up.steps, config.warm_up.learning_rate)
        train(network, warming, recipe, task=task)
        row["reference"] = parts.measured(network, seed, CPU).perplexity
        started = time.process_time()
        context = ScoringContext(
            freeze(network), training, validation, config.scoring, seed, task=task
        )
        layers = [*zip(*(each.shared_cells for each in networks()), strict=True)]
        row["fitness"] = make_scorer(context).score(layers, 0)
        row["seconds"] = round(time.process_time() - started, 1)
        written(out, row)


def measure_truth(source: str, out: Path) -> None:
    """A line for every decoder and seed that is not there yet."""
    for seed in TRUTH_SEEDS:
        for index, architecture in enumerate(networks()):
            row: dict[str, Any] = {"part": "truth", "seed": seed, "network": index}
            if not known(out, row):
                written(out, {**row, "loss": trained(source, seed, architecture, TRUTH_STEPS)})


def trained(source: str, seed: int, architecture: Architecture, steps: int) -> float:
    """The loss of a token on the test split, in nats, of a decoder trained from scratch."""
    config, parts, skeleton = setting(source, seed, "test")
    halves = parts.halves
    batches = CaptionBatches(
        halves.training,
        config.warm_up.batch,
        derived_seed(seed, "truth"),
        CPU,
        halves.normaliser,
        augment=halves.augment,
    )
    network = new_reference(skeleton, architecture.shared_cells, seed, CPU)
    recipe = Recipe(steps, config.warm_up.learning_rate)
    train(network, batches, recipe, task=task_of(skeleton))
    return round(math.log(parts.measured(network, seed, CPU).perplexity or math.inf), 5)


def report(path: Path) -> dict[str, Any]:
    """Tau of fitness, and of counting, with the truth."""
    drawn, rows = networks(), rows_of(path, "truth")
    losses = np.array(
        [[row["loss"] for row in rows if row["seed"] == seed] for seed in TRUTH_SEEDS]
    )
    madds = np.array([float(each.cost.madds) for each in drawn])
    fitness = [np.sum(row["fitness"], 0) for row in rows_of(path, "fitness")]
    return Truth(losses, madds).summary({"MAdds": [madds], "in-place": fitness})


if __name__ == "__main__":
    study(__doc__, RESULT, report, measure_fitness, measure_truth, "captions")
