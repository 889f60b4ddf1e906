"""Searches and comparisons against NAS-Bench-Macro, as suite `truth` of `autospace bench` has them.

    python benchmarks/truth_search.py --out benchmarks/results

Writes `truth_search.json` and `truth_search.svg`, and puts the
tables into docs/evidence/truth.md, each between its marks. `--render` only does the latter, from
the JSON that is there.
"""

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results_report import filled
from scipy import stats

from autospace.bench.truth import (
    COUNTS,
    SAMPLES,
    SEARCHES,
    TABLE,
    Outcome,
    Size,
    best_of_draws,
    measured,
    random_regret,
)
from autospace.charts.figure import Area, Axis, Figure, LegendEntry, Line, Panel, Role
from autospace.charts.paper import render
from autospace.evaluators.tabular import read_table

PAGE = Path(__file__).parent.parent / "docs" / "evidence" / "truth.md"
CURVE = (1, 2, 3, 5, 7, *range(10, 50, 5), *range(50, 201, 10))
DRAWN: dict[str, Role] = {
    "evolution": "first",
    "spos": "second",
    "pnas": "third",
    "enas": "fourth",
    "random": "fifth",
    "zero-cost-madds": "sixth",
}
SHOWN = {name: f"`{name}`" for name in SEARCHES} | {
    "zero-cost-madds": "`zero-cost`, by MAdds",
    "zero-cost-params": "`zero-cost`, by params",
}
Record = dict[str, Any]


def interval_of(cases: int, n: int) -> list[float]:
    """The exact interval of a share (Clopper and Pearson)."""
    found = stats.binomtest(cases, n).proportion_ci(0.95)
    return [round(float(end), 4) for end in found]


def searches(rows: dict[str, list[list[float]]]) -> Record:
    """Mean regret in points, and its 95 % interval, per search and number of evaluations."""
    found: Record = {}
    for name, values in rows.items():
        half = stats.t.ppf(0.975, len(values) - 1) / math.sqrt(len(values))
        columns = list(zip(*values, strict=True))
        found[name] = {
            "seeds": len(values),
            "mean": [round(statistics.mean(column), 4) for column in columns],
            "half": [round(float(half * statistics.stdev(column)), 4) for column in columns],
            "last": [round(row[-1], 4) for row in values],
        }
    return found


def exact() -> Record:
    """Expected regret of random search, by the closed form, per number of evaluations."""
    table = read_table(TABLE)
    truth = table.scores.mean(axis=1)
    noiseless = [best_of_draws(truth, truth, count, again=False) for count in CURVE]
    return {
        "one_seed": [round(random_regret(table, count), 4) for count in CURVE],
        "true_mean": [round(100 * (float(truth.max()) - each), 4) for each in noiseless],
    }


def summary(outcomes: Sequence[Outcome]) -> Record:
    """Counts of what the intervals and verdicts of many comparisons did."""
    n = len(outcomes)
    counted: Record = {
        "n": n,
        "samples": round(statistics.mean(each.samples for each in outcomes), 1),
        "above": sum(each.side > 0 for each in outcomes),
        "below": sum(each.side < 0 for each in outcomes),
    }
    for name, cases in (
        ("covered", sum(each.side == 0 for each in outcomes)),
        ("probability_covered", sum(each.probability_side == 0 for each in outcomes)),
        ("decided", sum(each.decided for each in outcomes)),
        ("right", sum(each.right for each in outcomes)),
    ):
        counted[name] = {"share": round(cases / n, 4), "interval": interval_of(cases, n)}
    return counted


def comparisons(outcomes: dict[Any, list[list[Outcome]]]) -> Record:
    """Summaries per kind of pair and per number of networks, a number or `planned`."""
    names = {
        "given": [*map(str, SAMPLES)],
        "planned": ["planned"],
        "equal": [*map(str, SAMPLES), "planned"],
    }
    return {
        kind: {
            name: summary([row[place] for row in rows]) for place, name in enumerate(names[kind])
        }
        for kind, rows in outcomes.items()
    }


def tables(found: Record) -> dict[str, str]:
    """The tables of the page under their names."""
    return {
        "regrets": regrets_table(found),
        "coverage": coverage_table(found["comparisons"]),
        "power": power_table(found["comparisons"]),
    }


def regrets_table(found: Record) -> str:
    """Mean regret per search and number of evaluations, the lowest at the end first."""
    places = [found["counts"].index(count) for count in COUNTS]
    rows = [
        [
            SHOWN[name],
            *(f"{each['mean'][place]:.2f} ± {each['half'][place]:.2f}" for place in places),
        ]
        for name, each in sorted(found["searches"].items(), key=lambda item: item[1]["mean"][-1])
    ]
    one, true = found["exact"]["one_seed"], found["exact"]["true_mean"]
    rows.append(["exact, random choice by one seed", *(f"{one[place]:.3f}" for place in places)])
    rows.append(["exact, random choice by the true mean", *(f"{true[i]:.3f}" for i in places)])
    return _table(["method", *(f"{count}" for count in COUNTS)], rows)


