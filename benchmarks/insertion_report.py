"""What true insertions are worth: alone, and as the scale of other scorers at each layer.

    python benchmarks/insertion_report.py INSERTION.jsonl --out benchmarks/results/insertion.json

The scale of a layer is the slope of a least-squares line: of the values of insertion, or of another
scorer that measures the whole network's loss, over those of `probe`. The order within a layer stays
that of `probe`; only what a unit is worth at each depth changes. For the first study, the sums over
the layers are compared with the 36 networks of `additivity.py`; for NAS-Bench-Macro, with all
networks of its table.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from macro_report import figures
from ranking_report import load_truth, tau
from ranking_setup import FIRST

HERE: Final = Path(__file__).resolve().parent / "results"
SCALES: Final = ("in-place", "local")
Array = np.ndarray
Values = Sequence[Array]


def slopes(measured: Values, probes: Values) -> list[float]:
    """Per layer, the slope of the measured values over those of `probe`."""
    return [
        float(((m - m.mean()) * (p - p.mean())).sum() / ((p - p.mean()) ** 2).sum())
        for m, p in zip(measured, probes, strict=True)
    ]


def scaled(probes: Values, factors: Sequence[float]) -> list[Array]:
    """The values of `probe` times the factor of their layer."""
    return [factor * row for row, factor in zip(probes, factors, strict=True)]


def rows_of(path: Path, name: str) -> Iterator[dict[str, Any]]:
    """The lines of a file that have this key."""
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if name in row:
            yield row


def first_figures() -> Callable[[Values], dict[str, float]]:
    """What is reported about one prediction for the first study."""
    truth = [table.mean(axis=1) for table in load_truth(HERE / "truth.jsonl").values()]
    by_cells: dict[tuple[int, ...], list[float]] = {}
    for each in json.loads((HERE / "additivity.json").read_text())["networks"]:
        by_cells.setdefault(tuple(each["cells"]), []).append(each["held_out_accuracy"])
    picks, right = list(by_cells), np.array([np.mean(found) for found in by_cells.values()])

    def of(values: Values) -> dict[str, float]:
        sums = [sum(row[i] for row, i in zip(values, each, strict=True)) for each in picks]
        pairs = zip(values, truth, strict=True)
        within = np.mean([tau(row, accuracy) for row, accuracy in pairs])
        return {"within": float(within), "networks": tau(np.array(sums), right)}

    return of


def collect(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every prediction of the studies, with its figures."""
    found: list[dict[str, Any]] = []
    of_first = first_figures()
    known = {
        ("ranking", row["predictor"], row["seed"]): [np.array(each) for each in row["values"]]
        for row in rows_of(HERE / "predictions.jsonl", "predictor")
    }
    known |= {
        ("macro", row["scorer"], row["seed"]): [np.array(each) for each in row["fitness"]]
        for row in rows_of(HERE / "macro_fitness.jsonl", "scorer")
        if row["reference"] == 1
    }
    for line in lines:
        name = f"insertion, {line['alone']} + {line['together']} steps"
        key = (line["study"], name, line["seed"])
        known[key] = [np.array(each) for each in line["values"]]
    for (study, name, seed), values in sorted(known.items()):
        if name not in ("probe", *SCALES) and not name.startswith("insertion"):
            continue
        of = of_first if study == FIRST.name else figures
        tried = {name: values}
        probes = known.get((study, "probe", seed))
        if probes is not None and name != "probe":
            tried[f"probe in units of {name}"] = scaled(probes, slopes(values, probes))
        for label, each in tried.items():
            found.append({"study": study, "predictor": label, "seed": seed, **of(each)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("insertion", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = collect([json.loads(line) for line in arguments.insertion.read_text().splitlines()])
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    for row in found:
        numbers = {key: round(value, 3) for key, value in row.items() if type(value) is float}
        print(row["study"], row["predictor"], row["seed"], numbers)


if __name__ == "__main__":
    main()
