"""From the folder that `results.py` has filled to the figures of docs/evidence/results.md.

Files of the folder hold shares (0 to 1); `results.json`, like the page, holds points (per cent).
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from results_setup import BUDGETS, COMPARISONS, FULL, ROWS, TARGETS, VARIANTS

from autospace.comparison.document import (
    ComparisonDocument,
    PairDocument,
    SpaceDocument,
    read_comparison,
)
from autospace.comparison.statistics import MeanDifference, mean_difference

Record = dict[str, Any]
LEARNED: Final = "learned"


def collect(measured: Path) -> Record:
    """All figures of a folder `steps-N`."""
    drawn = _drawn(measured / "drawn")
    return {
        "steps": int(measured.name.partition("-")[2]),
        "comparisons": {
            kind: headline(found)
            for kind in COMPARISONS
            if (found := _largest(measured / "compare", kind))
        },
        "ablations": ablations(drawn),
        "budgets": budgets(drawn),
        "drawn": [drawn[each] for each in sorted(drawn)],
        "cpu_seconds": spent(measured.parent / "spent.tsv"),
    }


def headline(comparisons: Mapping[int, ComparisonDocument]) -> Record:
    """What `comparison.json` of each seed says, and all seeds together; errors in per cent."""
    gaps: dict[str, list[list[float]]] = defaultdict(list)
    seeds = []
    for seed, read in comparisons.items():
        spaces = [_space(read, each) for each in read.spaces]
        ours, *rivals = spaces
        for rival in rivals:
            pairs = zip(rival["errors"], ours["errors"], strict=True)
            gaps[rival["name"]].append([theirs - own for theirs, own in pairs])
        names = [each["name"] for each in rivals]
        seeds.append(
            {
                "seed": seed,
                "sentence": read.sentence,
                "samples": read.samples,
                "range": read.matching.range,
                "spaces": spaces,
                "pairs": [_pair(read, *both) for both in zip(names, read.pairs, strict=True)],
            }
        )
    return {"seeds": seeds, "pooled": {name: over_seeds(each) for name, each in gaps.items()}}


def ablations(drawn: Mapping[tuple[str, str, int], Record]) -> list[Record]:
    """Every variant at the low target, and what the full method is better by."""
    found = []
    for variant in VARIANTS:
        rows = _rows(drawn, variant, "low")
        if not rows or variant in {double for _, double in BUDGETS}:
            continue
        gaps = _gaps(drawn, (FULL, "low"), (variant, "low"))
        better = None if variant == FULL else over_seeds(gaps)
        found.append({"variant": variant, **_described(rows), "full_better_by": better})
    return found


def budgets(drawn: Mapping[tuple[str, str, int], Record]) -> list[Record]:
    """Both limits at both targets; at each the second limit against the first."""
    found = []
    for pair in BUDGETS:
        for target in TARGETS:
            for variant in pair:
                rows = _rows(drawn, variant, target)
                if not rows:
                    continue
                gaps = _gaps(drawn, (pair[0], target), (variant, target))
                better = None if variant == pair[0] else over_seeds(gaps)
                entry = {"variant": variant, "target": target, **_described(rows)}
                found.append({**entry, "lower_better_by": better})
    return found


def over_seeds(gaps: Sequence[Sequence[float]]) -> Record | None:
    """The mean of differences, seed by seed, with the networks and with the seeds as the sample.

    The second interval is that of a balanced one-way model with the seed as a random effect:
    Student's t over the means of the seeds.
    """
    flat = [gap for seed in gaps for gap in seed]
    if len(flat) < 2:
        return None
    means = [float(np.mean(seed)) for seed in gaps]
    found = {
        "n": len(flat),
        "per_seed": [round(mean, 3) for mean in means],
        **_effect(mean_difference(flat, [0.0] * len(flat), paired=True)),
    }
    if len(means) > 1:
        found["over_seeds"] = _effect(mean_difference(means, [0.0] * len(means), paired=True))
    return found


def spent(path: Path) -> Record:
    """CPU seconds by what they were spent on."""
    found: dict[str, float] = defaultdict(float)
    for line in path.read_text().splitlines() if path.is_file() else ():
        what, seconds = line.split("\t")
        found[what] += float(seconds)
    return {what: round(seconds, 1) for what, seconds in sorted(found.items())}


def _effect(found: MeanDifference) -> Record:
    low, high = found.interval(0.95)
    return {"difference": round(found.value, 3), "interval": [round(low, 3), round(high, 3)]}


def _largest(folder: Path, kind: str) -> dict[int, ComparisonDocument]:
    """Per seed, the finished comparison of a kind with the most networks, if it could compare."""
    found: dict[int, ComparisonDocument] = {}
    for path in sorted(folder.glob(f"{kind}-*/comparison.json")):
        read = read_comparison(path)
        if not all(space.errors for space in read.spaces):
            continue
        if read.seed not in found or found[read.seed].samples < read.samples:
            found[read.seed] = read
    return dict(sorted(found.items()))


def _space(found: ComparisonDocument, read: SpaceDocument) -> Record:
    errors = [found.shown(error) for error in read.errors]
    return {
        "name": LEARNED if read.name.startswith(LEARNED) else read.name.partition("@")[0],
        "overlap": read.overlap,
        "errors": errors,
        "madds": read.madds,
        "params": read.params,
        "mean_error": round(float(np.mean(errors)), 3),
        "drawn_madds": read.drawn.madds.quantiles[::5] if read.drawn else [],
    }


def _pair(found: ComparisonDocument, rival: str, read: PairDocument) -> Record:
    """Turned round: positive where the learned space, the first of the comparison, is better."""
    difference, low, high = map(found.shown, (read.difference, *read.interval))
    return {
        "rival": rival,
        "difference": round(-difference, 3),
        "interval": [round(-high, 3), round(-low, 3)],
        "level": read.level,
        "verdict": {"a": LEARNED, "b": rival, "none": "none"}[read.verdict],
    }


def _drawn(folder: Path) -> dict[tuple[str, str, int], Record]:
    rows = [_row(path) for path in sorted(folder.glob("*.json"))]
    return {(row["variant"], row["target"], row["seed"]): row for row in rows}


def _row(path: Path) -> Record:
    row = json.loads(path.read_text())
    if row.pop("version", 1) != ROWS:
        raise SystemExit(f"{path}: of an earlier version; run results.py again")
    return {**row, "accuracies": [round(100 * each, 6) for each in row["accuracies"]]}


def _rows(drawn: Mapping[tuple[str, str, int], Record], variant: str, target: str) -> list[Record]:
    rows = [drawn[key] for key in sorted(drawn) if key[:2] == (variant, target)]
    return [row for row in rows if row["accuracies"]]


def _gaps(
    drawn: Mapping[tuple[str, str, int], Record], ours: tuple[str, str], theirs: tuple[str, str]
) -> list[list[float]]:
    """Per seed that both have, differences in accuracy of the i-th networks."""
    found = []
    for row in _rows(drawn, *theirs):
        other = drawn.get((*ours, row["seed"]))
        if other is not None and other["accuracies"]:
            pairs = zip(other["accuracies"], row["accuracies"], strict=False)
            found.append([own - rival for own, rival in pairs])
    return found


def _described(rows: Sequence[Record]) -> Record:
    accuracies = [value for row in rows for value in row["accuracies"]]
    return {
        "n": len(accuracies),
        "accuracy": round(float(np.mean(accuracies)), 3),
        "sd": round(float(np.std(accuracies, ddof=1)), 3) if len(accuracies) > 1 else None,
        "per_seed": [round(float(np.mean(row["accuracies"])), 3) for row in rows],
        "madds": round(float(np.mean([value for row in rows for value in row["madds"]]))),
        "params": round(float(np.mean([value for row in rows for value in row["params"]]))),
        "share": [round(row["share"], 4) for row in rows],
    }
