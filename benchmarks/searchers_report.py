"""The tables of docs/evidence/search-methods.md from what `searchers.py` has measured.

    python benchmarks/searchers_report.py FILE.jsonl [--docs docs/evidence/search-methods.md]

Intervals are of 95 %, by Student's t over the seeds of the searches; differences are between
independent searches (Welch). Kendall's tau is that of a method's rating of the common set with the
mean accuracy over the seeds of its trainings.
"""

import argparse
import re
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from searchers import Task, held

from autospace.bench.ranking import kendall
from autospace.comparison.statistics import LEVEL, MeanDifference, mean_difference

PLACE = re.compile(
    r"(<!-- results of benchmarks/searchers_report.py -->\n).*?(<!-- end of results -->)", re.DOTALL
)
BASELINE = "random"
LEARNED = "learned"
SIZES = ("madds", "params")

Rows = dict[Task, dict[str, Any]]


class Results:
    """What was measured, by space and method."""

    def __init__(self, rows: Rows) -> None:
        self.searches: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        self._trained: dict[str, dict[int, dict[int, dict[str, Any]]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        for task, row in rows.items():
            if task.kind == "search":
                self.searches[task.space, task.name].append(row)
            elif task.kind == "truth":
                self._trained[task.space][task.seed][int(task.name)] = row
        self.spaces = list(dict.fromkeys(space for space, _ in self.searches))
        self.methods = list(dict.fromkeys(method for _, method in self.searches))

    def accuracies(self, space: str, method: str) -> list[float]:
        """In per cent, per seed."""
        return [100 * row["accuracy"] for row in self.searches.get((space, method), [])]

    def means(self, space: str) -> dict[int, float]:
        """Per seed that all methods have, their mean accuracy; the baseline does not count."""
        found = {}
        for seed in range(max(map(len, self.searches.values()))):
            of_all = [
                100 * row["accuracy"]
                for method in self.methods
                for row in self.searches.get((space, method), [])
                if row["seed"] == seed and method != BASELINE
            ]
            if len(of_all) == len(set(self.methods) - {BASELINE}):
                found[seed] = statistics.mean(of_all)
        return found

    def truth(self, space: str) -> list[list[float]]:
        """Per complete seed the accuracies of the common set."""
        seeds = self._trained[space].values()
        size = max((len(each) for each in seeds), default=0)
        whole = [each for each in seeds if len(each) == size]
        return [[each[index]["accuracy"] for index in range(size)] for each in whole]

    def taus(self, space: str, method: str) -> list[float]:
        """Per seed of the search, with the mean truth."""
        truth = [statistics.mean(each) for each in zip(*self.truth(space), strict=True)]
        if method in SIZES:
            first = next(iter(self._trained[space].values()), {})
            return [kendall([first[i][method] for i in range(len(truth))], truth)] if truth else []
        rated = [row["rated"] for row in self.searches.get((space, method), [])]
        return [kendall(each, truth) for each in rated if each and len(each) == len(truth)]

    def ceiling(self, space: str) -> list[float]:
        """Tau between every two seeds of the truth."""
        seeds = self.truth(space)
        return [kendall(a, b) for i, a in enumerate(seeds) for b in seeds[:i]]


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and interval."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else ""
    error = statistics.stdev(values) / len(values) ** 0.5
    return shown(MeanDifference(statistics.mean(values), error, len(values) - 1), digits)


def shown(effect: MeanDifference, digits: int, sign: str = "") -> str:
    low, high = effect.interval(LEVEL)
    return f"{effect.value:{sign}.{digits}f} ({low:{sign}.{digits}f} to {high:{sign}.{digits}f})"


def gap(of: Sequence[float], over: Sequence[float]) -> str:
    """How much higher the first are, with interval."""
    if not of or not over:
        return ""
    if min(len(of), len(over)) < 2:
        return f"{statistics.mean(of) - statistics.mean(over):+.2f}"
    return shown(mean_difference(of, over, paired=False), 2, "+")


def paired(of: Mapping[int, float], over: Mapping[int, float]) -> str:
    """How much higher the first are, seed by seed, with interval."""
    seeds = sorted(of.keys() & over.keys())
    if len(seeds) < 2:
        return gap([of[seed] for seed in seeds], [over[seed] for seed in seeds])
    pairs = [[each[seed] for seed in seeds] for each in (of, over)]
    return shown(mean_difference(*pairs, paired=True), 2, "+")


def mean(rows: Sequence[dict[str, Any]], name: str, scale: float, digits: int) -> str:
    values = [row[name] / scale for row in rows]
    return f"{statistics.mean(values):.{digits}f}" if values else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def space_table(results: Results, space: str) -> str:
    """All methods on one space."""
    rows = []
    for method in results.methods:
        found = results.searches.get((space, method), [])
        rows.append(
            [
                f"`{method}`",
                spread(results.accuracies(space, method), 2),
                mean(found, "madds", 1e6, 2),
                mean(found, "evaluations", 1, 0),
                mean(found, "seconds", 1, 1),
                mean(found, "memory_mb", 1, 0),
                spread(results.taus(space, method), 2),
            ]
        )
    rows += [[name, "", "", "", "", "", spread(results.taus(space, name), 2)] for name in SIZES]
    if results.ceiling(space):
        truth = "between two seeds of the trainings"
        rows.append([truth, "", "", "", "", "", spread(results.ceiling(space), 2)])
    drawn = [100 * accuracy for seed in results.truth(space) for accuracy in seed]
    rows.append([f"one of {len(drawn)} at random", spread(drawn, 2), "", "1", "", "", ""])
    head = ["method", "test accuracy, %", "M MAdds", "evaluated", "CPU s", "MB", "Kendall tau"]
    return table(head, rows)


def question_table(results: Results) -> str:
    """Each method in the learned space against the other spaces, and against random in each."""
    rivals = [space for space in results.spaces if space != LEARNED]
    rows = []
    for method in results.methods:
        found = {space: results.accuracies(space, method) for space in results.spaces}
        better = [gap(found.get(LEARNED, []), found[rival]) for rival in rivals]
        over = [gap(found[space], results.accuracies(space, BASELINE)) for space in results.spaces]
        rows.append([f"`{method}`", *better, *(over if method != BASELINE else [""] * len(over))])
    means = {space: results.means(space) for space in results.spaces}
    baseline = {
        space: {row["seed"]: 100 * row["accuracy"] for row in results.searches[space, BASELINE]}
        for space in results.spaces
        if (space, BASELINE) in results.searches
    }
    pooled = [paired(means.get(LEARNED, {}), means[rival]) for rival in rivals]
    pooled += [paired(means[space], baseline.get(space, {})) for space in results.spaces]
    rows.append(["mean of all but `random`, by seed", *pooled])
    heads = [f"{LEARNED} over {rival}" for rival in rivals]
    heads += [f"over `{BASELINE}` in {space}" for space in results.spaces]
    return table(["points of accuracy", *heads], rows)


def report(results: Results) -> str:
    """All tables."""
    seeds = max(map(len, results.searches.values()))
    parts = [
        f"Means over up to {seeds} seeds, with 95 % intervals in brackets. One of twenty such "
        "intervals is expected to miss.\n"
    ]
    for space in results.spaces:
        parts.append(f"### In the space `{space}`\n\n{space_table(results, space)}")
    parts.append(f"### Gains of the space and of the method\n\n{question_table(results)}")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("measured", type=Path)
    parser.add_argument("--docs", type=Path, help="a page with a place for the tables")
    arguments = parser.parse_args()
    text = report(Results(held(arguments.measured)))
    if arguments.docs is None:
        print(text)
        return
    page = arguments.docs.read_text("utf-8")
    if not PLACE.search(page):
        raise SystemExit(f"{arguments.docs}: no place for the results")
    renewed = PLACE.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", page)
    arguments.docs.write_text(renewed, "utf-8")


if __name__ == "__main__":
    main()
