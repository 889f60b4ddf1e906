"""The two pictures of docs/performance.md from what `performance.py` measured.

python benchmarks/performance_report.py benchmarks/results/performance.json --out benchmarks/results
"""

import argparse
import json
from pathlib import Path
from typing import Any

from autospace.charts.figure import SERIES, Axis, Dots, Entry, Figure, Line, Panel
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
    legend = (Entry("PyTorch", "faint", "ring"), Entry("kernels", "first", "dot"))
    return Figure("performance-operations", "", (panel,), legend, (520, 230))


def candidates(rows: list[dict[str, Any]]) -> Figure:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines, entries = [], []
    for method, role in zip(methods, SERIES, strict=False):
        mine = [row for row in rows if row["method"] == method]
        points = tuple((float(row["k"]), row["kernels"] / mine[0]["kernels"]) for row in mine)
        lines += [Line(points, role), Dots(points, role)]
        entries.append(Entry(method, role, "line"))
    heights = [y for mark in lines for _, y in mark.points]
    panel = Panel(
        "What more candidates cost",
        "Time of a round over that with one candidate per layer.",
        Axis.of("candidates per layer, K", [0, 8], "whole"),
        Axis.of("time over that of K = 1", [0, *heights]),
        tuple(lines),
    )
    return Figure("performance-candidates", "", (panel,), tuple(entries), (420, 260))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = json.loads(arguments.measured.read_text())
    for make in (operations, candidates):
        figure = make(found[make.__name__]["rows"])
        (arguments.out / f"{figure.name}.svg").write_bytes(render(figure, "svg"))


if __name__ == "__main__":
    main()
