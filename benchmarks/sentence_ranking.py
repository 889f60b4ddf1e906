"""Does fitness order networks that read sentences as training them alone does?

    python benchmarks/sentence_ranking.py --data SOURCE --out FILE.jsonl --part fitness
    python benchmarks/sentence_ranking.py --data SOURCE --out FILE.jsonl --part truth
    python benchmarks/sentence_ranking.py --out FILE.jsonl --part report

The skeleton is `bert-small`: two blocks of three layers, each at hidden size 16 or 32. Every kind
of layer is scored at every place as `evolve --preset sentences` does it, with each scorer and for
several seeds; the fitness of a network is the sum over its layers. `truth` trains random networks
without skipped layers from scratch, also on half of the train split, and measures them on the test
split, which fitness does not see. Each part goes on where it stopped. The report has
Kendall's tau with the mean loss of the truth (and with its accuracy): over all networks, and over
the pairs that are in the same quarter of MAdds, where counting says least.
"""

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from macro_fitness import CPU, known
from network_truth import Truth, rows_of, study, written

from autospace.data.batches import Batches
from autospace.data.images import skeleton_for
from autospace.data.load import load_data
from autospace.data.splits import divide
from autospace.evolution.families import reference_network, references_on
from autospace.evolution.parts import ImageParts
from autospace.evolution.reference import new_reference
from autospace.evolution.settings import Config, make_config, preset
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import METHODS_ON
from autospace.seeds import derived_seed
from autospace.spaces import Architecture, load
from autospace.spaces.encoder import EncoderSkeleton
from autospace.training.short import Recipe, measure, train

RESULT: Final = Path(__file__).parent / "results" / "sentence_ranking.json"
SPACE: Final = load("nas-bert@bert-small")
NETWORKS: Final = 32
FITNESS_SEEDS: Final = (0, 1, 2)
TRUTH_SEEDS: Final = (10, 11)
TRUTH_STEPS: Final = 700
"""At the bottom of the held-out loss of the reference; from 1,000 on it rises."""
RATE: Final = 0.03
BATCH: Final = 64


def networks() -> list[Architecture]:
    """Random networks in which no layer is skipped, the same for everyone."""
    rng, found = random.Random(0), dict[tuple[str, ...], Architecture]()
    while len(found) < NETWORKS:
        drawn = SPACE.sample(rng)
        ids = tuple(drawn.choices.values())
        if "skip" not in ids:
            found[ids] = drawn
    return [*found.values()]


def config_of(source: str, seed: int, method: str) -> Config:
    """The settings of the preset, with another scorer."""
    changes = {"seed": seed, "data": {"source": source}, "scoring": {"method": method}}
    return make_config(preset("sentences"), changes)


def parts_of(source: str, seed: int) -> tuple[ImageParts, EncoderSkeleton]:
    """The sentences in two parts, and the skeleton for them."""
    data = load_data(source)
    parts = ImageParts(data, *divide(data.train, 0.5, seed))
    return parts, cast(EncoderSkeleton, skeleton_for(SPACE.skeleton, data))


def setting(source: str, seed: int) -> ScoringContext:
    """The trained reference, and the batches of a scoring seed."""
    config = config_of(source, seed, "in-place")
    parts, skeleton = parts_of(source, seed)
    training, validation, warming = parts.batches(config, CPU)
    reference = references_on(skeleton, config.cells)[0][1]
    network = new_reference(*reference_network(skeleton, reference), seed, CPU)
    train(network, warming, Recipe(config.warm_up.steps, config.warm_up.learning_rate))
    print(seed, "reference", parts.measured(network, seed, CPU).accuracy, flush=True)
    return ScoringContext(freeze(network), training, validation, config.scoring, seed)


def measure_fitness(source: str, out: Path) -> None:
    """A line for every seed and scorer that is not there yet: fitness per layer and cell."""
    rows = [
        {each.id: each.cell for each in layer.candidates if each.id != "skip"}
        for layer in SPACE.layers
    ]
    for seed in FITNESS_SEEDS:
        base: ScoringContext | None = None
        for method in METHODS_ON["sentences"]:
            row: dict[str, Any] = {"part": "fitness", "seed": seed, "scorer": method}
            if known(out, row):
                continue
            base = base or setting(source, seed)
            started = time.process_time()
            options = config_of(source, seed, method).scoring
            found = make_scorer(replace(base, options=options)).score(
                [[*each.values()] for each in rows], 0
            )
            row["fitness"] = [
                dict(zip(each, values, strict=True))
                for each, values in zip(rows, found, strict=True)
            ]
            row["seconds"] = round(time.process_time() - started, 1)
            written(out, row)


def measure_truth(source: str, out: Path) -> None:
    """A line for every network and seed that is not there yet: its loss on the test split."""
    for seed in TRUTH_SEEDS:
        for index, architecture in enumerate(networks()):
            row: dict[str, Any] = {"part": "truth", "seed": seed, "network": index}
            if not known(out, row):
                written(out, {**row, **trained(source, seed, architecture, TRUTH_STEPS)})


def trained(source: str, seed: int, architecture: Architecture, steps: int) -> dict[str, Any]:
    """What a network that is trained from scratch does on the test split."""
    parts, skeleton = parts_of(source, seed)
    weights = Batches(parts.weights, BATCH, derived_seed(seed, "truth"), CPU, parts.normaliser)
    network = new_reference(skeleton, architecture.cells, seed, CPU)
    train(network, weights, Recipe(steps, RATE))
    judged = Batches(parts.data.test, 256, 0, CPU, parts.normaliser)
    found = measure(network, judged.evaluation_batches())
    return {"loss": round(found.loss, 5), "accuracy": round(found.accuracy, 5)}


def report(path: Path) -> dict[str, Any]:
    """Tau of every scorer, and of counting, with the truth."""
    drawn, rows = networks(), rows_of(path, "truth")
    measured = {
        name: np.array([[row[name] for row in rows if row["seed"] == each] for each in TRUTH_SEEDS])
        for name in ("loss", "accuracy")
    }
    costs = [each.cost for each in drawn]
    madds = np.array([float(cost.madds) for cost in costs])
    predicted = {"MAdds": [madds], "params": [np.array([float(cost.params) for cost in costs])]}
    seconds: dict[str, list[float]] = {}
    for row in rows_of(path, "fitness"):
        sums = [
            sum(layer[name] for layer, name in zip(row["fitness"], each, strict=True))
            for each in (tuple(network.choices.values()) for network in drawn)
        ]
        predicted.setdefault(row["scorer"], []).append(np.array(sums))
        seconds.setdefault(row["scorer"], []).append(row["seconds"])
    found = Truth(measured["loss"], madds).summary(predicted)
    by_accuracy = Truth(-measured["accuracy"], madds).summary(predicted)["scorers"]
    for name, scorer in found["scorers"].items():
        scorer["accuracy"] = by_accuracy[name]["all"][0]
    ends = (measured["accuracy"].min(), measured["accuracy"].max())
    found["accuracies"] = [round(float(each), 3) for each in ends]
    found["seconds"] = {name: round(float(np.mean(each)), 1) for name, each in seconds.items()}
    return found


if __name__ == "__main__":
    study(__doc__, RESULT, report, measure_fitness, measure_truth, "sentences")