def coverage_table(found: Record) -> str:
    """Share of the intervals that cover the truth."""
    rows = [
        [
            f"{samples}, stated" if samples != "planned" else f"planned, {each['samples']:.0f}",
            str(each["n"]),
            _share(each["covered"]),
            f"{each['below']} / {each['above']}",
            _share(each["probability_covered"]),
        ]
        for kind in ("given", "planned")
        for samples, each in found[kind].items()
    ]
    head = ("networks per space", "pairs of spaces", "mean difference", "too low / too high")
    return _table([*head, "probability of superiority"], rows)


def power_table(found: Record) -> str:
    """Verdicts where there is a difference and where there is none."""
    plan = found["planned"]["planned"]
    rows = [
        ["planned for the true difference", str(plan["n"]), _share(plan["right"]), "at least 80 %"],
        ["the same, verdict for the wrong space", str(plan["n"]), _wrong(plan), ""],
    ]
    rows += [
        [
            f"equal spaces, {samples if samples == 'planned' else f'{samples} networks'}",
            str(each["n"]),
            _share(each["decided"]),
            "at most 5 %",
        ]
        for samples, each in found["equal"].items()
    ]
    return _table(["comparison", "pairs", "verdicts for a space", "stated"], rows)


def _wrong(plan: Record) -> str:
    cases = round((plan["decided"]["share"] - plan["right"]["share"]) * plan["n"])
    return _share({"share": cases / plan["n"], "interval": interval_of(cases, plan["n"])})


def _share(found: Record) -> str:
    low, high = found["interval"]
    return f"{100 * found['share']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def regret_figure(found: Record) -> Figure:
    """Regret against evaluations: all methods, and those that see accuracies in more detail."""
    panels = []
    for title, least, top in (("From 5 evaluations", 5, 1.6), ("From 50 evaluations", 50, 0.6)):
        marks: list[Area | Line] = []
        at = [place for place, count in enumerate(found["counts"]) if count >= least]
        for name, role in DRAWN.items():
            if least == 50 and name == "zero-cost-madds":
                continue  # far above the others
            each = found["searches"][name]
            points = [(found["counts"][i], each["mean"][i], each["half"][i]) for i in at]
            area = tuple((x, max(0.0, y - half), min(top, y + half)) for x, y, half in points)
            marks += [Area(area, role), Line(tuple((x, min(top, y)) for x, y, _ in points), role)]
        known = tuple((found["counts"][i], min(top, found["exact"]["one_seed"][i])) for i in at)
        marks.append(Line(known, "ink", dashed=True))
        panels.append(
            Panel(
                title,
                "Mean regret in points of accuracy after so many evaluations, by method.",
                Axis("evaluations", 0 if least < 50 else 40, 205, "whole"),
                Axis("regret in points", 0.0, top),
                tuple(marks),
            )
        )
    legend = [
        LegendEntry(SHOWN[name].replace("`", ""), role, "line") for name, role in DRAWN.items()
    ]
    legend.append(LegendEntry("exact, random", "ink", "dashed"))
    return Figure("truth_search", "", tuple(panels), tuple(legend), (400, 280))


def measure(seeds: int, pairs: int, processes: int | None) -> Record:
    """What is measured, as plain values; searches or comparisons are left out where 0 are asked."""
    halves = pairs // 2
    size = Size(seeds, {"given": pairs, "planned": halves, "equal": halves}, CURVE)
    found = measured(size, lambda text: print(text, flush=True), processes)
    record: Record = {"table": TABLE, "counts": [*CURVE], "exact": exact()}
    if seeds:
        record["searches"] = searches(found.regrets)
    if pairs:
        record["comparisons"] = comparisons(found.outcomes)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--seeds", type=int, default=100, help="per search; 0: keep those of the file"
    )
    parser.add_argument(
        "--pairs", type=int, default=1000, help="of spaces, and half as many with a plan; 0: keep"
    )
    parser.add_argument("--processes", type=int)
    parser.add_argument("--render", action="store_true")
    arguments = parser.parse_args()
    path = arguments.out / "truth_search.json"
    if not arguments.render:
        before = json.loads(path.read_text()) if path.is_file() else {}
        found = before | measure(arguments.seeds, arguments.pairs, arguments.processes)
        path.write_text(json.dumps(found, indent=1) + "\n")
    found = json.loads(path.read_text())
    if not {"searches", "comparisons"} <= set(found):
        return
    (arguments.out / "truth_search.svg").write_bytes(render(regret_figure(found), "svg"))
    if PAGE.is_file():
        PAGE.write_text(filled(PAGE.read_text("utf-8"), tables(found)), "utf-8")
    print(*tables(found).values(), sep="\n")


if __name__ == "__main__":
    main()
