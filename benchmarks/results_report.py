"""Tables and pictures of docs/evidence/results.md from the folder that `results.py` has filled.

    python benchmarks/results_report.py FOLDER/steps-1000 --out benchmarks/results

Writes `results.json` (every accuracy, every figure), `results_edf.svg` and `results_ablations.svg`,
and puts the tables into the page, each between its marks.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from results_figures import LEARNED, Record, collect
from results_pictures import ablations_figure, distributions
from results_setup import BUDGETS, FIRST_TRY, HAND_MADE, TARGETS, UNCHARGED

from autospace.charts.paper import render
from autospace.comparison.document import read_comparison
from autospace.spaces.text import human

RIVALS = {
    "mbconv": "`mbconv` (ProxylessNAS)",
    "mnasnet": "`mnasnet`",
    "random": "random cells",
}
KINDS = {
    HAND_MADE: "with hand-made",
    "random": "with random",
    UNCHARGED: "no cost term, with hand-made",
    FIRST_TRY: "first try, with all",
}
MISSING = "Not measured yet."
LIMITS = {
    variant: (limit, cost)
    for pair, cost in zip(BUDGETS, ("yes", "no"), strict=True)
    for variant, limit in zip(pair, ("the reference's", "twice that"), strict=True)
}


def tables(found: Record) -> dict[str, str]:
    """The tables of the page under their names."""
    return {
        "headline": pooled_table(_of(found["comparisons"], HAND_MADE, "random")),
        "uncharged": pooled_table(_of(found["comparisons"], UNCHARGED)),
        "first try": pooled_table(_of(found["comparisons"], FIRST_TRY)),
        "seeds": seeds_table(found["comparisons"]),
        "overlap": overlap_table(found["comparisons"]),
        "ablations": ablations_table(found["ablations"]),
        "budgets": budgets_table(found["budgets"]),
    }


def filled(page: str, shown: Mapping[str, str]) -> str:
    """The page with these tables between their marks."""
    for name, table in shown.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        page = re.sub(
            f"{begin}.*?{end}", lambda _, t=table, b=begin, e=end: b + t + e, page, flags=re.S
        )
    return page


def _of(found: Record, *kinds: str) -> Record:
    return {kind: found[kind] for kind in kinds if kind in found}


def pooled_table(found: Record) -> str:
    """The learned spaces against each rival, all seeds together."""
    rows = [
        [
            RIVALS[name],
            _points(each["difference"]),
            _span(each["interval"]),
            _span(each["over_seeds"]["interval"]) if "over_seeds" in each else "",
            _list(each["per_seed"]),
            str(each["n"]),
        ]
        for comparison in found.values()
        for name, each in comparison["pooled"].items()
    ]
    return _table(
        (
            "learned space against",
            "points better",
            "95 %, networks as the sample",
            "95 %, spaces as the sample",
            "per seed",
            "pairs",
        ),
        rows,
    )


def seeds_table(found: Record) -> str:
    """The verdict of each comparison."""
    rows = []
    for kind, each in _by_kind(found):
        errors = {space["name"]: space["mean_error"] for space in each["spaces"]}
        for pair in each["pairs"]:
            verdict = {LEARNED: "learned", "none": "no difference detected"}
            rows.append(
                [
                    KINDS[kind],
                    str(each["seed"]),
                    RIVALS[pair["rival"]],
                    f"{errors[LEARNED]:.1f} / {errors[pair['rival']]:.1f}",
                    f"{_points(pair['difference'])} ({_span(pair['interval'])})",
                    f"{100 * pair['level']:.1f} %",
                    verdict.get(pair["verdict"], RIVALS.get(pair["verdict"], "")),
                ]
            )
    return _table(
        (
            "matched",
            "seed",
            "rival",
            "mean error, learned / rival",
            "difference",
            "level",
            "verdict",
        ),
        rows,
    )


def _by_kind(found: Record) -> list[tuple[str, Record]]:
    return [(kind, each) for kind, comparison in found.items() for each in comparison["seeds"]]


def overlap_table(found: Record) -> str:
    """What the networks of the spaces cost, and how much of that others can match."""
    rows = []
    for kind, each in _by_kind(found):
        for space in each["spaces"]:
            low, *_, high = space["drawn_madds"]
            middle = space["drawn_madds"][len(space["drawn_madds"]) // 2]
            rows.append(
                [
                    KINDS[kind],
                    str(each["seed"]),
                    RIVALS.get(space["name"], space["name"]),
                    f"{human(low)} to {human(high)}, median {human(middle)}",
                    f"{space['overlap']:.0%}",
                    " to ".join(human(end) for end in each["range"]),
                ]
            )
    return _table(
        ("matched", "seed", "space", "MAdds as drawn", "draws with partners", "MAdds compared"),
        rows,
    )


def ablations_table(found: Sequence[Record]) -> str:
    """Every variant beside the full method."""
    rows = []
    for each in found:
        better = each["full_better_by"]
        rows.append(
            [
                each["variant"],
                f"{each['accuracy']:.1f} %",
                _list(each["per_seed"]),
                str(each["n"]),
                *(_better(better) if better else ("", "")),
                human(each["params"]),
            ]
        )
    return _table(
        (
            "variant",
            "test accuracy",
            "per seed",
            "n",
            "full method better by (95 %)",
            "spaces as the sample",
            "params",
        ),
        rows,
    )


def budgets_table(found: Sequence[Record]) -> str:
    """Both limits at both targets."""
    rows = []
    for each in found:
        better = each["lower_better_by"]
        rows.append(
            [
                human(TARGETS[each["target"]]),
                *LIMITS[each["variant"]],
                f"{each['accuracy']:.1f} %",
                _list(each["per_seed"]),
                str(each["n"]),
                ", ".join(f"{share:.0%}" for share in each["share"]),
                *(_better(better) if better else ("", "")),
            ]
        )
    return _table(
        (
            "MAdds of the networks",
            "limit of the space",
            "cells pay",
            "test accuracy",
            "per seed",
            "n",
            "share of draws there",
            "lower limit better by (95 %)",
            "spaces as the sample",
        ),
        rows,
    )


def _better(found: Record) -> tuple[str, str]:
    over = found.get("over_seeds")
    return (
        f"{_points(found['difference'])} ({_span(found['interval'])})",
        _span(over["interval"]) if over else "",
    )


def _points(value: float) -> str:
    """One digit after the point, and no minus before a zero."""
    return f"{round(value, 1) + 0.0:.1f}"


def _span(interval: Sequence[float]) -> str:
    return " to ".join(map(_points, interval))


def _list(values: Sequence[float]) -> str:
    return ", ".join(map(_points, values))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return f"{MISSING}\n"
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    work, out = arguments.folder, arguments.out
    found = collect(work)
    (out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    main_ones = found["comparisons"].get(HAND_MADE, {"seeds": []})["seeds"]
    kept = {(each["seed"], each["samples"]) for each in main_ones}
    paths = sorted(work.glob(f"compare/{HAND_MADE}-*/comparison.json"))
    shown = [read_comparison(path) for path in paths]
    shown = [each for each in shown if (each.seed, each.samples) in kept]
    pictures = {"results_edf": distributions(shown)} if shown else {}
    if len(found["ablations"]) > 1:
        pictures["results_ablations"] = ablations_figure(found["ablations"])
    for name, figure in pictures.items():
        (out / f"{name}.svg").write_bytes(render(figure, "svg"))
    page = Path(__file__).parent.parent / "docs" / "evidence" / "results.md"
    if page.is_file():
        page.write_text(filled(page.read_text("utf-8"), tables(found)), "utf-8")
    else:
        print(*tables(found).values(), sep="\n")


if __name__ == "__main__":
    main()
