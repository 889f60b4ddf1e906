"""How well the networks of one run of `predicted` predict the errors of another's, at equal MAdds.

    python benchmarks/network_stages.py --stages RUN --layers RUN --out FILE.json    # collects
    python benchmarks/network_stages.py                                              # says

The networks of the first run have the same cell in all layers of a stage, those of the second one
have a cell of its own in every layer, both made of the same founders. Only an earlier scorer
trained networks like the second ones. Without --out, says what `results/network_stages.json` holds.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from autospace.scorers.predicted import fitted
from autospace.scorers.whole import Row, Trained, packed_cell, unpacked_cell
from autospace.spaces import Skeleton, load
from autospace.spaces.space import network_cost

RESULTS: Final = Path(__file__).parent / "results"
SKELETON: Final = load("mbconv@cifar").skeleton


def predicted_from(
    known: Mapping[Row, float], asked: Mapping[Row, float], skeleton: Skeleton = SKELETON
) -> float:
    """The correlation of predicted and measured errors of networks, both at equal MAdds."""
    worths, first = fitted(skeleton, known), next(iter(asked))
    gains = [
        sum(worths.gain(layer, *pair) for layer, pair in enumerate(zip(each, first, strict=True)))
        for each in asked
    ]
    logs = np.log([network_cost(skeleton, each).madds for each in asked])
    level = np.stack([np.ones(len(logs)), logs], axis=1)
    values = np.stack([-np.array(gains), [*asked.values()]], axis=1)
    left = values - level @ np.linalg.lstsq(level, values, rcond=None)[0]
    return float(np.corrcoef(left.T)[0, 1])


def rows_of(run: Path, count: int) -> list[dict[str, Any]]:
    """The first networks that a run trained."""
    errors = Trained(run / "checkpoint" / "networks.json").errors
    rows = [
        {"cells": [packed_cell(cell) for cell in network], "error": error}
        for network, error in errors.items()
    ]
    return rows[:count]


def errors_of(rows: list[dict[str, Any]]) -> dict[Row, float]:
    return {tuple(unpacked_cell(cell) for cell in each["cells"]): each["error"] for each in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=Path)
    parser.add_argument("--layers", type=Path)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.out:
        runs = {"stages": arguments.stages, "layers": arguments.layers}
        found = {name: rows_of(run, arguments.count) for name, run in runs.items()}
        arguments.out.write_text(json.dumps(found))
    else:
        found = json.loads((RESULTS / "network_stages.json").read_text())
    errors = {name: errors_of(rows) for name, rows in found.items()}
    for known, asked in (("stages", "layers"), ("layers", "stages")):
        value = predicted_from(errors[known], errors[asked])
        told = f"{len(errors[known])} networks by {known}: of themselves"
        share = fitted(SKELETON, errors[known]).explained
        print(f"{told} {share:.2f} is explained; with errors by {asked}: correlation {value:.2f}")


if __name__ == "__main__":
    main()
