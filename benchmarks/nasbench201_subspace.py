"""What a learned space of operations per edge is worth, against the table's truth.

    autospace evolve --skeleton nasbench201 --data folder:CIFAR10 --out RUN ...
    python benchmarks/nasbench201_subspace.py RUN ...

Each space keeps some operations per edge. Its truth is the mean, and the best, of the 200-epoch
accuracies of its networks. It is held against all sub-spaces that keep as many operations per edge
(a sample of them, drawn uniformly), and against those of them whose networks cost no more on
average. Writes benchmarks/results/nasbench201_subspace.json.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from autospace.evaluators.tabular import read_table
from autospace.evolution.folder import state_from_json
from autospace.spaces import Space, load

RESULT = Path(__file__).parent / "results" / "nasbench201_subspace.json"
DRAWS = 20_000


def main() -> None:
    table = read_table("nasbench201-200epochs")
    scores = 100 * table.scores[:, 0].reshape((5,) * 6)
    madds = costs(table.space)
    found = [judged(Path(run), scores, madds) for run in sys.argv[1:]]
    RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1, sort_keys=True))


def costs(space: Space) -> np.ndarray:
    """MAdds of every operation on every edge, [6, 5]; all edges are alike."""
    return np.array([[cost.madds for cost in layer.costs] for layer in space.layers])


def judged(run: Path, scores: np.ndarray, madds: np.ndarray) -> dict[str, Any]:
    space = load(run)
    names = list(read_table("nasbench201-200epochs").space.layers[0].by_id)
    kept = [
        sorted(names.index(candidate.cell.operations[0]) for candidate in layer.candidates)
        for layer in space.layers
    ]
    rng = np.random.default_rng(0)
    others = [
        [sorted(rng.choice(5, len(row), replace=False)) for row in kept] for _ in range(DRAWS)
    ]
    means = np.array([part(scores, each).mean() for each in others])
    bests = np.array([part(scores, each).max() for each in others])
    spent = np.array([spend(madds, each) for each in others])
    mine = part(scores, kept)
    cheap = spent <= spend(madds, kept)
    fitness = fitness_of(run, space)
    return {
        "seed": space.provenance["config"]["seed"],
        "kept": [[names[index] for index in row] for row in kept],
        "fitness": [{name: round(value, 5) for name, value in each.items()} for each in fitness],
        "networks": int(mine.size),
        "mean accuracy": round(float(mine.mean()), 3),
        "best accuracy": round(float(mine.max()), 3),
        "whole space": [round(float(scores.mean()), 3), round(float(scores.max()), 3)],
        "mean of sub-spaces": round(float(means.mean()), 3),
        "share of sub-spaces with a lower mean": round(float((means < mine.mean()).mean()), 4),
        "share with a lower best": round(float((bests < mine.max()).mean()), 4),
        "share of those as cheap": round(float(cheap.mean()), 4),
        "share of those with a lower mean": round(float((means[cheap] < mine.mean()).mean()), 4),
        "tau of fitness with marginal truth": tau(fitness, names, scores),
    }


def part(scores: np.ndarray, kept: list[list[int]]) -> np.ndarray:
    return scores[np.ix_(*kept)]


def spend(madds: np.ndarray, kept: list[list[int]]) -> float:
    return float(sum(row[each].mean() for row, each in zip(madds, kept, strict=True)))


def fitness_of(run: Path, space: Space) -> list[dict[str, float]]:
    """Per edge the fitness of every operation that the run scored."""
    text = (run / "checkpoint" / "state.json").read_text(encoding="utf-8")
    state = state_from_json(text, space.skeleton, "dense")
    return [
        {each.cell.operations[0]: each.value for each in (*layer.members, *layer.references)}
        for layer in state.layers
    ]


def tau(fitness: list[dict[str, float]], names: list[str], scores: np.ndarray) -> float:
    """Kendall's tau, mean over edges, of fitness with the mean accuracy of the networks so made."""
    found = []
    for edge, values in enumerate(fitness):
        marginal = scores.mean(axis=tuple(each for each in range(6) if each != edge))
        pairs = [(value, marginal[names.index(name)]) for name, value in values.items()]
        found.append(kendalltau(*zip(*pairs, strict=True)).statistic)
    return round(float(np.mean(found)), 3)


if __name__ == "__main__":
    main()
