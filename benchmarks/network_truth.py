"""Networks that were trained alone, and how well predictions order them.

What `sentence_ranking.py` and `caption_ranking.py` have in common.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from autospace.compute.machine import keep_freed_memory

QUARTERS: Final = 4
DRAWS: Final = 2000
Array = np.ndarray
Pairs = Sequence[tuple[int, int]]
Part = Callable[[str, Path], None]
Report = Callable[[Path], dict[str, Any]]


def written(out: Path, row: dict[str, Any]) -> None:
    """Appends a row to the results."""
    with out.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    print({key: value for key, value in row.items() if key != "fitness"}, flush=True)


def rows_of(path: Path, part: str) -> list[dict[str, Any]]:
    """The rows of a part of the results, by seed and network."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    chosen = [row for row in rows if row["part"] == part]
    return sorted(chosen, key=lambda row: (row["seed"], row.get("network", 0)))


def tau(a: Array, b: Array, pairs: Pairs) -> float:
    """Kendall's tau-a over some pairs: those that are tied count as 0."""
    if not pairs:
        return 0.0
    first, second = np.array(pairs).T
    return float(np.mean(np.sign(a[first] - a[second]) * np.sign(b[first] - b[second])))


@dataclass(frozen=True)
class Truth:
    """The losses of networks.

    Attributes:
        losses: [seeds, networks].
        madds: of each network.
    """

    losses: Array
    madds: Array

    @property
    def every(self) -> Pairs:
        """All pairs of networks."""
        return [*combinations(range(len(self.madds)), 2)]

    @property
    def inside(self) -> Pairs:
        """The pairs that are in the same quarter of MAdds, where counting says least."""
        quarter = np.argsort(np.argsort(self.madds, kind="stable")) * QUARTERS // len(self.madds)
        return [(a, b) for a, b in self.every if quarter[a] == quarter[b]]

    def summary(self, predicted: Mapping[str, Sequence[Array]]) -> dict[str, Any]:
        """Tau of predictions, of several seeds each, with the mean over the seeds of the truth.

        `all` and `inside` are mean and 95 % interval, over networks that are drawn again; seeds are
        not. `differences` are those of two predictions on the same networks.
        """
        truth, pairs_of = -self.losses.mean(0), {"all": self.every, "inside": self.inside}
        twos = [*combinations(self.losses, 2)]
        return {
            "losses": [round(float(each), 3) for each in (-truth.max(), -truth.min())],
            "truth between seeds": {
                name: round(float(np.mean([tau(a, b, pairs) for a, b in twos])), 3)
                for name, pairs in pairs_of.items()
            },
            "scorers": {
                name: {
                    "all": self._with_interval(values, self.every),
                    "inside": self._with_interval(values, self.inside),
                    "seeds": [round(tau(each, truth, self.every), 3) for each in values],
                }
                for name, values in predicted.items()
            },
            "differences": {
                f"{one} - {other}": {
                    name: self._with_interval(predicted[one], pairs, predicted[other])
                    for name, pairs in pairs_of.items()
                }
                for one, other in combinations(predicted, 2)
            },
        }

    def _with_interval(
        self, values: Sequence[Array], pairs: Pairs, others: Sequence[Array] = ()
    ) -> list[float]:
        """Mean tau, or how far it is ahead of that of others; with its 95 % interval."""
        agrees = self._agreement(values, pairs)
        if others:
            agrees = agrees - self._agreement(others, pairs)
        first, second = np.array(pairs).T
        rng, kept, count = np.random.default_rng(0), [], len(self.madds)
        for _ in range(DRAWS):
            times = np.bincount(rng.integers(0, count, count), minlength=count)
            weights = times[first] * times[second]
            kept.append(float(weights @ agrees / max(1, weights.sum())))
        low, high = np.quantile(kept, (0.025, 0.975))
        return [round(each, 3) for each in (float(agrees.mean()), float(low), float(high))]

    def _agreement(self, values: Sequence[Array], pairs: Pairs) -> Array:
        """Per pair from -1 to 1: whether the seeds of a prediction order it as the truth does."""
        truth, (first, second) = -self.losses.mean(0), np.array(pairs).T
        right = np.sign(truth[first] - truth[second])
        return np.mean([np.sign(each[first] - each[second]) * right for each in values], 0)


def study(
    about: str | None, result: Path, report: Report, fitness: Part, truth: Part, data: str = ""
) -> None:
    """Does the part of a study that the command line names.

    Args:
        about: the study, for `--help`.
        result: where the report is written.
        report: from the rows of both parts.
        fitness: writes the rows that are not there yet, given the data and the file.
        truth: likewise.
        data: what is read unless `--data` says otherwise.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", default=data)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=("fitness", "truth", "report"), required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if arguments.part == "report":
        text = json.dumps(report(arguments.out), indent=1)
        result.write_text(text + "\n", "utf-8")
        print(text)
        return
    part = fitness if arguments.part == "fitness" else truth
    part(arguments.data, arguments.out)
