"""The pictures of docs/evidence/performance.md, from `performance.py` and `generations.py`.

python benchmarks/performance_report.py benchmarks/results/performance.json --out benchmarks/results
"""

import argparse
import json
from pathlib import Path
from typing import Any

from autospace.charts.figure import SERIES, Axis, Dots, Figure, LegendEntry, Line, Panel
from autospace.charts.paper import render

LARGEST = [64, 48, 32]


def operations(rows: list[dict[str, Any]]) -> Figure:
    chosen = [row for row in rows if row["shape"] == LARGEST]
    panel = Panel(
        "One operation, forward and backward",
        "Milliseconds per operation, by PyTorch and by the kernels.",
        Axis.of("ms of one core, 64 images of 48 x 32 x 32", [0, *(r["pytorch"] for r in chosen)]),
        Axis.named([row["operation"] for row in chosen]),
        tuple(
            Dots(tuple((row[way], float(at)) for at, row in enumerate(chosen)), role, shape)
            for way, role, shape in (("pytorch", "faint", "ring"), ("kernels", "first", "dot"))
        ),
    )
    legend = (LegendEntry("PyTorch", "faint", "ring"), LegendEntry("kernels", "first", "dot"))
    return Figure("performance-operations", "", (panel,), legend, (520, 230))


def candidates(rows: list[dict[str, Any]]) -> Figure:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines, entries = [], []
    for method, role in zip(methods, SERIES, strict=False):
        mine = [row for row in rows if row["method"] == method]
        points = tuple((float(row["k"]), row["kernels"] / mine[0]["kernels"]) for row in mine)
        lines += [Line(points, role), Dots(points, role)]
        entries.append(LegendEntry(method, role, "line"))
    heights = [y for mark in lines for _, y in mark.points]
    panel = Panel(
        "What more candidates cost",
        "Time of a round over that with one candidate per layer.",
        Axis.of("candidates per layer, K", [0, 8], "whole"),
        Axis.of("time over that of K = 1", [0, *heights]),
        tuple(lines),
    )
    return Figure("performance-candidates", "", (panel,), tuple(entries), (420, 260))


def growth(rows: list[dict[str, Any]]) -> Figure:
    found = [row for row in rows if row["method"] == "probe"]
    things = list(dict.fromkeys(row["grows"] for row in found))
    panels = []
    for measure, what in (("later", "time"), ("memory_mb", "memory")):
        lines: list[Line | Dots] = [Line(((1.0, 1.0), (8.0, 8.0)), "faint", dashed=True)]
        for thing, role in zip(things, SERIES, strict=False):
            mine = [row for row in found if row["grows"] == thing]
            points = tuple(
                (row["to"] / mine[0]["to"], row[measure] / mine[0][measure]) for row in mine
            )
            lines += [Line(points, role), Dots(points, role)]
        heights = [y for mark in lines for _, y in mark.points]
        panels.append(
            Panel(
                f"{what.capitalize()} of a generation",
                f"The {what} of a generation over the {what} at the smallest size, by what grows.",
                Axis.of("size over the smallest", [0, 16], "whole"),
                Axis.of(f"{what} over that of the smallest", [0, *heights]),
                tuple(lines),
            )
        )
    entries = [
        LegendEntry(thing, role, "line") for thing, role in zip(things, SERIES, strict=False)
    ]
    entries.append(LegendEntry("proportional", "faint", "dashed"))
    return Figure("performance-growth", "", tuple(panels), tuple(entries), (340, 260))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = json.loads(arguments.measured.read_text())
    for make in (operations, candidates, growth):
        figure = make(found[make.__name__]["rows"])
        (arguments.out / f"{figure.name}.svg").write_bytes(render(figure, "svg"))


if __name__ == "__main__":
    main()
